# SPDX-License-Identifier: Apache-2.0
"""Checking safetensors files by their header alone, before any memory is taken.

A safetensors file is 8 bytes of header length, a JSON header (name -> dtype, shape, offsets), and
the tensors back to back: what is missing, extra, of a wrong shape or cut off shows in the header.
No torch here.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import index
from pathlib import Path

from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError

MAX_HEADER_BYTES = 100_000_000
DIGEST_EDGE_BYTES = 2**20
DIGEST_WHOLE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself."""

    path: Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str]

    @property
    def parameters(self) -> int:
        total = 0
        for shape in self.shapes.values():
            count = 1
            for side in shape:
                count *= side
            total += count
        return total


def read_header(path: Path) -> Header:
    """Return a safetensors file's header; raises SynCamError for a missing, wrong or cut file."""
    if not path.is_file():
        raise SynCamError(
            "weights.missing", f"The weights file {path} is not there.", value=str(path)
        )
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER_BYTES, max(size - 8, 0)):
            raise _not_safetensors(path, size)
        try:
            header = json_text.loads(file.read(length))
            metadata = dict(header.pop("__metadata__", {}))
            shapes = {n: tuple(map(index, entry["shape"])) for n, entry in header.items()}
            dtypes = {n: str(entry["dtype"]) for n, entry in header.items()}
            end = max((index(entry["data_offsets"][1]) for entry in header.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise _not_safetensors(path, size) from None
    if size != 8 + length + end:
        raise SynCamError(
            "weights.truncated",
            f"The weights file {path} has {size:,} bytes; its header speaks of "
            f"{8 + length + end:,}: it was cut off or damaged. Copy or download it again.",
            value=size,
            nearest=8 + length + end,
            fix="Download it again",
        )
    return Header(path, shapes, dtypes, metadata)


def _not_safetensors(path: Path, size: int) -> SynCamError:
    return SynCamError(
        "weights.format",
        f"{path} ({size:,} bytes) is not a safetensors file. A released .ckpt is converted first: "
        "syncam checkpoint convert step20000.ckpt OUT.safetensors.",
        value=str(path),
    )


def check_shapes(
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    what: str,
    *,
    ignore: Iterable[str] = (),
) -> None:
    """Raise SynCamError ("weights.keys", "weights.shape") unless names and shapes are the same."""
    skip = set(ignore)
    missing = sorted(set(expected) - set(found) - skip)
    extra = sorted(set(found) - set(expected) - skip)
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"lacks {len(missing)} of {len(expected)} tensors ({_some(missing)})")
        if extra:
            parts.append(f"has {len(extra)} that do not belong ({_some(extra)})")
        raise SynCamError(
            "weights.keys",
            f"{what} {' and '.join(parts)}.",
            value={"missing": missing[:100], "extra": extra[:100]},
        )
    for name in sorted(set(expected) - skip):
        if tuple(found[name]) != tuple(expected[name]):
            raise SynCamError(
                "weights.shape",
                f"{what}: {name} has shape {list(found[name])}; it must be {list(expected[name])}.",
                value=list(found[name]),
                nearest=list(expected[name]),
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def digest_of(paths: Iterable[Path]) -> str:
    """Return one SHA-256 over weight files, in the order given.

    Files up to 64 MiB count whole; of larger ones the size, the header and the first and last MiB.
    """
    total = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        total.update(f"{path.name}:{size}\n".encode())
        with path.open("rb") as file:
            if size <= DIGEST_WHOLE_BYTES:
                total.update(hashlib.file_digest(file, "sha256").digest())
                continue
            length = struct.unpack("<Q", file.read(8))[0]
            total.update(file.read(min(length, MAX_HEADER_BYTES) + DIGEST_EDGE_BYTES))
            file.seek(-DIGEST_EDGE_BYTES, 2)
            total.update(file.read())
    return total.hexdigest()
