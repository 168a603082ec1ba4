# SPDX-License-Identifier: GPL-3.0-or-later
"""How four-legged animals move: walk, trot, gallop, and stand, graze, sniff, look around."""

import numpy as np

from render_rigs.subjects.gait import BodyPath, Footfalls, Gait, plan_feet
from render_rigs.subjects.rig import Figure, Pose, axis_rotation, forward, plant_legs, reach_m

TRAVEL = ("walk", "trot", "walk")
IN_PLACE = ("stand", "graze", "look around", "sniff")

_TROT = (0.0, 0.5, 0.5, 0.0)


def gait_of(figure: Figure, action: str) -> Gait:
    """The gait of an action for an animal of this size."""
    k = figure.info["withers_m"]
    return {
        "walk": Gait("walk", 1.0 * k**0.5, 0.9 * k, 0.68, 0.1 * k, None, 0.25),
        "trot": Gait("trot", 1.9 * k**0.5, 1.25 * k, 0.46, 0.15 * k, _TROT, 0.5, 0.03 * k),
    }[action]


def animate(
    figure: Figure, action: str, path: BodyPath, time_s, rng: np.random.Generator
) -> tuple[Pose, Footfalls]:
    """Pose [T] frames of an action along a path; paws stay where they are planted."""
    time_s = np.asarray(time_s, float)
    skeleton = figure.skeleton
    h = figure.info["withers_m"]
    gait = gait_of(figure, action if action in ("walk", "trot") else "walk")
    phases = gait.phases
    if phases is None or len(phases) != len(figure.legs):  # a bird runs as it walks
        phases = [leg.phase for leg in figure.legs]
    xy, heading, cycle = path.at(time_s)
    moving = path.moving(time_s)
    beat = 2 * np.pi * cycle
    rest = skeleton.heads_m
    offsets = np.array([rest[leg.foot][:2] - rest[0][:2] for leg in figure.legs])
    feet = plan_feet(path, time_s, offsets, phases, gait.duty, gait.lift_m)
    ankles, turns = [], []
    for i, leg in enumerate(figure.legs):
        pitch = moving * 0.7 * np.sin(np.pi * feet.swing[:, i])
        turn = axis_rotation("z", feet.heading_rad[:, i]) @ axis_rotation("y", pitch)
        ankles.append(feet.place_m[:, i] + [0, 0, rest[leg.foot][2]])
        turns.append(turn)
    ankles, turns = np.stack(ankles, 1), np.stack(turns, 1)
    t = time_s + rng.uniform(0, 6)
    wag = (
        0.35 * np.sin(2 * np.pi * 1.6 * t)
        if figure.info["noun"] == "dog"
        else (0.18 * np.sin(2 * np.pi * 0.5 * t))
    )
    nod = 0.06 * moving * np.sin(2 * beat)
    neck, head, yaw = nod, -nod, 0.15 * np.sin(0.7 * t)
    if action in ("graze", "sniff"):
        down = np.clip(0.5 + 0.9 * np.sin(2 * np.pi * 0.12 * t + 1.2), 0, 1)
        target = 0.95 if action == "graze" else 0.7
        neck = target * down
        head = 0.15 * down + 0.05 * np.sin(2 * np.pi * 1.4 * t) * down
        yaw = 0.2 * np.sin(0.9 * t)
    elif action == "look around":
        yaw = 0.8 * np.sin(2 * np.pi * 0.2 * t)
    local = {
        "rear": axis_rotation("z", 0.06 * moving * np.sin(beat)),
        "front": axis_rotation("z", -0.06 * moving * np.sin(beat)),
        "neck": axis_rotation("z", yaw * 0.35) @ axis_rotation("y", neck),
        "neck2": axis_rotation("z", yaw * 0.3) @ axis_rotation("y", neck * 0.75),
        "head": axis_rotation("z", yaw * 0.35) @ axis_rotation("y", head),
        "tail0": axis_rotation("z", wag),
        "tail1": axis_rotation("z", wag * 0.8),
        "tail2": axis_rotation("z", wag * 0.8),
    }
    root = np.concatenate([xy, np.full((len(time_s), 1), rest[0, 2])], 1)
    root[:, 2] += (
        0.01 * h * moving * np.sin(2 * beat)
        + gait.flight_m * moving * np.abs(np.sin(beat))
        + 0.004 * h * np.sin(2 * np.pi * 0.4 * t)
    )
    turn = axis_rotation("z", heading) @ axis_rotation("x", 0.02 * moving * np.sin(beat))
    root[:, 2] = np.minimum(root[:, 2], _reachable(figure, root, turn, local, ankles, feet))
    pose = forward(skeleton, root, turn, local)
    plant_legs(skeleton, figure.legs, pose, ankles, turns)
    return pose, feet


def _reachable(figure, root, turn, local, ankles, feet):
    """The highest root from which every standing leg still reaches its foot."""
    trial = forward(figure.skeleton, root, turn, local)
    limit = np.full(len(root), np.inf)
    for i, leg in enumerate(figure.legs):
        hip = trial.heads_m[:, leg.upper]
        upper, lower = reach_m(figure.skeleton, leg)
        flat = np.linalg.norm(ankles[:, i, :2] - hip[:, :2], axis=-1)
        rise = np.sqrt(np.maximum(((upper + lower) * 0.995) ** 2 - flat**2, 1e-4))
        slack = 0.2 * np.sin(np.pi * feet.swing[:, i])
        limit = np.minimum(limit, ankles[:, i, 2] + rise - (hip[:, 2] - root[:, 2]) + slack)
    return limit
