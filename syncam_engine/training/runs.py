# SPDX-License-Identifier: Apache-2.0
"""From a config to a trainer, and from a run to the files that ship."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from syncam_engine.data.latents import LatentStore
from syncam_engine.data.mixture import Mixture, uneven_or_empty
from syncam_engine.data.sources import open_source
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.presets import package_folder
from syncam_engine.model.registry import named
from syncam_engine.model.transformer_files import write_package
from syncam_engine.training import checkpoint as files
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.config_file import differing_fields, read_config
from syncam_engine.training.multiview import MultiViewTask, trained_preset
from syncam_engine.training.registry import EXPORTS, SHEETS, TASKS
from syncam_engine.training.tasks import Task
from syncam_engine.training.trainer import CONFIG_FILE, Trainer, run_folder


def open_mixture(config: TrainConfig, say: Callable[[str], None] = print) -> Mixture:
    """The config's sources as one mixture; what was skipped is said."""
    sources, digests = [], set()
    for source in config.data.sources:
        reader = open_source(source.kind, source.path, source.pictures)
        say(f"{reader.name}: {len(reader.scenes)} scenes, {reader.broken.report()}")
        if isinstance(reader, LatentStore):
            _check_size(config, reader)
            digests.add(reader.info.get("autoencoder"))
        sources.append((reader, source.weight))
    if len(digests) > 1:
        say(
            "The sources' latents were encoded with different files of an autoencoder: mind that "
            "they mean the same (a decoder trained anew leaves them as they are)."
        )
    return Mixture(
        sources,
        seed=config.seed,
        width_px=config.data.width,
        height_px=config.data.height,
        angle_rule=config.data.angle_rule,
        apart=config.data.apart,
        serves=[source.serves for source in config.data.sources],
    )


def _check_size(config: TrainConfig, store: LatentStore) -> None:
    """Latents cannot be scaled: raise `SynCamError` unless they are of the config's size."""
    wanted = (config.data.width, config.data.height)
    sizes = {(scene.width_px, scene.height_px) for scene in store.scenes}
    for width, height in sorted(sizes - {wanted}):
        raise SynCamError(
            "config.value",
            f"The latents in {store.folder} are of {width}x{height} pictures; the training "
            f"config's data.width and data.height say {wanted[0]}x{wanted[1]}.",
            value=list(wanted),
            nearest=[width, height],
        )


def make_task(config: TrainConfig, mixture: Mixture, folder: Path) -> Task:
    """The task of the config's kind; a run that is resumed keeps its vocabulary."""
    return named(TASKS[config.kind]).of_run(config, mixture, saved_words(folder))


def saved_words(folder: Path) -> list[str]:
    """The vocabulary of the run's last checkpoint; empty without one."""
    found = files.latest_or_none(folder / "checkpoints")
    return [] if found is None else files.read_state(found).words


def make_trainer(
    config: TrainConfig, folder: Path | None = None, say: Callable[[str], None] = print
) -> Trainer:
    """A trainer of the config, at the run's last checkpoint if it has one."""
    folder = folder or run_folder(config)
    mixture = open_mixture(config, say)
    task = make_task(config, mixture, folder)
    for sentence in draws_in_words(config, task, mixture):
        say(sentence)
    on_sheet = None
    if config.run.sheet_steps:
        on_sheet = named(SHEETS[config.kind])(config, task, mixture)
    return Trainer(config, task, mixture, folder, say=say, on_sheet=on_sheet)


def run_config(
    config: TrainConfig, overrides: Sequence[str], folder: Path, say: Callable[[str], None] = print
) -> TrainConfig:
    """The config that the run in `folder` was last trained with, with `overrides`; the given one
    where the run has none. Where they differ it is said."""
    saved = folder / CONFIG_FILE
    if not saved.is_file():
        return config
    own = read_config(saved, overrides)
    if differing := differing_fields(config, own):
        say(f"by the run's own config {saved}; the one given differs in {', '.join(differing)}")
    return own


def check(config: TrainConfig, folder: Path, say: Callable[[str], None] = print) -> bool:
    """Say what a run asks for: its data, what it starts from, memory and time; nothing is written.

    Returns whether all is there. What is missing is said, all of it and not the first alone.
    """
    faults, scenes = [], []
    for source in config.data.sources:
        try:
            scenes += open_source(source.kind, source.path, source.pictures).scenes
        except SynCamError as error:
            faults.append(error)
    if config.kind == "multiview":
        try:
            MultiViewTask(config, scenes, saved_words(folder))
        except SynCamError as error:
            faults.append(error)
    for fault in faults:
        say(str(fault))
    if not faults:
        trainer = make_trainer(config, folder, say)
        say(trainer.needs(config.steps))
    return not faults


