# SPDX-License-Identifier: Apache-2.0
"""A running job's latents on disk (`syncam serve --checkpoint-steps`), for the next attempt.

    STATE/jobs/ID/latents     one line of JSON, then the latents as raw float32

The file is renamed into place whole, so a kill leaves the last one or the one before. It is taken
only when its digest holds and it was made for the very same request, weights, device and versions;
anything else is left aside and the job begins at its first step.

Shape legend: V views, C channels, F latent frames, H, W rows and columns.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from syncam_engine import __version__
from syncam_engine.link import json_text
from syncam_engine.link.messages import GenerateRequest

from .files import LATENTS_FILE, write_whole
from .jobs import fingerprint_of


def key_of(request: GenerateRequest, weights_digest: str, device: str) -> str:
    """What must be the same for latents to lead to the same clips; SHA-256 as hex text."""
    torch = sys.modules.get("torch")
    parts = (
        fingerprint_of(request),
        weights_digest,
        device,
        __version__,
        np.__version__,
        torch.__version__ if torch else "",
        str(torch.get_num_threads()) if torch else "",
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(slots=True, kw_only=True)
class KeptLatents:
    """One job's `sampling.keeping.LatentKeeper`. `say(text)` is for the engine's log."""

    folder: Path
    key: str
    every: int
    say: Callable[[str], None]

    @property
    def path(self) -> Path:
        return self.folder / LATENTS_FILE

    def load(self, steps: int, shape: Sequence[int]) -> tuple[int, np.ndarray | None]:
        """Return (steps done, latents) of the attempt before, or (0, None)."""
        try:
            step, latents = self._checked(self.read(), steps, tuple(shape))
        except FileNotFoundError:
            return 0, None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.say(f"saved latents are not used: {error}")
            return 0, None
        self.say(f"goes on after step {step} of {steps}")
        return step, latents

    def save(self, step: int, z_VCFHW: np.ndarray) -> None:
        """Keep the latents."""
        data = np.ascontiguousarray(z_VCFHW, dtype=np.float32)
        head = {
            "key": self.key,
            "step": step,
            "shape": data.shape,
            "digest": hashlib.sha256(data).hexdigest(),
        }
        self.write(json.dumps(head).encode() + b"\n" + data.tobytes())

    def read(self) -> bytes:
        """The file as it is; raises `OSError`."""
        for leftover in self.folder.glob(f".{LATENTS_FILE}.*.part"):
            leftover.unlink(missing_ok=True)
        return self.path.read_bytes()

    def write(self, data: bytes) -> None:
        """Put the file in place; a disk that does not take it costs the next attempt some time."""
        try:
            write_whole(self.path, data)
        except OSError as error:
            self.say(f"latents cannot be saved: {error}")

    def _checked(self, file: bytes, steps: int, shape: tuple[int, ...]) -> tuple[int, np.ndarray]:
        """Raises `ValueError` with what is wrong with the file."""
        text, _, data = file.partition(b"\n")
        head = json_text.loads(text)
        if head["key"] != self.key:
            raise ValueError("they are of another request, model or version")
        if hashlib.sha256(data).hexdigest() != head["digest"]:
            raise ValueError("they are damaged")
        if tuple(head["shape"]) != shape or not 0 < head["step"] <= steps:
            raise ValueError(f"they are {head['shape']} at step {head['step']} of {steps}")
        latents = np.frombuffer(data, np.float32).reshape(shape).copy()
        if not np.isfinite(latents).all():
            raise ValueError("they are not finite")
        return head["step"], latents
