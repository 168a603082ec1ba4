# SPDX-License-Identifier: GPL-3.0-or-later
"""How people move: walk, run, and what they do in place. Every pose comes from time alone."""

import numpy as np

from render_rigs.subjects.gait import BodyPath, Footfalls, Gait, plan_feet
from render_rigs.subjects.rig import (
    Figure,
    Pose,
    axis_rotation,
    forward,
    plant_legs,
    reach_m,
)

TRAVEL = ("walk", "run", "stroll")
IN_PLACE = ("stand", "wave", "dance", "look around", "talk", "sit", "clap", "stretch")


def gait_of(figure: Figure, action: str) -> Gait:
    """The gait of a travelling action, for a body of this size."""
    k = figure.height_m / 1.72
    return {
        "walk": Gait("walk", 1.3 * k**0.5, 1.36 * k, 0.6, 0.075 * k),
        "stroll": Gait("stroll", 0.85 * k**0.5, 1.05 * k, 0.64, 0.055 * k),
        "run": Gait("run", 2.7 * k**0.5, 1.95 * k, 0.36, 0.2 * k, flight_m=0.04 * k),
    }[action]


def animate(
    figure: Figure,
    action: str,
    path: BodyPath,
    time_s,
    rng: np.random.Generator,
    seat_m: float = 0.45,
) -> tuple[Pose, Footfalls]:
    """Pose [T] frames of an action along a path; feet stay where they are planted."""
    time_s = np.asarray(time_s, float)
    skeleton, h = figure.skeleton, figure.height_m
    gait = gait_of(figure, action if action in TRAVEL else "stroll")
    xy, heading, cycle = path.at(time_s)
    moving = path.moving(time_s)
    swing_phase = 2 * np.pi * cycle
    run = action == "run"
    sit = action == "sit"
    stance = 0.055 if action in TRAVEL else 0.075
    offsets = np.array([(0.0, stance), (0.0, -stance)]) * h
    if sit:
        offsets = np.array([(0.25, 0.06), (0.23, -0.06)]) * h
    lift = gait.lift_m if action != "dance" else 0.09 * h
    feet = plan_feet(path, time_s, offsets, [leg.phase for leg in figure.legs], gait.duty, lift)
    ankles, foot_turn = _roll_feet(figure, feet, gait, moving)

    yaw = axis_rotation("z", heading)
    sway = axis_rotation("x", 0.03 * moving * np.sin(swing_phase + np.pi / 2))
    lean = axis_rotation("y", (0.16 if run else 0.03) * moving + (0.04 if sit else 0))
    twist = 0.13 if not run else 0.22
    local = {
        "spine": axis_rotation("z", -twist * 0.5 * moving * np.cos(swing_phase)),
        "chest": axis_rotation("z", -twist * moving * np.cos(swing_phase)),
        "head": axis_rotation("z", twist * moving * np.cos(swing_phase)),
    }
    _arms(local, moving, swing_phase, run)
    root_turn = yaw @ sway @ lean @ axis_rotation("z", twist * 0.5 * moving * np.cos(swing_phase))
    root = np.concatenate([xy, np.full((len(time_s), 1), skeleton.heads_m[0, 2])], 1)
    _gestures(action, local, time_s, rng, root, heading, h)
    if sit:
        root[:, 2] = seat_m + 0.055 * h
    else:
        root[:, 2] = np.minimum(
            root[:, 2] * (1 if action != "dance" else 0.985),
            _reachable(figure, root, root_turn, ankles, feet, run),
        )
        if run:
            root[:, 2] += gait.flight_m * np.abs(np.sin(swing_phase))
    pose = forward(skeleton, root, root_turn, local)
    plant_legs(skeleton, figure.legs, pose, ankles, foot_turn)
    return pose, feet


def _roll_feet(figure: Figure, feet: Footfalls, gait: Gait, moving):
    """Ankles [T,2,3] and foot rotations: heel strike, flat, push off over the ball."""
    skeleton = figure.skeleton
    ankles, turns = [], []
    h = figure.height_m
    for i, leg in enumerate(figure.legs):
        rest = skeleton.heads_m[leg.foot]
        s = feet.swing[:, i]
        swinging = (s > 0) & (s < 1)
        wave = np.where(swinging, np.sin(2 * np.pi * s), 0.0)
        pitch = moving * (
            0.55 * np.maximum(wave, 0) * (1 - s) ** 0.5 * 1.6 - 0.38 * np.maximum(-wave, 0)
        )
        if gait.name == "run":
            pitch *= 1.5
        turn = axis_rotation("z", feet.heading_rad[:, i]) @ axis_rotation("y", pitch)
        # `pitch` > 0 points the toes down and lifts the heel over the ball of the foot.
        ball = np.array([0.055 * h, 0, 0])
        heel = np.array([-0.03 * h, 0, 0])
        pivot = np.where(pitch[:, None] > 0, ball, heel)
        foot = np.array([rest[0], 0, rest[2]])
        yaw = axis_rotation("z", feet.heading_rad[:, i])
        arm = np.einsum("tij,tj->ti", turn, foot - pivot) + np.einsum("tij,tj->ti", yaw, pivot)
        ankles.append(feet.place_m[:, i] + arm)
        turns.append(turn)
    return np.stack(ankles, 1), np.stack(turns, 1)


