# SPDX-License-Identifier: GPL-3.0-or-later
"""People and animals in motion: feet that stand do not slide, weights are whole, nobody flies."""

import numpy as np
import pytest

from render_rigs import trajectories
from render_rigs.subjects import bird, human_motion, quadruped, quadruped_motion, quadruped_shape
from render_rigs.subjects.human import build_human
from render_rigs.subjects.human_shape import draw_human
from render_rigs.subjects.rig import skin

from .motion_checks import slides_m

TIME_S = np.arange(0, 45) / 15
CASES = [("human", a, k) for a in ("walk", "run") for k in trajectories.KINDS]
CASES += [
    (s, a, k)
    for s, a, k in (
        ("dog", "trot", "circle"),
        ("horse", "walk", "arc"),
        ("bear", "walk", "line"),
        ("cow", "walk", "stop_and_turn"),
        ("goat", "trot", "eight"),
        ("ostrich", "walk", "circle"),
        ("hen", "trot", "line"),
    )
]


def make(kind, rng):
    if kind == "human":
        return build_human(draw_human(rng)), human_motion
    if kind in bird.SPECIES:
        return bird.build_bird(bird.draw_bird(rng, kind)), quadruped_motion
    return quadruped.build_quadruped(quadruped_shape.draw_quadruped(rng, kind)), quadruped_motion


@pytest.mark.parametrize(("kind", "action", "trajectory"), CASES)
def test_standing_feet_slide_under_3_cm_and_stay_on_the_ground(kind, action, trajectory):
    rng = np.random.default_rng(71)
    figure, module = make(kind, rng)
    path = trajectories.travel(rng, trajectory, module.gait_of(figure, action), 3.0, 2.1)
    pose, feet = module.animate(figure, action, path, TIME_S, rng)
    vertices = skin(figure, pose)
    slid = slides_m(figure, vertices, feet)
    assert len(slid) >= 4, "the clip must hold several steps to say anything"
    assert max(slid) < 0.03
    lowest = vertices[..., 2].min(1)
    assert lowest.min() > -0.03
    assert np.median(lowest) < 0.05
    moved = np.linalg.norm(pose.heads_m[-1, 0, :2] - pose.heads_m[0, 0, :2])
    assert moved > 0.3 or trajectory in ("circle", "eight")


def test_a_sliding_figure_is_caught():
    rng = np.random.default_rng(71)
    figure, module = make("human", rng)
    path = trajectories.travel(rng, "line", module.gait_of(figure, "walk"), 3.0, 2.1)
    pose, feet = module.animate(figure, "walk", path, TIME_S, rng)
    vertices = skin(figure, pose)
    vertices[..., 0] += np.linspace(0, 1.3, len(TIME_S))[:, None]
    assert max(slides_m(figure, vertices, feet)) > 0.03


@pytest.mark.parametrize("action", human_motion.IN_PLACE)
def test_in_place_actions_move_the_body_and_not_the_feet(action):
    rng = np.random.default_rng(5)
    figure, module = make("human", rng)
    path = trajectories.stand(rng, 3.0, 1.0 if action == "dance" else 0.0)
    pose, feet = module.animate(figure, action, path, TIME_S, rng)
    vertices = skin(figure, pose)
    assert np.isfinite(vertices).all()
    assert max(slides_m(figure, vertices, feet), default=0.0) < 0.03
    if action != "stand":
        assert np.ptp(vertices, axis=0).max() > 0.03


def test_weights_are_whole_and_subjects_are_many():
    rng = np.random.default_rng(3)
    looks = set()
    for _ in range(90):
        shape = draw_human(rng)
        looks.add((shape.caption(), shape.details(), shape.age, round(shape.height_m, 2)))
    for species in quadruped_shape.SPECIES:
        shape = quadruped_shape.draw_quadruped(rng, species)
        figure = quadruped.build_quadruped(shape)
        assert np.allclose(figure.weights.sum(1), 1, atol=1e-5)
        looks.add(shape.caption())
    for species in bird.SPECIES:
        looks.add(bird.draw_bird(rng, species).caption())
    figure = build_human(draw_human(rng))
    assert np.allclose(figure.weights.sum(1), 1, atol=1e-5)
    assert len(figure.weights) == len(figure.mesh.verts_m)
    assert len(looks) >= 70
