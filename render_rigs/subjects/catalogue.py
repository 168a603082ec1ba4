# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws a subject of any kind and animates it: the one door from scenes to people and animals."""

import numpy as np

from render_rigs import trajectories
from render_rigs.scene import Actor
from render_rigs.subjects import bird, human_motion, quadruped, quadruped_motion, quadruped_shape
from render_rigs.subjects.human import build_human
from render_rigs.subjects.human_shape import draw_human
from render_rigs.subjects.rig import skin

VERBS = {
    "walk": "walks",
    "run": "runs",
    "stroll": "strolls",
    "stand": "stands",
    "wave": "waves",
    "dance": "dances",
    "look around": "looks around",
    "talk": "talks and gestures",
    "sit": "sits",
    "clap": "claps",
    "stretch": "stretches",
    "trot": "trots",
    "graze": "grazes",
    "gallop": "runs",
    "sniff": "sniffs the ground",
}


def draw_figure(
    rng: np.random.Generator, humans: float = 0.7, fast: bool = False, indoor: bool = False
):
    """A person with probability ``humans``, else an animal: a large one for a fast set, a dog or a
    cat in a room.
    """
    if rng.random() < humans:
        return build_human(draw_human(rng))
    if indoor:
        species = ("dog", "cat")[rng.integers(1 if fast else 2)]
        return quadruped.build_quadruped(quadruped_shape.draw_quadruped(rng, species))
    if fast:
        species = quadruped_shape.LARGE[rng.integers(len(quadruped_shape.LARGE))]
        return quadruped.build_quadruped(quadruped_shape.draw_quadruped(rng, species))
    if rng.random() < 0.25:
        return bird.build_bird(bird.draw_bird(rng))
    return quadruped.build_quadruped(quadruped_shape.draw_quadruped(rng))


def animate(
    rng: np.random.Generator,
    figure,
    name: str,
    frames: int,
    fps: int,
    *,
    size_m: float,
    travelling: float = 0.75,
    offset_m=(0.0, 0.0),
    seats=(),
) -> Actor:
    """Choose an action and a trajectory and pose every frame (and one before and after)."""
    duration = frames / fps
    time_s = np.arange(-1, frames + 1) / fps
    module = human_motion if figure.info["kind"] == "human" else quadruped_motion
    if rng.random() < travelling:
        action = module.TRAVEL[rng.integers(len(module.TRAVEL))]
        gait = module.gait_of(figure, action)
        kinds = trajectories.KINDS
        reach = gait.speed_mps * duration
        long_body = figure.radius_m > 0.6
        if reach > size_m * 1.6:  # too far for an open curve: stay near the centre
            kinds = ("circle", "eight")
        elif duration < 3:
            kinds = ("line", "arc", "circle", "eight")
        if long_body:  # a bear does not turn on the spot of a figure of eight
            kinds = [k for k in kinds if k != "eight"]
        kind = kinds[rng.integers(len(kinds))]
        share = rng.uniform(0.8 if long_body else 0.55, 0.95)
        path = trajectories.travel(rng, kind, gait, duration, share * size_m)
    else:
        choices = [a for a in module.IN_PLACE if a != "sit" or seats]
        action = choices[rng.integers(len(choices))]
        kind = "in place"
        dance = action == "dance"
        path = trajectories.stand(
            rng, duration, 1.0 if dance else 0.0, sway_m=0.12 if dance else 0.0
        )
    path.xy_m = path.xy_m + np.asarray(offset_m)
    if action == "sit":
        x, y, seat, heading = seats[rng.integers(len(seats))]
        path.xy_m, path.heading_rad = 0 * path.xy_m + (x, y), 0 * path.heading_rad + heading
        pose, feet = module.animate(figure, action, path, time_s, rng, seat_m=seat)
    else:
        pose, feet = module.animate(figure, action, path, time_s, rng)
    vertices = skin(figure, pose).astype(np.float32)
    return Actor(
        name,
        figure.info["kind"],
        action,
        figure.mesh,
        vertices,
        pose.heads_m[1:-1, 0],
        path.at(time_s)[1][1:-1],
        figure.height_m,
        figure.radius_m,
        figure.info["caption"],
        kind,
        {**figure.info, "feet": feet, "verb": VERBS[action]},
    )
