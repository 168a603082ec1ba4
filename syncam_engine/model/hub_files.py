# SPDX-License-Identifier: Apache-2.0
"""Finding a diffusers-format base and an MVS file: on this machine first, else from the hub.

Looked for in this order: the path itself, the folder of models (`models_folder`), the hub's cache,
the hub (`hub_download.py`). No torch here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from syncam_engine.link import json_text
from syncam_engine.link.endpoint import user_state_dir
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.weight_files import Header, read_header

BASE_PARTS = ("transformer", "vae", "text_encoder", "tokenizer")
WANTED = [*(f"{part}/*" for part in BASE_PARTS), "model_index.json"]
Say = Callable[[float, str], None]


def models_folder() -> Path:
    """Return where models are kept by hand; SYNCAM_MODELS_DIR overrides it."""
    named = os.environ.get("SYNCAM_MODELS_DIR")
    return Path(named) if named else user_state_dir() / "models"


def find_base(base: str, say: Say, licence: str = "") -> Path:
    """Return the folder of a diffusers-format base, downloading it if it is nowhere else.

    Raises SynCamError ("weights.missing", "weights.offline") that says what to put where.
    """
    try:
        return find_local_base(base)
    except SynCamError:
        if Path(base).is_absolute():
            raise
    from syncam_engine.model.hub_download import download_folder, network_errors

    folder = models_folder() / base.rsplit("/", 1)[-1]
    say(0.0, f"downloading {base}" + (f" (licence: {licence})" if licence else ""))
    try:
        return download_folder(base, WANTED, folder, say)
    except network_errors() as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise SynCamError(
                "weights.disk",
                f"The disk of {folder.parent} is full: the base model {base} does not fit. What "
                "has come so far is kept; make room, or name another folder in SYNCAM_MODELS_DIR.",
                value=str(folder.parent),
                fix="Make room on the disk",
            ) from error
        raise SynCamError(
            "weights.offline",
            f"The base model {base} is not on this machine and the hub cannot be reached, or the "
            "connection broke: what has come so far is kept, and starting again goes on from "
            f"there. Or, on a machine with a network, run: hf download {base} --local-dir FOLDER; "
            f"then put that folder at {folder}.",
            value=f"{type(error).__name__}: {error}"[:300],
            fix="Copy the model's folder",
        ) from error


def find_local_base(base: str) -> Path:
    """Return the folder of a base that is on this machine, whole: a path, the models' folder, or
    the hub's cache. Raises SynCamError ("weights.missing")."""
    for folder in (Path(base), models_folder() / base.rsplit("/", 1)[-1]):
        if (folder / "transformer").is_dir():
            return folder
    if not Path(base).is_absolute():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(base, allow_patterns=WANTED, local_files_only=True))
            # The cache may hold a download that was broken off: then the hub completes it.
            for part in ("transformer", "vae", "text_encoder"):
                headers_of(folder / part)
            return folder
        except (OSError, SynCamError):
            pass
    raise SynCamError(
        "weights.missing",
        f"The base model's folder {base} is not there, or has no transformer/ in it.",
        value=base,
    )


def find_mvs_file(name: str) -> Path:
    """Return the MVS file of a preset: a path, or a name in the folder of models.

    Raises SynCamError ("weights.missing") that says how to make it.
    """
    for path in (Path(name), models_folder() / name):
        if path.is_file():
            return path
    raise SynCamError(
        "weights.missing",
        f"The multi-view weights {name} are not there. Download step20000.ckpt from the authors' "
        "page (its licence is theirs), then run: syncam checkpoint convert step20000.ckpt "
        f"{models_folder() / name}",
        value=name,
        fix="Convert the released checkpoint",
    )


def headers_of(folder: Path) -> list[Header]:
    """Return the headers of a diffusers part's safetensors file or shards, each checked whole."""
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if indexes:
        try:
            index = json_text.loads(indexes[0].read_text(encoding="utf-8"))
            names = sorted(set(index["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SynCamError(
                "weights.format", f"{indexes[0]} is not an index of shards.", value=str(error)
            ) from error
        return [read_header(folder / name) for name in names]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SynCamError(
            "weights.missing", f"There is no .safetensors file in {folder}.", value=str(folder)
        )
    return [read_header(path) for path in files[:1]]
