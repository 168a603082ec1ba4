# SPDX-License-Identifier: Apache-2.0
"""The training loop, the same for every task.

What happens at step k follows from the config, the data and k alone (data order, noise, dropout),
so a run that is killed and started again goes on as if it had not been.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from syncam_engine.data.mixture import Mixture
from syncam_engine.data.scene import BrokenFile, BrokenFiles, FoundBroken, Sample
from syncam_engine.link.errors import SynCamError
from syncam_engine.training import checkpoint as files
from syncam_engine.training.averaging import AveragedWeights
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.config_file import write_config
from syncam_engine.training.estimate import check_memory, duration, estimate
from syncam_engine.training.processes import (
    load_optimizer_state,
    make_accelerator,
    prepare,
    whole,
    whole_optimizer_state,
)
from syncam_engine.training.reading import MicroBatches, micro_batches
from syncam_engine.training.tasks import Task

log = logging.getLogger(__name__)

LOG_FILE = "log.jsonl"
CONFIG_FILE = "config.yaml"
"""The run's own config, as its last session had it."""
FIRST_STEPS = (1, 2, 5, 10)
"""Of a session: they are told whatever `log_steps` is, as many a step takes its time."""
LR_FLOOR = 0.1
MEAN_KEEP = 0.98
"""Share of the old value in the running means that are printed."""


@dataclass(kw_only=True, slots=True)
class TrainResult:
    """How a run ended."""

    step: int
    losses: list[float]
    """Loss of every step of this session."""
    checkpoint: Path | None


