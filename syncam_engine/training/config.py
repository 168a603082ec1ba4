# SPDX-License-Identifier: Apache-2.0
"""The training configuration: typed, checked when made (`config_file.py` reads it from YAML).

The kinds of training (`registry.TASKS`) share all but the model: `multiview` is the transformer
with its MVS modules; a kind of a model's own may have a section of its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.registry import named
from syncam_engine.training.registry import SECTIONS, TASKS

TaskKind = Literal[*TASKS]


def config_fault(field_name: str, value: Any, right: str, nearest: Any = None) -> SynCamError:
    """The error for a field's value that cannot be."""
    return SynCamError(
        "config.value",
        f"The training config's {field_name} is {value!r}; it must be {right}.",
        value=value,
        nearest=nearest,
    )


def impossible_model(error: ValueError) -> SynCamError:
    """The error for what a model's own config refuses."""
    return SynCamError("config.value", f"The training config's model cannot be: {error}.")


def at_least(owner: object, prefix: str, low: float, *names: str) -> None:
    """Raise the fault of the first of these fields that is below `low`."""
    for name in names:
        value = getattr(owner, name)
        if value < low:
            raise config_fault(f"{prefix}{name}", value, f"at least {low:g}", low)


def _share(owner: object, prefix: str, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not 0.0 <= value <= 1.0:
            raise config_fault(f"{prefix}{name}", value, "from 0 to 1", min(1.0, max(0.0, value)))


@dataclass(kw_only=True, slots=True)
class SourceConfig:
    """One source of scenes."""

    kind: Literal[
        "latents", "rendered", "syncamvideo", "realestate10k", "nerfstudio", "static-clips"
    ]
    """The reader: `latents` for what `syncam data latents` wrote of any of the others."""
    path: str
    """Folder of the data; `~` and $VARIABLES are expanded."""
    weight: float = 1.0
    """Share of the samples, relative to the other sources that serve the same kind of batch."""
    serves: Literal["both", "stills", "clips"] = "both"
    """The kind of batch that is drawn from it. Moving cameras' pictures can serve stills alone;
    where the others serve clips alone, `phases.stills` is their share of all samples."""
    pictures: str = ""
    """Folder of the pictures or clips where they lie apart from the cameras (realestate10k)."""

    def __post_init__(self) -> None:
        at_least(self, "data.sources.", 0.0, "weight")


@dataclass(kw_only=True, slots=True)
class PhaseConfig:
    """A stretch of training: lasts until `until_step`."""

    until_step: int
    degrees: tuple[float, float] = (0.0, 180.0)
    """Relative angle of the views (paper: [0,60], [30,90], [60,120])."""
    stills: float = 0.0
    """Share of batches that are stills (one picture a view) instead of clips."""
    batch: int = 1
    """Samples of a clip batch, in each process and accumulation step."""
    stills_batch: int = 0
    """Samples of a stills batch; 0 means `batch`."""

    def __post_init__(self) -> None:
        at_least(self, "phases.", 1, "until_step", "batch")
        at_least(self, "phases.", 0, "stills_batch")
        _share(self, "phases.", "stills")
        low, high = self.degrees
        if not 0.0 <= low <= high <= 180.0:
            raise config_fault("phases.degrees", self.degrees, "two rising angles from 0 to 180")

    @property
    def stills_batch_or_batch(self) -> int:
        return self.stills_batch or self.batch


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """Where samples come from and what shape they have."""

    sources: list[SourceConfig]
    views: int = 4
    frames: int = 17
    """T pictures of a clip, 4(F-1)+1."""
    width: int = 160
    height: int = 96
    angle_rule: Literal["anchor", "pairwise"] = "anchor"
    """`anchor`: every view within the phase's angles of the anchor. `pairwise`: of every other."""
    apart: int = 100
    """Most frames between the pictures of a moving camera that serve as views."""
    workers: int = 0
    """Reader processes."""

    def __post_init__(self) -> None:
        at_least(self, "data.", 1, "views", "frames", "width", "height", "apart")
        at_least(self, "data.", 0, "workers")
        if not self.sources or not sum(s.weight for s in self.sources) > 0:
            raise config_fault(
                "data.sources", self.sources, "at least one source with a weight above 0"
            )
        if self.frames % 4 != 1:
            nearest = 4 * ((self.frames - 1) // 4) + 1
            raise config_fault("data.frames", self.frames, "4(F-1)+1", nearest)
        for name in ("width", "height"):
            value = getattr(self, name)
            if value % 16:
                raise config_fault(
                    f"data.{name}", value, "a multiple of 16", max(16, value // 16 * 16)
                )


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """What is trained."""

    preset: str = "preview"
    """Model preset that gives the transformer's sizes and its camera input."""
    transformer: dict[str, Any] = field(default_factory=dict)
    """Sizes that differ from the preset's."""
    camera: dict[str, Any] = field(default_factory=dict)
    """How cameras are read, where it differs from the preset."""
    word_skip: bool = False
    """Whether a text encoder that learns gives every word a way past its layers."""
    base: str = ""
    """Folder of weights to start from: of Wan in diffusers' format, or what an export wrote; for a
    preset in our own format, empty starts from noise."""
    autoencoder: str = ""
    """Folder of the frozen autoencoder; needed for sheets and for sources without latents."""
    dropout: float = 0.0
    """Of what attention and feed-forward layers add, in training; against few scenes."""
    trainable: Literal["all", "new"] = "all"
    """`new`: only the MVS modules learn, the base stays frozen (the paper)."""
    fps: int = 0
    """Pictures a second of the training clips; 0 keeps the preset's."""
    envelope: dict[str, Any] = field(default_factory=dict)
    """What the training data covers, where it differs from the preset's envelope."""
    title: str = ""
    """What people read of the exported preset where they choose one; empty says run and step."""
    licence: str = ""
    """The exported weights' licence, which is whoever trained them to give."""

    def __post_init__(self) -> None:
        _share(self, "model.", "dropout")
        at_least(self, "model.", 0, "fps")


@dataclass(kw_only=True, slots=True)
class FlowConfig:
    """Rectified flow: what is predicted and how time is drawn (t = 1 is noise)."""

    prediction: Literal["x0", "velocity"] = "velocity"
    """What the network's output is; the loss is always on that."""
    time: Literal["logit-normal", "uniform", "shifted-uniform"] = "uniform"
    """`shifted-uniform`: uniform over the sampler's steps, shifted by `shift`."""
    time_mean: float = 0.0
    time_std: float = 1.0
    """Mean and deviation of the logit for `logit-normal`."""
    shift: float = 5.0
    weight: Literal["none", "inverse-time", "bell"] = "none"
    """`inverse-time`: 1/max(t, 0.15)^1.5, for x0; `bell`: the released code's weight over t."""
    middle_weight: float = 1.0
    """How much an error in the middle of the picture counts against one far from it. For cameras
    that look at their subject; where it depends on the place alone, the optimum stays the same."""
    shared_noise: float = 0.0
    """Share of the noise's variance that all frames of a view have in common; the exported preset
    samples with it."""

    def __post_init__(self) -> None:
        if self.time_std <= 0:
            raise config_fault("flow.time_std", self.time_std, "above 0", 1.0)
        at_least(self, "flow.", 1e-3, "shift", "middle_weight")
        _share(self, "flow.", "shared_noise")


@dataclass(kw_only=True, slots=True)
class ConditioningConfig:
    """How often each condition is given, so that guidance and reference mode mean something."""

    text_dropout: float = 0.1
    """Share of samples trained with the empty prompt."""
    reference: float = 0.0
    """Share of samples whose view 0 is clean (paper, video to multi-view video: 0.9)."""
    camera_jitter: float = 0.0
    """Deviation of the cameras that the network is told: radians of their turn, and of their place
    as a share of their distance to what they look at. Few scenes are told apart, and learnt by
    heart, by the exact numbers of their cameras."""

    def __post_init__(self) -> None:
        _share(self, "conditioning.", "text_dropout", "reference", "camera_jitter")


@dataclass(kw_only=True, slots=True)
class OptimConfig:
    """AdamW."""

    learning_rate: float = 1e-4
    warmup_steps: int = 0
    decay: Literal["none", "cosine"] = "none"
    """`cosine` falls to a tenth at the last step."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    accumulation: int = 1
    """Micro-batches of a step."""
    ema_decay: float = 0.0
    """Highest decay of the averaged weights, 0 for none; rises as (1+n)/(10+n)."""

    def __post_init__(self) -> None:
        at_least(self, "optim.", 0.0, "warmup_steps", "weight_decay")
        at_least(self, "optim.", 1, "accumulation")
        if not self.learning_rate > 0:
            raise config_fault("optim.learning_rate", self.learning_rate, "above 0", 1e-4)
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise config_fault("optim.betas", self.betas, "two numbers from 0 to below 1")
        if not self.clip_norm > 0:
            raise config_fault("optim.clip_norm", self.clip_norm, "above 0", 1.0)
        _share(self, "optim.", "ema_decay")


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """Where and how the run goes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    strategy: Literal["single", "ddp", "fsdp"] = "single"
    """`ddp` and `fsdp` (FSDP2, on GPUs) need processes of `accelerate launch` or `torchrun`."""
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    compile: bool = False
    """torch.compile of the blocks (`kind: multiview`; nothing else has any): a minute at the start,
    then a quarter to a half less time a step. Needs a C++ compiler on a CPU."""
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int = 0
    """A checkpoint every so many steps as well; 0 for none."""
    keep_checkpoints: int = 2
    log_steps: int = 20
    sheet_steps: int = 0
    """A sheet of samples every so many steps; 0 for none."""
    sheet_prompts: list[str] = field(default_factory=list)
    """Prompts of the sheet; empty takes captions of the data."""

    def __post_init__(self) -> None:
        at_least(self, "run.", 1, "keep_checkpoints", "log_steps")
        at_least(self, "run.", 0, "checkpoint_steps", "sheet_steps", "checkpoint_minutes")


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """One training run."""

    name: str
    """Names the run's folder."""
    kind: TaskKind = "multiview"
    seed: int = 0
    """All chance follows from it: data order, noise, dropout, first weights."""
    data: DataConfig
    phases: list[PhaseConfig]
    model: ModelConfig = field(default_factory=ModelConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    section: Any = field(default=None, metadata={"in_yaml": False})
    """What the kind alone has (`registry.SECTIONS`); in YAML it has the kind's name."""

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or any(c in self.name for c in "/\\"):
            raise config_fault("name", self.name, "a plain name")
        if not 0 <= self.seed < 2**63:
            raise config_fault("seed", self.seed, "from 0 to 2^63 - 1", 0)
        if self.run.strategy == "fsdp" and self.kind != "multiview":
            raise config_fault("run.strategy", "fsdp", f"single or ddp for kind {self.kind}", "ddp")
        if self.run.strategy == "fsdp" and self.run.sheet_steps:
            # A sheet is drawn by one process, which has no whole model then.
            raise config_fault("run.sheet_steps", self.run.sheet_steps, "0 with strategy fsdp", 0)
        if self.section is None and self.kind in SECTIONS:
            self.section = named(SECTIONS[self.kind])()
        if self.section is not None:
            self.section.check(self)
        steps = [phase.until_step for phase in self.phases]
        if not steps or sorted(set(steps)) != steps:
            raise config_fault("phases", steps, "at least one phase, with rising until_step")

    @property
    def steps(self) -> int:
        """The last step."""
        return self.phases[-1].until_step

    def phase_at(self, step: int) -> PhaseConfig:
        """The phase of step number `step` (from 0); the last one holds beyond the end."""
        return next((p for p in self.phases if step < p.until_step), self.phases[-1])

    def digest(self) -> str:
        """What must stay the same for a run to go on: the model, its seed and its meaning.

        Rates, phases, sources and reporting may change between sessions of a run.
        """
        kept = {
            "kind": self.kind,
            "seed": self.seed,
            "size": [self.data.views, self.data.frames, self.data.width, self.data.height],
            "model": [self.model.preset, self.model.transformer, self.model.trainable],
            "prediction": self.flow.prediction,
        }
        if self.model.word_skip:
            kept["word_skip"] = True
        if self.model.camera:
            kept["camera"] = self.model.camera
        if self.section is not None:
            kept[self.kind] = self.section.kept()
        text = json.dumps(kept, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
