# SPDX-License-Identifier: Apache-2.0
"""The order of training data as a pure function: (seed, step, micro-batch, process) -> samples.

Nothing is remembered between batches, so a run resumes exactly from its step number alone, with
any number of reader processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from syncam_engine.data.angles import AngleRule, AngleTable, angle_table, cached_angle_table
from syncam_engine.data.draw import cameras_of, draw_views, fit_pictures
from syncam_engine.data.scene import (
    BrokenFile,
    FoundBroken,
    LatentSource,
    Sample,
    Scene,
    SceneSource,
)
from syncam_engine.link.errors import SynCamError

Serves = Literal["both", "stills", "clips"]
"""The kind of batch that is drawn from a source."""
ATTEMPTS = 20
"""Broken files met in one draw before the data is called unusable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRequest:
    """What a batch must look like."""

    views: int
    frames: int
    """T pictures of a clip batch; a stills batch has one."""
    stills: float
    """Probability that the batch is of stills."""
    batch: int
    stills_batch: int
    degrees: tuple[float, float] = (0.0, 180.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceDraws:
    """One source's part in the draws of one kind."""

    name: str
    scenes: int
    share: float
    """Of all draws of the kind: the weights are the sources', not their scenes'."""

    def __str__(self) -> str:
        return f"{self.share:.0%} from {self.name} ({self.scenes} scenes)"


UNEVEN = 5.0
"""How many times as often as another source's a scene is drawn before it is said."""


def uneven_or_empty(draws: Sequence[SourceDraws]) -> str:
    """A sentence where a source has few scenes for its weight: these are soon learnt by heart."""
    by_rate = sorted(draws, key=lambda d: d.share / d.scenes)
    if len(by_rate) < 2:
        return ""
    least, most = by_rate[0], by_rate[-1]
    times = (most.share / most.scenes) / (least.share / least.scenes)
    if times < UNEVEN:
        return ""
    return (
        f"A scene of {most.name} is drawn {times:.0f} times as often as one of {least.name}: "
        "mind that weights are the sources', not their scenes'."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pool:
    """The scenes of one source that can serve one kind of request."""

    number: int
    """Of the source."""
    source: SceneSource | LatentSource
    scenes: tuple[int, ...]
    table: AngleTable | None


class Mixture:
    """Draws batches from weighted sources.

    Raises `SynCamError` ("data.empty") when no scene of any source can serve a request, naming
    why; scenes that fall short are counted in `notes`.
    """

    def __init__(
        self,
        sources: Sequence[tuple[SceneSource | LatentSource, float]],
        *,
        seed: int,
        width_px: int,
        height_px: int,
        angle_rule: AngleRule = "anchor",
        apart: int = 100,
        serves: Sequence[Serves] = (),
    ) -> None:
        """`serves`: one for each source; empty means "both" for all."""
        if not sources:
            raise SynCamError("data.empty", "The training config has no data source.")
        self.sources = list(sources)
        self.serves: list[Serves] = list(serves) or ["both"] * len(self.sources)
        self.seed = seed
        self.width_px, self.height_px = width_px, height_px
        self.angle_rule: AngleRule = angle_rule
        self.apart = apart
        self.notes: list[str] = []
        self._found: list[FoundBroken] = []
        self._pools: dict[tuple, list[tuple[_Pool, float]]] = {}

    def batch(
        self, request: BatchRequest, *, step: int, micro: int = 0, rank: int = 0
    ) -> list[Sample]:
        """The samples of one micro-batch; all have the same shapes.

        Source and kind follow from (seed, step, micro): every process of a step gets the same.
        """
        # Drawing counts the first word up: with the step there, one step's draws would begin among
        # those of the step before.
        shared = np.random.Generator(
            np.random.Philox(key=[self.seed, 1], counter=[0, step, micro, 0])
        )
        own = np.random.Generator(
            np.random.Philox(key=[self.seed, 2], counter=[0, step, micro, rank])
        )
        is_still = shared.random() < request.stills
        pools = self._pools_for(request, 1 if is_still else request.frames)
        if not pools:
            is_still = not is_still
            pools = self._pools_for(request, 1 if is_still else request.frames)
        if not pools:
            raise SynCamError(
                "data.empty",
                f"No scene has {request.views} views {request.degrees[0]:g} to "
                f"{request.degrees[1]:g} degrees apart ({self.angle_rule} rule) with "
                f"{request.frames} pictures. " + " ".join(self.notes),
                fix="Widen the angles, ask for fewer views, or add data",
            )
        weights = np.array([weight for _, weight in pools])
        pool = pools[int(shared.choice(len(pools), p=weights / weights.sum()))][0]
        frames = 1 if is_still else request.frames
        count = request.stills_batch if is_still else request.batch
        return [self._sample(pool, own, request.views, frames) for _ in range(count)]

    def draws(self, request: BatchRequest, frames: int) -> list[SourceDraws]:
        """How the draws of stills (`frames` 1) or clips spread over the sources that have them."""
        pools = self._pools_for(request, frames)
        total = sum(weight for _, weight in pools)
        return [
            SourceDraws(name=pool.source.name, scenes=len(pool.scenes), share=weight / total)
            for pool, weight in pools
        ]

    def take_broken(self) -> list[FoundBroken]:
        """Return the files that draws found broken in this process since the last call."""
        found, self._found = self._found, []
        return found

    def _sample(self, pool: _Pool, rng: np.random.Generator, views: int, frames: int) -> Sample:
        for _ in range(ATTEMPTS):
            index = pool.scenes[int(rng.integers(len(pool.scenes)))]
            scene = pool.source.scenes[index]
            try:
                return self._read(pool, index, scene, rng, views, frames)
            except BrokenFile as error:
                if error.path not in pool.source.broken.reasons:
                    self._found.append(
                        FoundBroken(source=pool.number, path=error.path, reason=error.reason)
                    )
                pool.source.broken.add(error)
        raise SynCamError(
            "data.broken",
            f"Source {pool.source.name}: {ATTEMPTS} scenes in a row cannot be read; "
            + pool.source.broken.report(),
        )

    def _read(
        self,
        pool: _Pool,
        index: int,
        scene: Scene,
        rng: np.random.Generator,
        views: int,
        frames: int,
    ) -> Sample:
        encoded = hasattr(pool.source, "read_latents")
        sets = pool.table.sets[scene.key] if pool.table and scene.kind == "multiview" else None
        draw = draw_views(
            scene,
            rng,
            views=views,
            frames=frames,
            sets=sets,
            whole_clip=encoded,
            apart=self.apart,
        )
        K, c2w = cameras_of(scene, draw)
        latents = pictures = None
        width, height = scene.width_px, scene.height_px
        if encoded:
            latents = pool.source.read_latents(index, draw.cameras, draw.latent_frames)
        else:
            span = range(draw.start, draw.start + draw.frames)
            pictures = pool.source.read_pictures(index, draw.cameras, span)
            pictures, K = fit_pictures(pictures, K, self.width_px, self.height_px)
            width, height = self.width_px, self.height_px
        return Sample(
            source=pool.source.name,
            key=scene.key,
            caption=draw.caption,
            K_VF33=K,
            c2w_cv_m_VF44=c2w,
            width_px=width,
            height_px=height,
            pictures_VTHW3=pictures,
            latents_VZFhw=latents,
        )

    def _pools_for(self, request: BatchRequest, frames: int) -> list[tuple[_Pool, float]]:
        key = (request.views, frames, request.degrees)
        if key not in self._pools:
            wanted = ("both", "stills" if frames == 1 else "clips")
            pools = [
                (self._pool(number, request, frames), weight)
                for number, (_, weight) in enumerate(self.sources)
                if weight > 0 and self.serves[number] in wanted
            ]
            self._pools[key] = [(pool, w) for pool, w in pools if pool.scenes]
        return self._pools[key]

    def _pool(self, number: int, request: BatchRequest, frames: int) -> _Pool:
        source, table = self.sources[number][0], None
        multiview = any(scene.kind == "multiview" for scene in source.scenes)
        if multiview and request.views > 1:
            arguments = (source.scenes, request.degrees, request.views, self.angle_rule)
            folder = getattr(source, "folder", None)
            table = (
                cached_angle_table(Path(folder), *arguments) if folder else angle_table(*arguments)
            )
            note = (
                f"{len(table.without)} scenes of {source.name} cannot give {request.views} "
                f"views within {request.degrees[0]:g} to {request.degrees[1]:g} degrees."
            )
            if table.without and note not in self.notes:
                self.notes.append(note)
        scenes = tuple(
            i
            for i, scene in enumerate(source.scenes)
            if scene.frames >= frames and self._can_serve(scene, request.views, table)
        )
        return _Pool(number=number, source=source, scenes=scenes, table=table)

    def _can_serve(self, scene: Scene, views: int, table: AngleTable | None) -> bool:
        if scene.kind == "static":
            return True
        if scene.kind == "moving":
            order = np.sort(np.asarray(scene.order or range(scene.cameras)))
            windows = np.searchsorted(order, order + self.apart, side="right") - np.arange(
                len(order)
            )
            return bool(windows.max(initial=0) >= views)
        return scene.key in table.sets if table else scene.cameras >= views