def run_folder(config: TrainConfig) -> Path:
    """Where a run keeps its checkpoints: under $SYNCAM_TRAINING or ~/.cache/syncam/training."""
    root = os.environ.get("SYNCAM_TRAINING")
    base = Path(root) if root else Path.home() / ".cache" / "syncam" / "training"
    return base / config.name


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of step `step`: linear warm-up, then level or a cosine down to a tenth."""
    optim = config.optim
    rate = optim.learning_rate * min(1.0, (step + 1) / max(1, optim.warmup_steps))
    if optim.decay == "cosine":
        done = min(1.0, step / config.steps)
        rate *= LR_FLOOR + (1.0 - LR_FLOOR) * 0.5 * (1.0 + math.cos(math.pi * done))
    return rate


class Trainer:
    """One run of one task."""

    def __init__(
        self,
        config: TrainConfig,
        task: Task,
        mixture: Mixture,
        folder: Path,
        *,
        say: Callable[[str], None] = print,
        on_sheet: Callable[[Any, int, Path], None] | None = None,
    ) -> None:
        self.config, self.task, self.mixture = config, task, mixture
        self.folder, self.say, self.on_sheet = Path(folder), say, on_sheet
        self.accelerator = make_accelerator(config)
        self.device = self.accelerator.device
        self.main = self.accelerator.is_main_process
        self.state = files.RunState(config_digest=config.digest())
        self.net = task.build()
        if files.latest_or_none(self.folder / "checkpoints") is None:
            task.start(self.net)
        averaged = config.optim.ema_decay > 0
        sharded = self.accelerator.is_fsdp2
        shares = self.accelerator.num_processes if sharded else 1
        check_memory(self.net, averaged, self.device, shares)
        found = files.latest_or_none(self.folder / "checkpoints")
        if found:
            self.state = files.read_state(found, config.digest())
            files.load_into(self.net, found)
        if not sharded:  # Sharding moves each process's part alone.
            self.net.to(self.device)
        self.optimizer = torch.optim.AdamW(
            self._parameter_groups(),
            lr=config.optim.learning_rate,
            betas=tuple(config.optim.betas),
            weight_decay=config.optim.weight_decay,
        )
        self.model = prepare(self.accelerator, self.net, self.optimizer)
        if config.run.compile:
            # Each block is a program of its own: none is to be cut where DDP's buckets end.
            torch._dynamo.config.optimize_ddp = False
            for part in task.compiled_parts(self.net):
                part.compile()
        self.averaged = AveragedWeights(self.net, config.optim.ema_decay) if averaged else None
        if found:
            load_optimizer_state(self.optimizer, files.read_optimizer(found))
            self._tell(f"resumed at step {self.state.step} from {found}")
            if self.averaged and files.has_averages(found):
                self.averaged.load(files.read_tensors(found, "ema"), self.net)
            elif self.averaged:
                self._tell(f"the averaged weights begin at step {self.state.step}")
        self.broken = BrokenFiles()
        """Met while training; those that opening the sources found are the sources' own."""
        self._stopping = False
        self._first = self.state.step
        """Where this session began."""

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """What learns, with each part's share of the rate where the task names one."""
        shares = self.task.rate_shares()
        groups: dict[float, list[torch.nn.Parameter]] = {}
        for name, parameter in self.net.named_parameters():
            if parameter.requires_grad:
                share = next((s for part, s in shares.items() if part in name), 1.0)
                groups.setdefault(share, []).append(parameter)
        return [{"params": found, "rate_share": share} for share, found in groups.items()]

    def train(self, until: int | None = None, minutes: float | None = None) -> TrainResult:
        """Train to step `until` (default: the config's last), at most for `minutes`.

        Ctrl-C and SIGTERM end the session after the step in work, with the state saved.
        """
        last = min(self.config.steps if until is None else until, self.config.steps)
        losses: list[float] = []
        scenes = sum(len(source.scenes) for source, _ in self.mixture.sources)
        if self.state.scenes and scenes != self.state.scenes:
            self._tell(f"the data has {scenes} scenes now, {self.state.scenes} before")
        self.state.scenes = scenes
        if self.task.words:
            self.state.words = list(self.task.words)
        self._first = self.state.step
        self._tell(self.needs(last))
        for note in self.mixture.notes:
            self._tell(note)
        writer = self._curves()
        restore = self._catch_signals()
        began = saved_at = time.monotonic()
        try:
            for step, batches in self._steps(self.state.step, last):
                started = time.monotonic()
                loss, logged = self._step(step, batches)
                losses.append(loss)
                seconds = time.monotonic() - started
                self.state.step = step + 1
                self.state.hours += seconds / 3600.0
                self._log(writer, step, loss, logged, seconds, last)
                now = time.monotonic()
                self._stopping |= minutes is not None and now - began >= 60.0 * minutes
                due = self._due(step + 1, (now - saved_at) / 60.0)
                if due or self._stopping or step + 1 == last:
                    self.save()
                    saved_at = time.monotonic()
                sheet = self.config.run.sheet_steps
                if self.on_sheet and self.main and sheet and (step + 1) % sheet == 0:
                    self.draw_sheet()
                if self._stopping:
                    self._tell(f"stopped at step {step + 1}; the state is saved")
                    break
        finally:
            restore()
            if writer:
                writer.close()
            if self.broken:
                self._tell(self.broken.report())
        found = files.latest_or_none(self.folder / "checkpoints")
        return TrainResult(step=self.state.step, losses=losses, checkpoint=found)

    def save(self) -> None:
        """Write a checkpoint: all processes give their parts, the main one writes."""
        weights = {name: whole(tensor) for name, tensor in self.net.state_dict().items()}
        averages = self.averaged.whole(self.net) if self.averaged else None
        moments = whole_optimizer_state(self.optimizer)
        if self.main:
            files.write_checkpoint(
                self.folder / "checkpoints",
                self.state,
                weights,
                averages,
                moments,
                self.config.run.keep_checkpoints,
            )
        self.accelerator.wait_for_everyone()

    def draw_sheet(self) -> None:
        """A sheet of samples from the averaged weights."""
        path = self.folder / "sheets" / f"step-{self.state.step:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        averaged = self.averaged.used_by(self.net) if self.averaged else nullcontext()
        # Sampling's shapes are not the training's: compiling for them would cost minutes.
        with averaged, torch.compiler.set_stance("force_eager"):
            self.net.eval()
            self.on_sheet(self.net, self.state.step, path)
            self.net.train()
        self._count(self.mixture.take_broken())

    def _steps(self, start: int, last: int) -> Iterator[tuple[int, list[list[Sample]]]]:
        every = self.config.optim.accumulation
        dataset = MicroBatches(
            self.mixture, self.config, self.task.request, self.accelerator.process_index
        )
        self.net.train()
        batches: list[list[Sample]] = []
        step = start
        for read in micro_batches(dataset, start, last):
            self._count(read.broken)
            if read.error is not None:
                raise read.error
            batches.append(read.samples)
            if len(batches) == every:
                yield step, batches
                step, batches = step + 1, []

    def _count(self, found: list[FoundBroken]) -> None:
        """Count and name broken files; several reader processes may have met the same."""
        for file in found:
            if file.path in self.broken.reasons:
                continue
            source = self.mixture.sources[file.source][0]
            error = BrokenFile(file.path, file.reason)
            self.broken.add(error)
            source.broken.add(error)
            words = f"skipped of {source.name}: {error}"
            if self.main:
                self._tell(words)
            else:
                log.warning("process %d: %s", self.accelerator.process_index, words)

    def _step(self, step: int, batches: list[list[Sample]]) -> tuple[float, dict[str, float]]:
        rate = learning_rate(self.config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate_share"]
        total, logged, keys = 0.0, {}, []
        for micro, samples in enumerate(batches):
            loss, part, names = self._backward(step, micro, samples, len(batches))
            total += loss / len(batches)
            logged.update(part)
            keys.extend(names)
            self.state.samples += len(samples) * self.accelerator.num_processes
        norm = whole(
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.optim.clip_norm)
        )
        if not (math.isfinite(total) and math.isfinite(float(norm))):
            # The weights are still those of the step before: they are the last good state.
            self.optimizer.zero_grad(set_to_none=True)
            self.save()
            raise SynCamError(
                "training.nan",
                f"The loss is {total} (gradient norm {float(norm):g}) at step {step}, samples "
                f"{', '.join(dict.fromkeys(keys))}; the last good state, step {step}, is "
                f"saved.",
                value=step,
                fix="Look at these samples, or lower optim.learning_rate",
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.averaged:
            self.averaged.update(self.net, step + 1)
        return total, {**logged, "grad_norm": float(norm), "learning_rate": rate}

    def _backward(
        self, step: int, micro: int, samples: list[Sample], share: int
    ) -> tuple[float, dict[str, float], tuple[str, ...]]:
        generator = self._generator(step, micro)
        batch = self.task.prepare(samples, generator).to(self.device)
        # For dropout inside the network: its own numbers, not again those that gave the noise.
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        last = micro == share - 1
        with nullcontext() if last else self.accelerator.no_sync(self.model):
            with self.accelerator.autocast():
                loss, logged = self.task.loss(self.model, batch)
            self.accelerator.backward(loss / share)
        return float(loss.detach()), logged, batch.keys

    def _generator(self, step: int, micro: int) -> torch.Generator:
        """Noise, times and dropout of one micro-batch of one process."""
        rank = self.accelerator.process_index
        words = np.random.SeedSequence([self.config.seed, 3, step, micro, rank]).generate_state(2)
        return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))

    def needs(self, last: int) -> str:
        """What the run to step `last` needs in memory and time, from a pass of each kind."""
        if self.state.step >= last:
            return f"nothing to do: the run is at step {self.state.step} of {last}"
        self._tell("measuring memory and time by one pass of each kind of batch")
        # Micro-batches of each kind still to come; kinds that recur are probed once.
        batches_of: dict[Any, float] = {}
        first = 0
        for phase in self.config.phases:
            steps = max(0, min(phase.until_step, last) - max(first, self.state.step))
            batches = steps * self.config.optim.accumulation
            request = self.task.request(phase)
            for kind, share in ((1.0, phase.stills), (0.0, 1.0 - phase.stills)):
                asked = replace(request, stills=kind)
                batches_of[asked] = batches_of.get(asked, 0.0) + batches * share
            first = phase.until_step
        probes = [(self._probe(asked), round(count)) for asked, count in batches_of.items()]
        self.net.train()
        found = estimate(self.model, self.averaged is not None, self.device, probes)
        return found.sentence()

    def _probe(self, request: Any) -> Callable[[], None]:
        def probe() -> None:
            samples = self.mixture.batch(
                request, step=0, micro=2**21, rank=self.accelerator.process_index
            )
            batch = self.task.prepare(samples, self._generator(0, 2**21)).to(self.device)
            with self.accelerator.autocast():
                loss, _ = self.task.loss(self.model, batch)
            self.accelerator.backward(loss)

        return probe

    def _log(
        self,
        writer: Any,
        step: int,
        loss: float,
        logged: dict[str, float],
        seconds: float,
        last: int,
    ) -> None:
        recent = self.state.recent
        for name, value in {"loss": loss, "seconds": seconds, **logged}.items():
            recent[name] = MEAN_KEEP * recent.get(name, value) + (1.0 - MEAN_KEEP) * value
        due = (step + 1) % self.config.run.log_steps == 0
        if not self.main or not (due or step + 1 - self._first in FIRST_STEPS):
            return
        left = duration(recent["seconds"] * (last - step - 1))
        shown = "  ".join(
            f"{k} {v:.4g}" for k, v in recent.items() if k not in ("seconds", "learning_rate")
        )
        self._tell(f"step {step + 1}/{last}  {shown}  {recent['seconds']:.2f} s  {left} to go")
        if not due:
            return
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            line = {"step": step + 1, "hours": self.state.hours, **recent}
            file.write(json.dumps({k: round(v, 6) for k, v in line.items()}) + "\n")
        if writer:
            for name, value in {"loss": loss, **logged}.items():
                writer.add_scalar(name, value, step + 1)

    def _curves(self) -> Any:
        if not self.main:
            return None
        from torch.utils.tensorboard import SummaryWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        write_config(self.config, self.folder / CONFIG_FILE)
        files.forget_after(self.folder / LOG_FILE, self.state.step)
        curves = self.folder / "curves"
        files.wait_for_next_second(curves)
        # Steps after the last checkpoint are done again: their points must not stand twice.
        return SummaryWriter(str(curves), purge_step=self.state.step + 1)

    def _due(self, step: int, minutes: float) -> bool:
        # Only the main process looks at the clock; the others follow its decision.
        run = self.config.run
        due = bool(run.checkpoint_steps and step % run.checkpoint_steps == 0) or (
            run.checkpoint_minutes > 0 and minutes >= run.checkpoint_minutes
        )
        if self.accelerator.num_processes == 1:
            return due
        flag = torch.tensor([float(due and self.main), float(self._stopping)], device=self.device)
        flag = self.accelerator.reduce(flag, reduction="sum")
        self._stopping = bool(flag[1] > 0)
        return bool(flag[0] > 0)

    def _catch_signals(self) -> Callable[[], None]:
        def stop(number: int, frame: Any) -> None:
            self._stopping = True

        kept = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                kept[number] = signal.signal(number, stop)
            except ValueError:  # Not the main thread: the caller handles signals.
                return lambda: None

        def restore() -> None:
            for number, handler in kept.items():
                signal.signal(number, handler)

        return restore

    def _tell(self, text: str) -> None:
        if self.main:
            self.say(text)