def draws_in_words(config: TrainConfig, task: Task, mixture: Mixture) -> Iterator[str]:
    """How stills and clips are drawn from the sources, in each phase where it is another way; what
    the config asks for and is not drawn."""
    said, drawn = set(), set()
    for phase in config.phases:
        request = task.request(phase)
        stills, clips = ("stills", 1), ("clips", request.frames)
        for (kind, frames), (other, other_frames), share in (
            (stills, clips, request.stills),
            (clips, stills, 1.0 - request.stills),
        ):
            if share <= 0:
                continue
            sentences = []
            draws = mixture.draws(request, frames)
            if draws and len(mixture.sources) > 1:
                sentences = [f"{kind}: " + ", ".join(map(str, draws)), uneven_or_empty(draws)]
            elif not draws and (draws := mixture.draws(request, other_frames)):
                sentences = [f"No source gives {kind}: {other} are drawn in their place."]
            drawn.update(d.name for d in draws)
            yield from (s for s in sentences if s and s not in said)
            said.update(sentences)
    for source, weight in mixture.sources:
        if weight > 0 and drawn and source.name not in drawn:
            yield (
                f"{source.name} is never drawn: no phase asks for the kind of batch that it can "
                "serve (phases.stills, data.sources.serves)."
            )


def averaged_tensors(checkpoint: Path) -> dict[str, Tensor]:
    """The weights to ship: the averaged ones where there are, else the plain."""
    tensors = files.read_tensors(checkpoint)
    if files.has_averages(checkpoint):
        tensors.update(files.read_tensors(checkpoint, "ema"))
    return tensors


def export(
    config: TrainConfig,
    target: Path,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> files.RunState:
    """Write the run's averaged weights as a preset's files, in 16 bits. Returns the run's state.

    An autoencoder run writes `autoencoder.safetensors`, a classifier run
    `classifier.safetensors` (in 32 bits); a multi-view run everything else, beside the autoencoder
    that it was trained with.
    """
    folder = folder or run_folder(config)
    found = files.latest_or_none(folder / "checkpoints")
    if found is None:
        raise SynCamError(
            "checkpoint.missing",
            f"The run {config.name} has no checkpoint in {folder}.",
            value=str(folder),
            fix="Train it first",
        )
    state = files.read_state(found, config.digest())
    target.mkdir(parents=True, exist_ok=True)
    tensors = averaged_tensors(found)
    if config.kind == "multiview":
        _export_multiview(config, tensors, state, target, say)
    else:
        named(EXPORTS[config.kind])(config, tensors, target, partial(open_mixture, config, say))
    for path in target.iterdir():
        if path.is_file():
            path.chmod(0o644)  # safetensors writes for the owner alone; these files are shipped.
    total = sum(p.stat().st_size for p in target.iterdir() if p.is_file())
    say(f"wrote step {state.step} to {target}, {total / 1e6:.1f} MB in all")
    return state


def _export_multiview(
    config: TrainConfig,
    tensors: dict[str, Tensor],
    state: files.RunState,
    target: Path,
    say: Callable[[str], None],
) -> None:
    preset = trained_preset(config)
    if preset.source.kind == "diffusers":
        # The base is the hub's own: only what is new is written, as the presets read it.
        new = {
            name.removeprefix("transformer."): tensor.to(torch.float16).contiguous()
            for name, tensor in tensors.items()
            if ".mvs." in name
        }
        metadata = {"format": "syncam-mvs", "form": preset.transformer.mvs_form}
        save_file(new, target / f"{config.name}-mvs.safetensors", metadata=metadata)
        return
    task = MultiViewTask(config, [], state.words)
    net = task.build()
    net.load_state_dict(tensors)
    preset = task.preset
    base = preset.source.base
    if target.resolve() != package_folder(base).resolve():
        # Anywhere but in the package the preset names its own folder, wherever that is moved; or
        # it would be read with the package's weights.
        base = "."
    preset = replace(
        preset,
        name=config.name,
        title=config.model.title or f"{config.name}, {state.step} steps of training",
        source=replace(preset.source, base=base, licence=config.model.licence),
    )
    write_package(target, preset, net.transformer, torch.float16)
    net.text_encoder.save(target)
    if task.autoencoder is not None:
        task.autoencoder.save(target)
    else:
        say(
            f"model.autoencoder is empty: before the preset can be used, copy the "
            f"autoencoder.safetensors of its latents to {target}"
        )
