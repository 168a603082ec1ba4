# SPDX-License-Identifier: Apache-2.0
"""Runs `evaluate_preview` with the real pipeline, a sheet for each scene.

Shape legend: V views, T pictures, H, W rows and columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from syncam_engine.data.scene import Scene, SceneSource
from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import rig_to_dict
from syncam_engine.media.sheets import contact_sheet, strip
from syncam_engine.model.pixels import to_network, to_pictures
from syncam_engine.preview.content import PromptContent
from syncam_engine.preview.score import PreviewScore, evaluate_preview
from syncam_engine.sampling.pipeline import MultiViewPipeline, load_pipeline


def rig_of(scene: Scene, cameras: Sequence[int]) -> Rig:
    """A rig of a scene's cameras, in this order, the first the anchor."""
    return Rig(
        cameras=tuple(
            Camera(
                name=f"cam{c + 1:02d}",
                width_px=scene.width_px,
                height_px=scene.height_px,
                K=tuple(map(tuple, scene.K_at(c, 0).tolist())),
                c2w_cv_m=orthonormal(scene.c2w_cv_m_at(c, 0)),
            )
            for c in cameras
        ),
        fps=Fraction(scene.fps).limit_denominator(1001),
        source=scene.key,
    )


def orthonormal(c2w_cv_m_44: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """The pose with its rotation cleaned of 32-bit rounding, as nested tuples."""
    u, _, vt = np.linalg.svd(c2w_cv_m_44[:3, :3].astype(np.float64))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = u @ vt, c2w_cv_m_44[:3, 3]
    return tuple(map(tuple, pose.tolist()))


def generator_of(
    pipeline: MultiViewPipeline, *, frames: int, steps: int | None
) -> Callable[[Scene, Sequence[int], str, int, np.ndarray | None], np.ndarray]:
    """The pipeline as `evaluate_preview` asks it."""

    def generate(
        scene: Scene,
        cameras: Sequence[int],
        prompt: str,
        seed: int,
        reference_THW3: np.ndarray | None,
    ) -> np.ndarray:
        width, height = pipeline.preset.size
        rig = rig_of(scene, cameras)
        request = GenerateRequest(  # steps and scales: the preset's for the mode
            rig=rig_to_dict(rig),
            prompt=prompt,
            seed=seed,
            steps=steps,
            width=width,
            height=height,
            frames=frames,
            fps=(rig.fps.numerator, rig.fps.denominator),
            mode="text" if reference_THW3 is None else "reference",
            preset=pipeline.preset.name,
        )
        return pipeline.generate(request, reference_clip_THW3=reference_THW3)

    return generate


def run_preview(
    source: SceneSource,
    preset: str = "preview",
    *,
    scenes: int = 24,
    steps: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    classifier: Path | None = None,
    say: Callable[[str], None] = print,
) -> PreviewScore:
    """Score a preset on held-out scenes; with `out`, write a sheet for each.

    With a `classifier` (its folder), what the prompts ask for is looked for in the clips.
    """
    content = PromptContent(classifier) if classifier else None
    pipeline = load_pipeline(preset, "cpu")
    shortest = min(scene.frames for scene in source.scenes)
    frames = min(pipeline.preset.frames, (shortest - 1) // 4 * 4 + 1)
    _check_sizes(source, pipeline.preset.size)
    generate = generator_of(pipeline, frames=frames, steps=steps)

    def round_trip(clips_VTHW3: np.ndarray) -> np.ndarray:
        video = to_network(clips_VTHW3)
        with torch.inference_mode():
            coder = pipeline.parts.autoencoder
            return np.concatenate([to_pictures(coder.decode(coder.encode(v[None]))) for v in video])

    def on_scene(number: int, index: int, clips: dict[str, np.ndarray]) -> None:
        say(f"scene {number + 1}: {source.scenes[index].key}")
        if content:
            # The caption as rendered: "person" and "animal" would say less than was asked.
            caption = source.scenes[index].captions[0]
            for kind in ("true", "codec", "text", "reference"):
                content.add(kind, caption, clips[kind])
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            rows = [strip(clips[name]) for name in ("true", "reference", "text")]
            caption = source.scenes[index].captions[0]
            labels = [f"true: {caption}", "reference mode (view 0 given)", "text mode"]
            contact_sheet(rows, labels).save(out / f"scene-{number:02d}.png")

    score = evaluate_preview(
        source,
        generate,
        round_trip,
        scenes=scenes,
        frames=frames,
        seed=seed,
        on_scene=on_scene,
    )
    if content:
        score.prompt_content = content.result()
    score.provenance = {
        "preset": pipeline.preset.name,
        "weights": pipeline.digest,
        "source": source.name,
        "steps": steps or pipeline.preset.sampling.steps,
        "seed": seed,
        "frames": frames,
        "blocks_px": 8,
    }
    return score


def _check_sizes(source: SceneSource, size: tuple[int, int]) -> None:
    """Pixels are compared: raise `SynCamError` unless all scenes are of the preset's size."""
    for scene in source.scenes:
        if (scene.width_px, scene.height_px) != size:
            raise SynCamError(
                "data.size",
                f"Scene {scene.key} of {source.name} is {scene.width_px}x{scene.height_px}; the "
                f"preset makes {size[0]}x{size[1]}.",
                value=[scene.width_px, scene.height_px],
                nearest=list(size),
            )


def steps_table(
    source: SceneSource,
    preset: str,
    steps: Sequence[int],
    say: Callable[[str], None] = print,
    **options: Any,
) -> list[dict[str, Any]]:
    """The scores at each number of sampling steps, on the same scenes, cameras and noise."""
    table = []
    for count in steps:
        say(f"{count} steps")
        started = time.process_time()
        score = run_preview(source, preset, steps=count, say=say, **options)
        spent = time.process_time() - started
        table.append({"steps": count, "cpu_s_a_scene": spent / score.scenes, **score.to_dict()})
    return table


def steps_rows(table: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Head and one row a number of steps."""
    columns = {
        "steps": lambda s: str(s["steps"]),
        "retrieval, reference": lambda s: f"{s['retrieval_reference']:.2f}",
        "retrieval, text": lambda s: f"{s['retrieval_text']:.2f}",
        "time": lambda s: "-" if s["time_alignment"] is None else f"{s['time_alignment']:.2f}",
        "PSNR, reference": lambda s: f"{s['psnr_reference_db']:.2f}",
        "PSNR, text": lambda s: f"{s['psnr_text_db']:.2f}",
        "prompt": lambda s: (
            f"{s['prompt_content']['text']['right_mean']:.2f}" if s["prompt_content"] else "-"
        ),
        "CPU s a scene": lambda s: f"{s['cpu_s_a_scene']:.1f}",
    }
    return [tuple(columns), *(tuple(show(score) for show in columns.values()) for score in table)]


def write_sheet(
    source: SceneSource,
    path: Path,
    preset: str = "preview",
    *,
    samples: int = 12,
    steps: int | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Unpicked samples in text mode: seeds 0, 1, ..., each with the next held-out scene's cameras
    and caption; four views, first, middle and last picture of each.
    """
    pipeline = load_pipeline(preset, "cpu")
    generate = generator_of(pipeline, frames=pipeline.preset.frames, steps=steps)
    rows, captions = [], []
    for seed in range(samples):
        scene = source.scenes[seed % len(source.scenes)]
        views = min(4, scene.cameras)
        clips = generate(scene, list(range(views)), scene.captions[0], seed, None)
        rows.append(strip(clips))
        captions.append(f"seed {seed}: {scene.captions[0]}")
        say(captions[-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(rows, captions).save(path)
    return path
