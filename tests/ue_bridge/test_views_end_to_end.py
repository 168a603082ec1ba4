# SPDX-License-Identifier: Apache-2.0
"""The views that a job needs are rendered, reach a real engine, and leave nothing in the level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unreal_jobs import generate, place_rig, ready, tick_until
from unreal_scenes import make_sequence, place_ball, place_camera

from syncam_engine.media.read import read_clip

pytestmark = pytest.mark.processes


@pytest.fixture
def state_dir(engine):
    return engine.state_dir


def no_views_left(unreal, editor):
    assert not [actor for actor in editor.actors if isinstance(actor, unreal.SceneCapture2D)]
    assert editor.render_targets == []
    assert not [path for path in editor.exported if path.parent.exists()]


def test_previz_views_are_rendered_and_sent(unreal, editor, plugin):
    """A sequence's views reach the engine, each camera's its own, each picture at its moment."""
    from stand_in.captures import background_of, colour_of

    sequence = make_sequence(unreal, editor, end=60)
    place_ball(unreal, "red", (0, 0, 100), diameter_m=1.0)
    for index, yaw in enumerate((0, -14)):
        actor = place_camera(unreal, f"cam{index}", (-400, 0, 100), (0, 0, yaw))
        sequence.add_possessable(actor)
    unreal.LevelSequenceEditorBlueprintLibrary.open_level_sequence(sequence)
    ready(plugin, editor)
    said = []
    editor.slate_ticks[-1] = lambda _s: said.append(plugin.controller.view())
    job = generate(plugin, editor, "a ball", source="sequence", mode="previz", clips="")
    del editor.slate_ticks[-1]
    rendering = [view for view in said if view.status.startswith("Rendering the views")]
    assert rendering[-1].status == "Rendering the views: 34 of 34."
    assert all(view.can_cancel and not view.can_generate for view in rendering)
    assert [view.progress for view in rendering] == sorted(view.progress for view in rendering)
    no_views_left(unreal, editor)
    tick_until(editor, lambda: job.ended, why=lambda: job.sentence)
    assert job.state == "done", job.sentence
    ball = np.array(colour_of("red"))
    for clip, ball_u in zip(job.clips, (80, 80 + np.tan(np.radians(14)) * 35 / 23.76 * 160),
                            strict=True):  # fmt: skip
        # The pipeline of these tests adds half of each view to half of what it paints.
        frames = read_clip(Path(clip["path"])).frames_THW3.astype(int)
        here, there = frames[:, 48, round(ball_u)], frames[:, 48, 20]
        behind = np.array([background_of(2 * k) for k in range(17)])[:, None]
        ramp = (round(ball_u) - 20) * 40 / 159 / 2
        assert np.abs((here - there) - (ball - behind) / 2 - ramp).max() < 9, clip["camera"]
        risen = there - there[0] - np.arange(17)[:, None] / 2
        assert np.abs(risen - (behind - behind[0]) / 2).max() < 6


def test_a_reference_view_is_rendered_of_the_anchor(unreal, editor, plugin):
    from stand_in.captures import background_of, colour_of

    place_ball(unreal, "red", (0, 0, 150), diameter_m=1.5)
    place_camera(unreal, "camA", (-400, 0, 150))
    place_camera(unreal, "camB", (-400, 0, 150), (0, 0, 90))
    ready(plugin, editor)
    job = generate(plugin, editor, "a ball", mode="reference", clips=" ", anchor="camA")
    no_views_left(unreal, editor)
    tick_until(editor, lambda: job.ended, why=lambda: job.sentence)
    assert job.state == "done", job.sentence
    frames = read_clip(Path(job.clips[0]["path"])).frames_THW3.astype(int)
    assert len(frames) == 17, "the one picture of a level that stands still is held"
    for k in (0, 16):
        assert np.abs(frames[k][48, 80] - np.array(colour_of("red"))).max() < 8
        assert np.abs(frames[k][8, 8] - background_of(0)).max() < 8


def test_rendering_views_is_cancelled(unreal, editor, plugin):
    place_rig(unreal, 2)
    before = list(editor.actors)
    ready(plugin, editor)
    for name, value in {"prompt": "a stage", "source": "all", "mode": "previz"}.items():
        setattr(plugin.controller.fields, name, value)
    plugin.controller.generate()
    tick_until(editor, lambda: len(editor.actors) > 2)
    plugin.controller.cancel()
    assert plugin.controller.status == "Cancelled."
    assert editor.actors == before
    no_views_left(unreal, editor)
    for _ in range(5):
        editor.tick()
    assert plugin.controller.history == []
    plugin.controller.generate()
    tick_until(editor, lambda: len(editor.actors) > 2)
    plugin.close()
    assert editor.actors == before, "a shutdown or reload in between takes them away too"
    no_views_left(unreal, editor)
