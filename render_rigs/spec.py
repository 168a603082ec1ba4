# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set of scenes is asked to be. The job file that a worker process reads is this as JSON."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from render_rigs.moves import MODES
from render_rigs.places import PLACES
from syncam_engine.link import json_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """The options of ``syncam render``. The defaults are the paper's set."""

    seed: int = 7
    scenes: int = 500
    cameras: int = 36
    frames: int = 100
    width_px: int = 672
    height_px: int = 384
    fps: int = 15
    engine: str = "cycles"
    samples: int = 64
    denoise: bool = True
    bounces: int = 4
    device: str = "cpu"
    """auto, cpu or gpu."""
    passes: tuple[str, ...] = ("rgb",)
    fast: bool = False
    """Low-poly places and subjects, coarse textures, small noise."""
    packed: bool = False
    """Write shards of raw frames instead of the SynCamVideo folders."""
    per_shard: int = 20
    radius_m: tuple[float, float] = (3.5, 9.0)
    elevation_deg: tuple[float, float] = (0.0, 45.0)
    focal_mm: tuple[float, float] = (24.0, 24.0)
    sensor_mm: float = 23.76
    subjects: tuple[int, int] = (1, 2)
    camera_motion: str = "static"
    places: tuple[str, ...] = ()
    """Only these kinds; empty: all."""
    preview: bool = False
    assets: str = ""
    locations: str = ""
    threads: int = 0
    out: str = ""

    def __post_init__(self) -> None:
        for name in ("scenes", "cameras", "frames", "width_px", "height_px", "fps", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.camera_motion not in MODES:
            raise ValueError(f"camera_motion is {self.camera_motion!r}: one of {', '.join(MODES)}")
        unknown = sorted(set(self.places) - set(PLACES))
        if unknown:
            raise ValueError(f"unknown places {', '.join(unknown)}: there are {', '.join(PLACES)}")
        for name in ("radius_m", "elevation_deg", "focal_mm", "subjects"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (low, high), got {(low, high)}")

    @property
    def duration_s(self) -> float:
        return self.frames / self.fps

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "RenderSpec":
        data = json_text.loads(text)
        known = {f.name for f in fields(cls)}
        return cls(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known}
        )

    @classmethod
    def read(cls, path: Path) -> "RenderSpec":
        return cls.from_json(Path(path).read_text())
