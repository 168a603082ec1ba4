# SPDX-License-Identifier: Apache-2.0
"""Presets: a network's sizes, how its cameras are read, how it is sampled, what it was trained on.

Read by the server process, which never imports torch; nor does this file. A preset is plain data:
`to_dict` / `from_dict` are `preset.json`.

Shape legend: V views, F latent frames.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from syncam_engine.link import json_text
from syncam_engine.link.envelope import Envelope
from syncam_engine.link.errors import SynCamError, reason_of
from syncam_engine.model.registry import KINDS, PATTERNS, PRESET_FILES, named

if TYPE_CHECKING:
    import numpy as np

PatternName = Literal["full", *PATTERNS]
ENGINE_FOLDER = Path(__file__).parent.parent
GUIDE_CHANNELS = 10
"""What `guides.guide_channels` makes of depth and colours."""
PACKAGE_FILES = tuple(f"{n}.safetensors" for n in ("transformer", "autoencoder", "text_encoder"))
"""The weights in a folder of our own format."""


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

    guide_channels: int = 0
    """G: what the network reads of a scene's geometry (`guides.guide_channels`); 0 for none."""

    NETWORK: ClassVar[str] = "syncam_engine.model.transformer:MultiViewWanTransformer"
    """The class that is built with these sizes (`registry.named`)."""

    def __post_init__(self) -> None:
        sizes = ("num_attention_heads", "num_layers", "ffn_dim", "in_channels", "text_dim")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.attention_head_dim % 2 or self.attention_head_dim < 12:
            raise ValueError(
                f"attention_head_dim is {self.attention_head_dim}; it must be even and at least 12"
            )
        if tuple(self.patch_size) != (1, 2, 2):
            raise ValueError(
                f"patch_size is {list(self.patch_size)}; it must be [1, 2, 2], Wan's: cameras are "
                "encoded for tokens of that size"
            )
        if self.guide_channels not in (0, GUIDE_CHANNELS):
            raise ValueError(
                f"guide_channels is {self.guide_channels}; it must be 0 or {GUIDE_CHANNELS}"
            )
        if self.mvs_form not in ("paper", "released"):
            raise ValueError(f"mvs_form is {self.mvs_form!r}; it must be 'paper' or 'released'")

    @property
    def width(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    def own_parameters(self) -> int:
        """Return how many parameters the network has beyond Wan's and the MVS modules'."""
        if not self.guide_channels:
            return 0
        import torch

        from syncam_engine.model.guide_embedding import GuideEmbedding

        with torch.device("meta"):
            embedding = GuideEmbedding(self.guide_channels, self.width)
        return sum(parameter.numel() for parameter in embedding.parameters())


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
    pattern: PatternName = "full"
    """What a token sees in the other views: everything, or what a pattern of this name lets it
    (`registry.PATTERNS`)."""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("encoding", ("extrinsics", "plucker")),
            ("anchoring", ("per_frame", "first_frame")),
            ("pattern", ("full", *PATTERNS)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be {' or '.join(allowed)}"
                )
        if not self.unit_m > 0:
            raise ValueError(f"unit_m is {self.unit_m}; it must be positive")

    @property
    def numbers(self) -> int:
        """R: how many numbers a camera (or a token's ray) is to the network."""
        base = 12 if self.encoding == "extrinsics" else 6
        return base + 4 * self.anchor_gravity + self.own_count

    @property
    def own_count(self) -> int:
        """Return how many numbers `own_numbers` adds."""
        return 0

    def own_numbers(
        self,
        c2w_VF44: np.ndarray,
        K_VF33: np.ndarray,
        width_px: int,
        height_px: int,
        anchor: int,
    ) -> list[np.ndarray]:
        """Return what a kind's own encoding adds to each token's numbers, arrays [V, F, S, ...]."""
        return []


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
    scene_guidance_scale: float = 1.0
    """The guidance scale of scene jobs."""
    scene_steps: int = 0
    """Steps of scene jobs; 0: as all others."""
    scene_strength: float = 1.0
    """How far a scene job follows the guides: v = v_plain + s [v_scene - v_plain]."""
    scene_until: float = 1.0
    """The share of a scene job's steps, from the first, that see the guides."""

    def __post_init__(self) -> None:
        for name in ("shared_noise", "previz_shared_noise", "scene_strength", "scene_until"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")
        if not 0.0 < self.previz_strength <= 1.0:
            raise ValueError(
                f"previz_strength is {self.previz_strength}; it must be above 0 and at most 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a preset's weights come from."""

    kind: str
    """"package": our own folder of safetensors; "diffusers": a base in diffusers' format (folder or
    hub id) plus an MVS (`registry.KINDS`)."""
    base: str
    """A package of `syncam_engine` with a folder of weights, or a folder or hub id. In a file `.`
    is the file's own folder, and what begins with `./` or `../` is seen from there."""
    mvs_file: str = ""
    """For a diffusers base: the safetensors file made by `syncam checkpoint convert`."""
    licence: str = ""
    """Shown before a download."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; it must be {' or '.join(KINDS)}")


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
        sampling = self.sampling
        scales = {
            "reference": sampling.reference_text_scale,
            "scene": sampling.scene_guidance_scale,
        }
        steps = sampling.scene_steps if mode == "scene" else 0
        scene = {
            "scene_strength": sampling.scene_strength,
            "scene_until": sampling.scene_until,
        }
        return {
            "steps": steps or sampling.steps,
            "guidance_scale": scales.get(mode, sampling.guidance_scale),
            "width": self.size[0],
            "height": self.size[1],
            "frames": self.frames,
            "fps": (self.fps, 1),
            "negative_prompt": sampling.negative_prompt,
            "previz_strength": sampling.previz_strength,
            **(scene if mode == "scene" else {}),
        }

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Preset:
        """Return the preset of plain data; raises SynCamError ("preset.fields") naming a fault."""
        try:
            data = msgspec.convert(data, dict[str, Any])
            words = {k: v for k, v in data.items() if k not in _PARTS}
            words = msgspec.to_builtins(msgspec.convert(words, _Words))
            source = _made(Source, data["source"])
            kind = named(KINDS[source.kind])
            return cls(
                **words,
                source=source,
                transformer=_made(kind.TRANSFORMER, data["transformer"]),
                camera=_made(kind.CAMERA, data["camera"]),
                sampling=_made(SamplingDefaults, data["sampling"]),
                envelope=msgspec.convert(data["envelope"], Envelope),
            )
        except (KeyError, ValueError) as error:
            name = data.get("name") if isinstance(data, dict) else None
            name = name if isinstance(name, str) else "?"
            raise SynCamError(
                "preset.fields",
                f"The preset {name[:60]!r} cannot be read: {error}.",
                value=str(error),
            ) from error

    @classmethod
    def read(cls, path: Path) -> Preset:
        """Return the preset of a `preset.json`."""
        try:
            data = json_text.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SynCamError(
                "preset.file",
                f"The preset file {path} cannot be read: {reason_of(error)}.",
                value=str(path),
                fix=f"Name {path / 'preset.json'}" if path.is_dir() else None,
            ) from error
        preset = cls.from_dict(data)
        base = preset.source.base
        if base.split("/")[0] in (".", ".."):
            base = str((path.parent / base).resolve())
        return replace(preset, source=replace(preset.source, base=base))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")


_PARTS = ("source", "transformer", "camera", "sampling", "envelope")


class _Words(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a preset holds beside its parts."""

    name: str
    title: str
    fps: int = 15


def _made(kind: type, data: dict[str, Any]) -> Any:
    """Return a dataclass from plain data, checked by type; unknown fields are refused."""
    made = msgspec.convert(data, kind)
    unknown = sorted(set(data) - {f.name for f in fields(kind)})
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r} of {kind.__name__}")
    return made


WAN_NEGATIVE_PROMPT = (
    "overexposed, static, blurred details, subtitles, painting, grey, worst quality, low quality, "
    "JPEG artefacts, ugly, deformed, extra fingers, fused fingers, still picture, messy background"
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
    return [*PRESET_FILES, WAN_1_3B.name]


def get_preset(name: str) -> Preset:
    """Return a preset by name, or of a path to a `preset.json` (a model of one's own).

    Raises SynCamError ("preset.unknown") with the names that there are.
    """
    if name in PRESET_FILES:
        return Preset.read(ENGINE_FOLDER / PRESET_FILES[name])
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