def _reachable(figure, root, root_turn, ankles, feet, run):
    """The highest root (smooth over frames) from which every leg meets its ankle."""
    skeleton = figure.skeleton
    limit = np.full(len(root), np.inf)
    for i, leg in enumerate(figure.legs):
        arm = root_turn @ (skeleton.heads_m[leg.upper] - skeleton.heads_m[0])
        hip = root[:, :2] + arm[:, :2]
        flat = np.linalg.norm(ankles[:, i, :2] - hip, axis=-1)
        upper, lower = reach_m(skeleton, leg)
        rise = np.sqrt(np.maximum(((upper + lower) * 0.992) ** 2 - flat**2, 0.01))
        room = ankles[:, i, 2] + rise - arm[:, 2]
        s = feet.swing[:, i]
        free = 0.3 * np.sin(np.pi * s) if run else 0.12 * np.sin(np.pi * s)
        limit = np.minimum(limit, room + free)
    return limit


def _arms(local, moving, phase, run) -> None:
    amount = 0.95 if run else 0.5
    for side, sign in (("l", 1), ("r", -1)):
        # The left arm goes forward with the right leg.
        swing = -sign * amount * np.cos(phase) * moving
        bend = (1.35 if run else 0.28) * moving + 0.14 - 0.2 * swing
        out = axis_rotation("x", np.full(len(phase), sign * (0.1 if run else 0.05)))
        local[f"arm_{side}"] = axis_rotation("y", swing + (0.1 if run else 0)) @ out
        local[f"fore_{side}"] = axis_rotation("y", -bend)


def _raise(side_sign, forward_rad, out_rad):
    return axis_rotation("y", -np.asarray(forward_rad)) @ axis_rotation(
        "x", side_sign * np.asarray(out_rad)
    )


def _gestures(action, local, time_s, rng, root, heading, h) -> None:
    o = np.ones_like(time_s)
    t = time_s + rng.uniform(0, 5)
    breathe = 0.015 * np.sin(2 * np.pi * 0.27 * t)
    local["chest"] = local["chest"] @ axis_rotation("y", breathe)
    if action == "wave":
        side, sign = ("r", -1) if rng.random() < 0.6 else ("l", 1)
        local[f"arm_{side}"] = _raise(sign, 0.35 * o, 2.15 * o)
        beat = np.sin(2 * np.pi * 1.6 * t)
        local[f"fore_{side}"] = axis_rotation("x", sign * (0.75 + 0.5 * beat))
        local["head"] = axis_rotation("z", 0.15 * np.sin(0.9 * t))
    elif action == "dance":
        beat = 2 * np.pi * 1.0 * t
        for side, sign in (("l", 1), ("r", -1)):
            local[f"arm_{side}"] = _raise(
                sign, 0.5 + 0.5 * np.sin(beat + sign), 1.3 + 0.7 * np.sin(beat * 0.5 + sign * 1.5)
            )
            local[f"fore_{side}"] = axis_rotation("y", -(0.9 + 0.5 * np.cos(beat + sign)))
        local["spine"] = axis_rotation("x", 0.16 * np.sin(beat)) @ axis_rotation(
            "z", 0.25 * np.sin(beat * 0.5)
        )
        local["chest"] = axis_rotation("x", -0.14 * np.sin(beat))
        local["head"] = axis_rotation("y", 0.12 * np.sin(2 * beat))
        heading += 0
        root[:, 2] -= 0.012 * h * (1 - np.cos(2 * beat))
    elif action == "look around":
        look = np.sin(2 * np.pi * 0.22 * t)
        local["head"] = axis_rotation("z", 0.95 * look) @ axis_rotation("y", 0.08 * np.sin(t))
        local["chest"] = local["chest"] @ axis_rotation("z", 0.3 * look)
        local["arm_r"] = _raise(-1, 0.3 * o, 0.25 * o)
    elif action == "talk":
        for side, sign, f in (("l", 1, 0.7), ("r", -1, 1.1)):
            local[f"arm_{side}"] = _raise(
                sign, 0.45 + 0.22 * np.sin(2 * np.pi * f * t), 0.18 + 0.1 * np.sin(5 * t + sign)
            )
            local[f"fore_{side}"] = axis_rotation("y", -(1.15 + 0.35 * np.sin(2 * np.pi * f * t)))
        local["head"] = axis_rotation("y", 0.08 * np.sin(3.1 * t)) @ axis_rotation(
            "z", 0.2 * np.sin(1.3 * t)
        )
    elif action == "clap":
        beat = 0.5 + 0.5 * np.sin(2 * np.pi * 2.0 * t)
        for side, sign in (("l", 1), ("r", -1)):
            local[f"arm_{side}"] = _raise(sign, 0.85 * o, 0.12 + 0.25 * beat)
            local[f"fore_{side}"] = axis_rotation("y", -1.0 * o) @ axis_rotation(
                "z", -sign * (0.55 - 0.35 * beat)
            )
    elif action == "stretch":
        up = 0.5 - 0.5 * np.cos(2 * np.pi * 0.25 * t)
        for side, sign in (("l", 1), ("r", -1)):
            local[f"arm_{side}"] = _raise(sign, 0.3 * up, 0.3 + 2.5 * up)
            local[f"fore_{side}"] = axis_rotation("y", -0.3 * (1 - up))
        local["spine"] = axis_rotation("y", -0.12 * up)
    elif action == "sit":
        for side, sign in (("l", 1), ("r", -1)):
            local[f"arm_{side}"] = _raise(sign, 0.62 * o, 0.1 * o)
            local[f"fore_{side}"] = axis_rotation("y", -0.75 * o)
        local["head"] = axis_rotation("z", 0.5 * np.sin(0.8 * t)) @ axis_rotation(
            "y", 0.1 + 0.06 * np.sin(1.7 * t)
        )
        local["spine"] = axis_rotation("y", 0.02 * np.sin(1.1 * t))
