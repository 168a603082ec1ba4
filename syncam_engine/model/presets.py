# SPDX-License-Identifier: Apache-2.0
"""Presets: a network's sizes, how its cameras are read, how it is sampled, what it was trained on.

Read by the server process, which never imports torch; nor does this file. A preset is plain data:
`to_dict` / `from_dict` are `preset.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from syncam_engine.link.envelope import Envelope
from syncam_engine.link.errors import SynCamError

ENGINE_FOLDER = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """The sizes of diffusers' Wan transformer, and the form of the MVS in its blocks."""

    num_attention_heads: int
    attention_head_dim: int
    """Width D = heads x head size."""
    num_layers: int
    ffn_dim: int
    in_channels: int
    """Latent channels of the autoencoder."""
    text_dim: int
    """Width of the text encoder's tokens."""
    patch_size: tuple[int, int, int] = (1, 2, 2)
    freq_dim: int = 256
    cross_attn_norm: bool = True
    eps: float = 1e-6
    rope_max_seq_len: int = 1024
    mask_text: bool = False
    """Whether padding tokens are hidden from cross-attention; Wan lets them be seen (as zeros)."""
    mvs_form: Literal["paper", "released"] = "paper"
    camera_numbers: int = 12
    """R: `CameraEncoding.numbers` of the preset."""
    view_rope: bool = True
    """Whether the view attention's rotary embedding counts the views (in the frames' place)."""
    pooled_text: bool = False
    """Whether the text's mean joins the timestep in the modulation; for networks too small to learn
    a prompt's place and light by cross-attention alone. Wan has none."""
    refiner_width: int = 0
    """Channels of the convolutions behind the transformer (`cell_refiner.py`); Wan has none: 0."""

    def __post_init__(self) -> None:
        sizes = ("num_attention_heads", "num_layers", "ffn_dim", "in_channels", "text_dim")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.refiner_width < 0 or self.refiner_width % 8:
            raise ValueError(
                f"refiner_width is {self.refiner_width}; it must be 0 or a multiple of 8"
            )
        if self.attention_head_dim % 2 or self.attention_head_dim < 12:
            raise ValueError(
                f"attention_head_dim is {self.attention_head_dim}; it must be even and at least 12"
            )
        if tuple(self.patch_size) != (1, 2, 2):
            raise ValueError(
                f"patch_size is {list(self.patch_size)}; it must be [1, 2, 2], Wan's: cameras are "
                "encoded for tokens of that size"
            )
        if self.mvs_form not in ("paper", "released"):
            raise ValueError(f"mvs_form is {self.mvs_form!r}; it must be 'paper' or 'released'")

    @property
    def width(self) -> int:
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraEncoding:
    """What the network reads of a rig; made in `camera_encoding.py` and nowhere else."""

    encoding: Literal["extrinsics", "plucker"] = "extrinsics"
    """12 numbers of the relative pose, or 6 of the ray through each token (lens and zoom count)."""
    unit_m: float = 2.0
    """Metres that are 1 for the network."""
    anchoring: Literal["per_frame", "first_frame"] = "per_frame"
    """Relative to the anchor at the same frame (as released), or to the anchor at frame 0."""
    anchor_gravity: bool = False
    """Adds the world's up in the anchor's axes and the anchor's height: 4 numbers."""
    ground_frequencies: int = 0
    """With rays: adds where a token's ray meets the ground plane z = 0, seen from below the anchor:
    3 numbers and 4 for each frequency. 0 leaves it out."""
    pattern: Literal["full", "epipolar", "geometric"] = "full"
    """What a token sees in the other views: everything, the tokens on its epipolar line alone, or
    everything with heads that favour where its spot is seen (`correspondence.py`)."""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("encoding", ("extrinsics", "plucker")),
            ("anchoring", ("per_frame", "first_frame")),
            ("pattern", ("full", "epipolar", "geometric")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be {' or '.join(allowed)}"
                )
        if not self.unit_m > 0:
            raise ValueError(f"unit_m is {self.unit_m}; it must be positive")
        if self.ground_frequencies and self.encoding != "plucker":
            raise ValueError("ground_frequencies needs encoding 'plucker': it is per token")

    @property
    def numbers(self) -> int:
        """R: how many numbers a camera (or a token's ray) is to the network."""
        base = 12 if self.encoding == "extrinsics" else 6
        ground = 3 + 4 * self.ground_frequencies if self.ground_frequencies else 0
        return base + 4 * self.anchor_gravity + ground


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingDefaults:
    """How the preset is sampled unless the request says otherwise."""

    steps: int
    shift: float
    """Sigmas are linspace(1, 1/n, n), then s -> shift s / (1 + (shift - 1) s)."""
    guidance_scale: float
    prediction: Literal["velocity", "x0"] = "velocity"
    negative_prompt: str = ""
    reference_text_scale: float = 7.5
    """s_T of Eq. 7."""
    reference_video_scale: float = 1.8
    """s_V of Eq. 7."""
    reference_timestep: Literal["shared", "zero"] = "shared"
    """The timestep a clean reference view is shown with: everybody's, or 0."""
    strategy: Literal["joint", "anchored_pairs"] = "joint"
    """For more views than it was trained on together: all at once, or each with the anchor."""
    previz_strength: float = 0.6
    """The noise level that a previz job's clips start from."""
    shared_noise: float = 0.0
    """Share of the starting noise's variance that all frames of a camera have in common."""
    previz_shared_noise: float = 0.0
    """The same for previz jobs, whose own pictures hold the figures."""

    def __post_init__(self) -> None:
        for name in ("shared_noise", "previz_shared_noise"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")
        if not 0.0 < self.previz_strength <= 1.0:
            raise ValueError(
                f"previz_strength is {self.previz_strength}; it must be above 0 and at most 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a preset's weights come from."""

    kind: Literal["package", "diffusers"]
    """Our own folder of safetensors, or a diffusers-format base (folder or hub id) plus an MVS."""
    base: str
    """The folder's name under `syncam_engine/weights`, or a folder or hub id."""
    mvs_file: str = ""
    """For a diffusers base: the safetensors file made by `syncam checkpoint convert`."""
    licence: str = ""
    """Shown before a download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One model as people choose it."""

    name: str
    title: str
    source: Source
    transformer: TransformerConfig
    camera: CameraEncoding
    sampling: SamplingDefaults
    envelope: Envelope
    fps: int = 15

    def __post_init__(self) -> None:
        if self.transformer.camera_numbers != self.camera.numbers:
            raise ValueError(
                f"transformer.camera_numbers is {self.transformer.camera_numbers} in preset "
                f"{self.name!r}; its camera encoding has {self.camera.numbers}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """WIDTH, HEIGHT: the first of the envelope's."""
        return self.envelope.sizes[0]

    @property
    def frames(self) -> int:
        return self.envelope.frames[-1]

    def request_defaults(self, mode: str = "text") -> dict[str, Any]:
        """Return what a request's open fields (None) mean for this preset, by their names.

        With a reference video the guidance scale is s_T of Eq. 7.
        """
        reference = mode == "reference"
        sampling = self.sampling
        return {
            "steps": sampling.steps,
            "guidance_scale": (
                sampling.reference_text_scale if reference else sampling.guidance_scale
            ),
            "width": self.size[0],
            "height": self.size[1],
            "frames": self.frames,
            "fps": (self.fps, 1),
            "previz_strength": sampling.previz_strength,
        }

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Preset:
        """Return the preset of plain data; raises SynCamError ("preset.fields") naming a fault."""
        parts = {
            "source": Source,
            "transformer": TransformerConfig,
            "camera": CameraEncoding,
            "sampling": SamplingDefaults,
        }
        try:
            values = {name: _made(kind, data[name]) for name, kind in parts.items()}
            values["envelope"] = Envelope.from_dict(data["envelope"])
            plain = {k: v for k, v in data.items() if k not in parts and k != "envelope"}
            return _made(cls, {**plain, **values})
        except (KeyError, TypeError, ValueError) as error:
            raise SynCamError(
                "preset.fields",
                f"The preset {data.get('name', '?')!r} cannot be read: {error}.",
                value=str(error),
            ) from error

    @classmethod
    def read(cls, path: Path) -> Preset:
        """Return the preset of a `preset.json`."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SynCamError(
                "preset.file", f"The preset file {path} cannot be read: {error}.", value=str(path)
            ) from error
        return cls.from_dict(data)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")


def _made(kind: type, data: dict[str, Any]) -> Any:
    """Return a dataclass from plain data: lists become tuples, unknown fields are refused."""
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r} of {kind.__name__}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


WAN_NEGATIVE_PROMPT = (
    "overexposed, static, blurred details, subtitles, painting, grey, worst quality, low quality, "
    "JPEG artefacts, ugly, deformed, extra fingers, fused fingers, still picture, messy background"
)

# The recipe of the preview model; `preview/weights/preset.json`, when there, is what was shipped.
_PREVIEW_CAMERA = CameraEncoding(
    encoding="plucker", unit_m=4.0, anchor_gravity=True, ground_frequencies=4
)
PREVIEW_RECIPE = Preset(
    name="preview",
    title="Preview (in the package, runs on a CPU)",
    source=Source(kind="package", base="preview", licence="Apache-2.0"),
    transformer=TransformerConfig(
        num_attention_heads=6,
        attention_head_dim=32,
        num_layers=8,
        ffn_dim=768,
        in_channels=24,
        text_dim=128,
        freq_dim=128,
        mask_text=True,
        rope_max_seq_len=64,
        mvs_form="paper",
        camera_numbers=_PREVIEW_CAMERA.numbers,
        view_rope=False,
    ),
    camera=_PREVIEW_CAMERA,
    sampling=SamplingDefaults(
        steps=10,
        shift=1.0,
        guidance_scale=2.0,
        prediction="x0",
        reference_text_scale=2.0,
        reference_video_scale=1.5,
        reference_timestep="zero",
        previz_strength=0.4,
        previz_shared_noise=0.5,
    ),
    envelope=Envelope(
        sizes=((160, 96),),
        frames=(1, 5, 9, 13, 17),
        fps=(8.0, 8.0),
        views=(1, 6),
        trained_views=4,
        hfov_deg=(40.0, 75.0),
        distance_m=(3.5, 9.0),
        elevation_deg=(0.0, 45.0),
        relative_azimuth_deg=180.0,
        relative_elevation_deg=45.0,
        roll_deg=5.0,
        moving_cameras=False,
        steps=(1, 50),
        prompt_characters=400,
        memory_gb=1.0,
    ),
    fps=8,
)

WAN_1_3B = Preset(
    name="wan2.1-1.3b",
    title="SynCamMaster on Wan2.1 1.3B (needs a GPU and two downloads)",
    source=Source(
        kind="diffusers",
        base="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        mvs_file="syncammaster-step20000-mvs.safetensors",
        licence="Wan2.1: Apache-2.0. The SynCamMaster checkpoint: see its authors' page; "
        "it is not redistributed with SynCam.",
    ),
    transformer=TransformerConfig(
        num_attention_heads=12,
        attention_head_dim=128,
        num_layers=30,
        ffn_dim=8960,
        in_channels=16,
        text_dim=4096,
        mvs_form="released",
        camera_numbers=12,
    ),
    camera=CameraEncoding(encoding="extrinsics", unit_m=2.0),
    sampling=SamplingDefaults(
        steps=50,
        shift=5.0,
        guidance_scale=5.0,
        negative_prompt=WAN_NEGATIVE_PROMPT,
        strategy="anchored_pairs",
    ),
    envelope=Envelope(
        sizes=((832, 480), (672, 384)),
        frames=(17, 33, 49, 65, 81),
        fps=(15.0, 15.0),
        views=(1, 16),
        trained_views=2,
        hfov_deg=(52.67, 52.67),
        distance_m=(3.5, 9.0),
        elevation_deg=(0.0, 45.0),
        relative_azimuth_deg=30.0,
        relative_elevation_deg=15.0,
        roll_deg=5.0,
        moving_cameras=False,
        steps=(1, 100),
        prompt_characters=2000,
        memory_gb=27.5,
    ),
    fps=15,
)


def package_folder(base: str) -> Path:
    """Return the folder of weights in our own format: NAME's in the package, or a path."""
    named = Path(base)
    return named if named.is_absolute() else ENGINE_FOLDER / named / "weights"


def list_presets() -> list[str]:
    """Return the names of all presets, the default of a machine without a GPU first."""
    return ["preview", "wan2.1-1.3b"]


def get_preset(name: str) -> Preset:
    """Return a preset by name, or of a path to a `preset.json` (a model of one's own).

    Raises SynCamError ("preset.unknown") with the names that there are.
    """
    if name == "preview":
        shipped = package_folder("preview") / "preset.json"
        return Preset.read(shipped) if shipped.is_file() else PREVIEW_RECIPE
    if name == WAN_1_3B.name:
        return WAN_1_3B
    if name.endswith(".json") and Path(name).is_file():
        return Preset.read(Path(name))
    raise SynCamError(
        "preset.unknown",
        f"There is no preset {name!r}; there are {', '.join(list_presets())}, "
        "and any preset.json by its path.",
        value=name,
        nearest=list_presets()[0],
    )
