# SPDX-License-Identifier: Apache-2.0
"""Converting and inspecting checkpoint files.

The released checkpoint is a pickle: it is read with `weights_only=True` (tensors and plain
containers, never code), memory-mapped, checked against the table of names and shapes, and written
once as safetensors.
"""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.presets import Preset
from syncam_engine.model.released_layout import released_table
from syncam_engine.model.weight_files import check_shapes, read_header

MVS_FORMAT = "syncam-mvs"
DTYPES = {"keep": None, "float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote."""

    tensors: int
    mvs_tensors: int
    mvs_parameters: int
    base_parameters: int
    written: list[Path]


def convert_released(
    source: Path,
    mvs_out: Path,
    preset: Preset,
    *,
    base_out: Path | None = None,
    dtype: str = "keep",
) -> Converted:
    """Split a released checkpoint into its MVS (and, if asked, base) in this project's names.

    Raises SynCamError ("checkpoint.*", "weights.*") naming what is missing, extra or misshapen;
    nothing is written then.
    """
    paths = [path.resolve() for path in (source, mvs_out, base_out) if path is not None]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise SynCamError(
            "checkpoint.same_file",
            f"{twice} is named twice; what is read and each file to write must differ.",
            value=str(twice),
        )
    state = read_pickle(source)
    rows = released_table(preset.transformer)
    check_shapes(
        {name: tuple(tensor.shape) for name, tensor in state.items()},
        {row.released: row.shape for row in rows},
        f"The checkpoint {source.name}, read as preset {preset.name!r},",
    )
    for row in rows:
        if not torch.isfinite(state[row.released]).all():
            raise SynCamError(
                "checkpoint.values",
                f"The checkpoint {source.name} has values that are not finite in {row.released}.",
                value=row.released,
            )
    wanted = DTYPES[dtype]
    written = []
    for path, is_mvs in ((mvs_out, True), (base_out, False)):
        if path is None:
            continue
        tensors = {
            row.ours: state[row.released].to(wanted or state[row.released].dtype).contiguous()
            for row in rows
            if row.is_mvs == is_mvs
        }
        metadata = {
            "format": MVS_FORMAT if is_mvs else "syncam-base",
            "form": preset.transformer.mvs_form,
            "preset": preset.name,
            "camera_encoding": preset.camera.encoding,
            "source": source.name,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        save_file(tensors, partial, metadata=metadata)
        partial.replace(path)
        written.append(path)
    return Converted(
        tensors=len(rows),
        mvs_tensors=sum(row.is_mvs for row in rows),
        mvs_parameters=sum(state[row.released].numel() for row in rows if row.is_mvs),
        base_parameters=sum(state[row.released].numel() for row in rows if not row.is_mvs),
        written=written,
    )


def read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a .ckpt/.pt/.pth state dict, memory-mapped; no code is run."""
    if not path.is_file():
        raise SynCamError(
            "checkpoint.missing", f"The checkpoint {path} is not there.", value=str(path)
        )
    mapped = zipfile.is_zipfile(path)
    try:
        with warnings.catch_warnings():  # of a pickle's age, beside the sentence below
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # an unpickler that is given other bytes may raise anything
        raise SynCamError(
            "checkpoint.unreadable",
            f"{path} ({path.stat().st_size:,} bytes) {_why_unreadable(path, str(error))}.",
            value=str(path),
            fix="Download it again",
        ) from error
    for key in ("state_dict", "module"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(torch.is_tensor(v) for v in content.values()):
        kind = type(content).__name__
        raise SynCamError(
            "checkpoint.unreadable",
            f"{path} holds a {kind}, not a flat table of named tensors.",
            value=kind,
        )
    return content


def _why_unreadable(path: Path, said: str) -> str:
    """Return why a file could not be read, as a sentence's end; `said` are torch's own words."""
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        return "is empty"
    if start != b"PK" and start[:1] != b"\x80":
        return "is not a checkpoint: it is neither an archive nor a pickle of PyTorch's"
    if "GLOBAL" in said:
        return "holds more than tensors: objects whose reading would run code, so it is not read"
    if "Unsupported operand" in said:
        return "is a pickle that PyTorch did not write"
    if zipfile.is_zipfile(path):
        return "is a zip archive that holds no checkpoint of PyTorch's"
    return "was cut off or damaged"


def describe(path: Path) -> dict[str, Any]:
    """Return what a checkpoint file is: format, tensors, parameters, sizes, the MVS's form."""
    if path.suffix == ".safetensors":
        header = read_header(path)
        shapes, dtypes = header.shapes, sorted(set(header.dtypes.values()))
        metadata, kind = header.metadata, "safetensors"
    else:
        state = read_pickle(path)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in state.values()})
        metadata, kind = {}, "pickle (tensors only)"
    released = any(".self_attn." in name or ".mvs_attn." in name for name in shapes)
    mvs = [n for n in shapes if ".mvs." in n or ".mvs_attn." in n or n.endswith("modulation_mvs")
           or ".cam_encoder." in n or ".projector." in n]  # fmt: skip
    blocks = {name.split(".")[1] for name in shapes if name.startswith("blocks.")}
    total = {name: _product(shape) for name, shape in shapes.items()}
    encoder = next((s for n, s in shapes.items() if n.endswith(("cam_encoder.weight",
                    "camera_encoder.weight"))), None)  # fmt: skip
    modulated = any(n.endswith(("modulation_mvs", "mvs.modulation")) for n in shapes)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "kind": kind,
        "names": "released" if released else "diffusers",
        "tensors": len(shapes),
        "parameters": sum(total.values()),
        "mvs_tensors": len(set(mvs)),
        "mvs_parameters": sum(total[name] for name in set(mvs)),
        "mvs_form": ("released" if modulated else "paper") if mvs else None,
        "blocks": len(blocks),
        "width": encoder[0] if encoder else None,
        "camera_numbers": encoder[1] if encoder else None,
        "dtypes": dtypes,
        "metadata": metadata,
    }


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
