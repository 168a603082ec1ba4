# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a run: written whole or not at all, so that a kill at any moment loses no state.

RUN/checkpoints/step-00000123/{state.json, model.safetensors, ema.safetensors, optimizer.pt}
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError

FORMAT_VERSION = 1
REPLACED = ".replaced"
"""Ends the name of a checkpoint while another of the same step takes its place."""
DAMAGED = (
    *(OSError, ValueError, TypeError, RuntimeError, EOFError),
    *(SafetensorError, pickle.UnpicklingError),
)
"""What reading a missing or damaged file of a checkpoint raises."""


@dataclass(kw_only=True, slots=True)
class RunState:
    """What a run remembers beside its tensors. Data order and noise follow from the step alone."""

    step: int = 0
    """Steps done."""
    config_digest: str = ""
    samples: int = 0
    """Samples seen, all processes together."""
    hours: float = 0.0
    """Wall-clock hours of training over all sessions."""
    scenes: int = 0
    """Scenes of the data at the last session."""
    words: list[str] = field(default_factory=list)
    """The vocabulary, in id order: words met later are appended."""
    recent: dict[str, float] = field(default_factory=dict)
    """Running means of what is logged."""


def write_checkpoint(
    folder: Path,
    state: RunState,
    model: dict[str, Tensor],
    ema: dict[str, Tensor] | None,
    optimizer: dict[str, Any],
    keep: int,
) -> Path:
    """Write a checkpoint and delete all but the `keep` newest. Returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{state.step:08d}"
    for unfinished in folder.glob(".partial-*"):  # Left by a process that was killed.
        shutil.rmtree(unfinished)
    partial = folder / f".partial-{os.getpid()}"
    partial.mkdir()
    save_file(_plain(model), partial / "model.safetensors")
    if ema is not None:
        save_file(_plain(ema), partial / "ema.safetensors")
    torch.save(optimizer, partial / "optimizer.pt")
    document = {"format": "syncam-checkpoint", "version": FORMAT_VERSION, **asdict(state)}
    (partial / "state.json").write_text(json.dumps(document, indent=1), "utf-8")
    # One of the same step stays readable until the new one has its name.
    replaced = target.with_name(target.name + REPLACED)
    if target.exists():
        if replaced.exists():
            shutil.rmtree(replaced)
        target.rename(replaced)
    partial.rename(target)
    if replaced.exists():
        shutil.rmtree(replaced)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [p.parent for p in folder.glob("step-*/state.json")]
    return sorted(
        found, key=lambda p: (p.name.removesuffix(REPLACED), not p.name.endswith(REPLACED))
    )


def latest_or_none(folder: Path) -> Path | None:
    """The newest complete checkpoint."""
    found = checkpoints(folder)
    return found[-1] if found else None


def read_state(checkpoint: Path, config_digest: str | None = None) -> RunState:
    """The state of a checkpoint; with a digest, refuses a checkpoint of another config."""
    file = checkpoint / "state.json"
    with _reading(file):
        document = dict(json_text.loads(file.read_text("utf-8")))
    if document.pop("format", None) != "syncam-checkpoint":
        raise SynCamError("checkpoint.format", f"{checkpoint} is not a SynCam checkpoint.")
    if document.pop("version", None) != FORMAT_VERSION:
        raise SynCamError("checkpoint.version", f"{checkpoint} is of another SynCam version.")
    with _reading(file):
        state = RunState(**document)
    if config_digest is not None and state.config_digest != config_digest:
        raise SynCamError(
            "checkpoint.config",
            f"The checkpoint {checkpoint} was made with another config "
            f"({state.config_digest}, this one is {config_digest}).",
            value=state.config_digest,
            nearest=config_digest,
            fix="Give the run another name, or restore the config's model, sizes and seed",
        )
    return state


def read_tensors(checkpoint: Path, name: str = "model") -> dict[str, Tensor]:
    """The tensors of `model` or `ema`."""
    file = checkpoint / f"{name}.safetensors"
    with _reading(file):
        return load_file(file)


def has_averages(checkpoint: Path) -> bool:
    """Whether the run kept averaged weights then."""
    return (checkpoint / "ema.safetensors").is_file()


def load_into(net: nn.Module, checkpoint: Path) -> None:
    """Load a checkpoint's weights. Raises `SynCamError` when they are of another network."""
    try:
        net.load_state_dict(read_tensors(checkpoint))
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise SynCamError(
            "checkpoint.config",
            f"The checkpoint {checkpoint} is of another network: {first}",
            value=str(checkpoint),
            fix="Give the run another name",
        ) from error


def read_optimizer(checkpoint: Path) -> dict[str, Any]:
    """The optimiser's state, as `write_checkpoint` was given it."""
    file = checkpoint / "optimizer.pt"
    with _reading(file):
        return torch.load(file, map_location="cpu", weights_only=True)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turns what a missing or damaged file raises into one sentence."""
    try:
        yield
    except DAMAGED as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise SynCamError(
            "checkpoint.damaged",
            f"The checkpoint's file {file} cannot be read: {said}",
            value=str(file),
            fix=f"Delete {file.parent}: the run goes on from the checkpoint before it",
        ) from error


def wait_for_next_second(curves: Path) -> None:
    """Wait until a new file of curves will be named after those that are there, 2 s at most.

    TensorBoard reads them in the order of their names, which begin with the second of their start:
    a run that goes on in the second in which the last one began would be read before it.
    """
    names = [path.name for path in curves.glob("events.out.tfevents.*")]
    newest = max((int(name.split(".")[3]) for name in names), default=0)
    end_s = time.monotonic() + 2.0
    while int(time.time()) <= newest and time.monotonic() < end_s:
        time.sleep(0.02)


def forget_after(log: Path, step: int) -> None:
    """Drop a log's lines after `step`, and a last line that a kill cut short."""
    if not log.is_file():
        return
    kept = []
    for line in log.read_text("utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:
            continue
    partial = log.with_suffix(f".{os.getpid()}.partial")
    partial.write_text("".join(kept), "utf-8")
    partial.replace(log)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
