# SPDX-License-Identifier: GPL-3.0-or-later
"""Four-legged animals from one set of proportions: dog, cat, horse, cow, goat, bear and others."""

import numpy as np

from render_rigs.mesh import linear_passthrough, loft, sphere
from render_rigs.subjects.quadruped_shape import AnimalShape
from render_rigs.subjects.rig import Figure, FigureBuilder, Leg, Skeleton


def _layout(s: AnimalShape) -> tuple[Skeleton, dict]:
    h = s.withers_m
    back = h * (1 - s.depth * 0.42)
    half = s.length * h / 2
    a = np.radians(s.neck_angle_deg)
    shoulder = np.array([half * 0.86, 0, back])
    hip = np.array([-half * 0.86, 0, back + 0.01 * h])
    neck = np.array([half * 1.0, 0, back + s.depth * h * 0.18])
    neck_end = neck + np.array([np.cos(a), 0, np.sin(a)]) * s.neck * h
    tail = np.array([-half - 0.02 * h, 0, back + s.depth * h * 0.26])
    t = np.radians(s.tail_angle_deg)
    tail_step = np.array([-np.cos(t), 0, np.sin(t)]) * s.tail * h / 3
    wide = s.width * h * 0.36
    ankle = 0.045 * h
    names, parents, heads = ["root"], [-1], [(hip + shoulder) / 2]

    def bone(name, parent, at):
        names.append(name)
        parents.append(names.index(parent))
        heads.append(np.asarray(at, float))

    bone("rear", "root", hip * 0.6)
    heads[-1][2] = back
    bone("front", "root", np.array([half * 0.3, 0, back]))
    bone("neck", "front", neck)
    bone("neck2", "neck", (neck + neck_end) / 2)
    bone("head", "neck2", neck_end)
    for k in range(3):
        bone(f"tail{k}", "rear" if k == 0 else f"tail{k - 1}", tail + tail_step * k)
    legs = {}
    for where, base, parent in (("f", shoulder, "front"), ("h", hip, "rear")):
        for side, sign in (("l", 1), ("r", -1)):
            top = np.array([base[0], sign * wide * 0.85, back - s.depth * h * 0.12])
            foot = np.array([base[0] + (0.02 if where == "f" else -0.03) * h, sign * wide, ankle])
            forward = -0.015 if where == "f" else 0.05
            knee = (top + foot) / 2 + np.array([forward * h, 0, 0.015 * h])
            if where == "h":
                knee[2] += 0.02 * h
            bone(f"up_{where}{side}", parent, top)
            bone(f"low_{where}{side}", f"up_{where}{side}", knee)
            bone(f"foot_{where}{side}", f"low_{where}{side}", foot)
            legs[where + side] = (top, knee, foot)
    info = dict(
        back=back,
        half=half,
        neck=neck,
        neck_end=neck_end,
        neck_dir=a,
        tail=tail,
        tail_step=tail_step,
        legs=legs,
    )
    return Skeleton(names, parents, np.array(heads)), info


def build_quadruped(shape: AnimalShape) -> Figure:
    """Return the weighted animal at rest."""
    skeleton, at = _layout(shape)
    b = FigureBuilder(skeleton)
    coat = _coat(shape)
    _body(b, shape, at, coat)
    _legs(b, shape, at, coat)
    _head(b, shape, at, coat)
    _tail(b, shape, at, coat)
    legs = [
        Leg(
            skeleton.index(f"up_{k}"),
            skeleton.index(f"low_{k}"),
            skeleton.index(f"foot_{k}"),
            phase,
            knee,
        )
        for k, phase, knee in (
            ("hl", 0.0, 1.0),
            ("fl", 0.25, -1.0),
            ("hr", 0.5, 1.0),
            ("fr", 0.75, -1.0),
        )
    ]
    top = float(max(at["neck_end"][2] + shape.head * shape.withers_m, shape.withers_m))
    return b.build(
        legs,
        top,
        shape.length * shape.withers_m * 0.75,
        kind="animal",
        caption=shape.caption(),
        details=f"a {shape.species}",
        noun=shape.species,
        withers_m=shape.withers_m,
    )


def _rgb(value):
    return np.array(linear_passthrough(value), float)


def _coat(s: AnimalShape):
    """colour(points [N,3], up [N]) of the coat: belly, patterns; ``up`` is -1 below .. 1 above."""
    rng = np.random.default_rng(s.seed)
    waves = rng.uniform(2.0, 4.2, (5, 3)) * rng.choice([-1, 1], (5, 3)) / s.withers_m * 2.2
    shifts = rng.uniform(0, 6.28, 5)
    base, belly, other = _rgb(s.color), _rgb(s.belly), _rgb(s.pattern_color)

    def color(points, up):
        points, up = np.atleast_2d(points), np.atleast_1d(up)
        k = np.clip((-up - 0.25) / 0.5, 0, 1)[:, None]
        out = base * (1 - k) + belly * k
        wave = sum(np.sin(points @ w + p) for w, p in zip(waves, shifts, strict=True))
        if s.pattern == "spots":
            mask = wave > 0.75
        elif s.pattern == "stripes":
            mask = (np.sin(points[:, 0] / s.withers_m * 34 + wave) > 0.25) & (up > -0.5)
        elif s.pattern == "saddle":
            mask = (up > 0.3) & (np.abs(points[:, 0]) < s.length * s.withers_m * 0.42)
        else:
            mask = np.zeros(len(points), bool)
        out = np.where(mask[:, None], other, out)
        return np.clip(out * (1 + 0.06 * np.sin(wave * 3)[:, None]), 0, 1)

    return color


def _shell(b, centers, radii, weights, coat, segments, u, v, power=2.0, surface="fur") -> None:
    """A tube whose every vertex is coloured by the coat."""
    verts, faces = loft(centers, radii, segments=segments, u=u, v=v, power=power)
    n = len(centers)
    middle = np.concatenate([np.repeat(centers, segments, 0), centers[:1], centers[-1:]])
    tall = np.concatenate(
        [np.repeat(np.maximum(np.asarray(radii)[:, 1], 1e-6), segments), np.ones(2)]
    )
    up = np.clip((verts[:, 2] - middle[:, 2]) / tall, -1, 1)
    rows = np.broadcast_to(weights, (n, len(b.skeleton.names)))
    w = np.concatenate([np.repeat(rows, segments, 0), rows[:1], rows[-1:]])
    b.add(verts, faces, w, coat(verts, up), surface)


def _body(b, s, at, coat) -> None:
    h, half, back = s.withers_m, at["half"], at["back"]
    x = np.array([-1.1, -1.04, -0.9, -0.65, -0.3, 0.05, 0.4, 0.7, 0.95, 1.08, 1.15]) * half
    tall = np.array([0.1, 0.26, 0.38, 0.43, 0.42, 0.44, 0.48, 0.5, 0.42, 0.28, 0.12]) * s.depth * h
    wide = np.array([0.1, 0.3, 0.45, 0.5, 0.47, 0.49, 0.5, 0.47, 0.37, 0.24, 0.1]) * s.width * h
    lift = (
        np.array([0.08, 0.06, 0.03, 0, -0.01, -0.02, -0.03, -0.03, 0.0, 0.04, 0.06]) * s.depth * h
    )
    sag = s.belly_sag * h * np.exp(-(((x / half) / 0.6) ** 2))
    centers = np.stack([x, 0 * x, back + lift - sag / 2], -1)
    if s.pattern == "wool":
        tall, wide = tall * 1.12, wide * 1.15
    weights = []
    for xi in x / half:
        k = np.clip((xi + 0.6) / 1.2, 0, 1)
        r = max(1 - abs(k - 0.5) * 2, 0) * 0.7
        weights.append(b.weight(rear=(1 - k) * (1 - r) + 1e-9, front=k * (1 - r), root=r))
    _shell(
        b,
        centers,
        np.stack([wide, tall + sag / 2], -1),
        np.array(weights),
        coat,
        16,
        (0, 1, 0),
        (0, 0, 1),
        2.2,
    )
    if s.pattern == "wool":
        rng = np.random.default_rng(s.seed + 1)
        unit, faces = sphere(6, 5)
        for _ in range(150):
            i = rng.integers(1, len(x) - 1)
            a = rng.uniform(-0.4, np.pi + 0.4)
            p = centers[i] + np.array(
                [rng.uniform(-0.05, 0.05) * h, np.cos(a) * wide[i], np.sin(a) * tall[i]]
            )
            b.add(
                unit * 0.075 * h + p,
                faces,
                weights[i],
                coat(unit * 0 + p, unit[:, 2] * 0 + 1) * rng.uniform(0.88, 1.05),
                "fur",
            )
    neck, end = at["neck"], at["neck_end"]
    t = np.array([-0.6, -0.5, -0.2, 0.2, 0.55, 0.9, 1.12])
    thick = np.interp(t, [-0.5, -0.2, 0.2, 0.6, 1.1], [1.3, 1.45, 1.22, 1.0, 0.85])
    thick *= s.neck_thick * h * np.array([0.4, 0.85, 1, 1, 1, 1, 0.75])
    # Its root stays inside the shoulders, and it narrows into the back of the head: a thick neck
    # would else stand up as a hump and end as a collar.
    root = 0.26 + 0.2 * np.sin(at["neck_dir"])
    thick[:4] = np.minimum(thick[:4], np.array([0.2, 0.3, root, root]) * s.depth * h)
    slim = np.interp(t, [0.2, 0.9, 1.12], [thick[3], 0.6 * s.head * h, 0.45 * s.head * h])
    thick[3:] = np.minimum(thick[3:], slim[3:])
    centers = neck + (end - neck) * t[:, None]
    centers[:3, 2] -= np.array([0.05, 0.04, 0.015]) * h
    side = np.array([-np.sin(at["neck_dir"]), 0, np.cos(at["neck_dir"])])
    weights = [
        b.weight(front=1),
        b.weight(front=1),
        b.weight(front=0.7, neck=0.3),
        b.weight(neck=1),
        b.weight(neck=0.4, neck2=0.6),
        b.weight(neck2=0.7, head=0.3),
        b.weight(head=1),
    ]
    _shell(
        b,
        centers,
        np.stack([thick * 0.72, thick * 1.1], -1),
        np.array(weights),
        coat,
        12,
        (0, 1, 0),
        side,
    )
    if s.mane:
        dark = _rgb("#1d1715" if s.color_name != "white" else "#b9b4aa")
        on_top = np.linspace(-0.1, 1.15, 7)
        rise = np.interp(on_top, t, thick * 1.05)[:, None]
        centers = neck + (end - neck) * on_top[:, None] + side * rise
        b.tube(
            centers,
            np.array([(0.022, 0.05)] * 7) * h * 1.1,
            np.array(
                [b.weight(front=0.4, neck=0.6)]
                + [b.weight(neck=1)] * 2
                + [b.weight(neck2=1)] * 2
                + [b.weight(head=0.5, neck2=0.5), b.weight(head=1)]
            ),
            dark,
            "hair",
            segments=8,
            u=(0, 1, 0),
            v=side,
        )


def _legs(b, s, at, coat) -> None:
    h = s.withers_m
    for key, (top, knee, foot) in at["legs"].items():
        hind = key[0] == "h"
        t = np.array(
            [-0.42, -0.36, -0.24, -0.05, 0.2, 0.4, 0.62, 0.85, 1.0, 1.15, 1.4, 1.7, 1.92, 2.0]
        )
        big = 1.85 if hind else 1.5
        thick = (
            np.interp(
                t,
                [-0.42, -0.36, -0.24, -0.05, 0.3, 0.7, 1.0, 1.4, 1.8, 2.0],
                [0.25 * big, 0.6 * big, 0.9 * big, big, big * 0.85, 1.1, 0.92, 0.7, 0.6, 0.66],
            )
            * s.leg_thick
            * h
        )
        centers = (
            top
            + (knee - top) * np.clip(t, -0.5, 1)[:, None]
            + (foot - knee) * np.clip(t - 1, 0, 1)[:, None]
        )
        rows = []
        base = "rear" if hind else "front"
        for ti in t:
            k = np.clip((ti - 0.85) / 0.3, 0, 1)
            r = np.clip(0.35 - ti / 0.5, 0, 1) * 0.7
            rows.append(
                b.weight(**{base: r + 1e-9, f"up_{key}": (1 - k) * (1 - r), f"low_{key}": k})
            )
        # The top leans into the body, so that haunch and shoulder swell out of it.
        centers[:, 1] -= np.sign(top[1]) * np.clip(0.25 - t, 0, 1) * 0.5 * s.leg_thick * h
        radii = np.stack(
            [thick * 0.82, thick * np.interp(t, [-0.4, 0.6, 1.2], [1.3, 1.1, 1.0])], -1
        )
        _shell(
            b,
            centers,
            radii,
            np.array(rows),
            lambda p, up: coat(p, np.zeros(len(p))),
            10,
            (0, 1, 0),
            (1, 0, 0),
        )
        unit, faces = sphere(10, 8)
        size = np.array([1.35, 1.0, 0.7]) * s.leg_thick * h * 0.85
        paw = unit * size
        paw[:, 2] = np.maximum(paw[:, 2], -size[2] * 0.8)
        center = np.array([foot[0] + 0.35 * size[0], foot[1], size[2] * 0.8])
        tint = (
            _rgb(s.paw)
            if s.ears == "long" or s.species in ("horse", "fox")
            else coat(center[None], [0.0])[0] * 0.85
        )
        b.add(paw + center, faces, b.weight(**{f"foot_{key}": 1}), tint, "fur")


def _head(b, s, at, coat) -> None:
    h = s.withers_m
    weight = b.weight(head=1)
    end = at["neck_end"]
    tilt = np.radians(-22)
    axis = np.array([np.cos(tilt), 0, np.sin(tilt)])
    up = np.array([-np.sin(tilt), 0, np.cos(tilt)])
    head, snout, thick = s.head * h, s.snout * h, s.snout_thick * h
    d = np.array([-0.55, -0.42, -0.1, 0.25, 0.55]) * head
    d = np.concatenate([d, 0.6 * head + np.array([0.25, 0.6, 0.9, 1.0]) * snout])
    tall = np.concatenate(
        [np.array([0.2, 0.42, 0.56, 0.52, 0.4]) * head, np.array([1.05, 0.92, 0.82, 0.45]) * thick]
    )
    wide = np.concatenate(
        [np.array([0.2, 0.4, 0.5, 0.46, 0.36]) * head, np.array([0.85, 0.75, 0.75, 0.4]) * thick]
    )
    drop = np.concatenate([np.zeros(5), np.array([0.1, 0.14, 0.15, 0.17]) * head])
    centers = end + axis * d[:, None] - up * drop[:, None]
    paler = 0.2 if s.species in ("fox", "cat") else 1.0

    def face(points, up):
        return coat(points, np.minimum(up, paler))

    _shell(b, centers, np.stack([wide, tall], -1), weight, face, 14, (0, 1, 0), up)
    nose = centers[-2] + axis * 0.12 * snout + up * tall[-2] * 0.45
    unit, faces = sphere(8, 6)
    dark = _rgb("#151212" if s.species != "pig" else "#b87c70")
    hoofed = s.species in ("horse", "cow", "goat", "deer", "sheep")
    muzzle = coat(nose[None], [0.0])[0] * 0.6 if hoofed else dark
    wide_nose = thick * np.array([0.3, 0.62, 0.34] if hoofed else [0.35, 0.5, 0.38])
    b.add(nose + unit * wide_nose, faces, weight, muzzle, "leather")
    mouth = np.array([centers[-1] + axis * 0.02 * snout, centers[-2], centers[-3]])
    for sign in (1, -1):
        b.tube(
            mouth
            + np.array([0, sign, 0]) * np.array([0.3, 0.72, 0.78])[:, None] * thick
            - up * np.array([0.15, 0.3, 0.35])[:, None] * thick,
            np.full(3, 0.06 * thick),
            weight,
            dark * 0.8,
            "leather",
            segments=5,
        )
        eye = end + axis * 0.38 * head + up * 0.2 * head + np.array([0, sign, 0]) * 0.375 * head
        b.add(eye + unit * 0.11 * head, faces, weight, _rgb("#0f0d0d"), "leather")
        b.add(
            eye
            + (axis * 0.06 + up * 0.05 + np.array([0, sign * 0.06, 0])) * head
            + unit * 0.028 * head,
            faces,
            weight,
            _rgb("#ffffff"),
            "plain",
        )
        _ear(b, s, end, axis, up, head, sign, weight, coat)
        _horn(b, s, end, axis, up, head, sign, weight)


def _ear(b, s, end, axis, up, head, sign, weight, coat) -> None:
    side = np.array([0, sign, 0.0])
    root = end - axis * 0.12 * head + up * 0.42 * head + side * 0.3 * head
    shapes = {
        "pointed": (
            [0, 0.25, 0.5, 0.72],
            [(0.16, 0.07), (0.17, 0.07), (0.1, 0.05), (0.01, 0.01)],
            up * 1.0 + side * 0.25,
        ),
        "round": (
            [0, 0.12, 0.26, 0.34],
            [(0.15, 0.08), (0.2, 0.1), (0.17, 0.08), (0.05, 0.04)],
            up * 1.0 + side * 0.4,
        ),
        "floppy": (
            [0, 0.2, 0.45, 0.65],
            [(0.1, 0.07), (0.2, 0.06), (0.21, 0.05), (0.08, 0.03)],
            -up * 0.9 + side * 0.45,
        ),
        "long": (
            [0, 0.25, 0.55, 0.8],
            [(0.07, 0.06), (0.14, 0.06), (0.12, 0.05), (0.02, 0.02)],
            side * 1.0 + up * 0.2 - axis * 0.25,
        ),
    }[s.ears]
    d, radii, way = shapes
    way = way / np.linalg.norm(way)
    across = axis - way * (axis @ way)
    across /= np.linalg.norm(across)
    if s.ears == "floppy":
        root = root + side * 0.1 * head
    centers = root + way * np.array(d)[:, None] * head
    color = coat(centers, np.ones(4)) * 0.85
    b.tube(
        centers,
        np.array(radii) * head,
        weight,
        color,
        "fur",
        segments=8,
        u=across,
        v=np.cross(way, across),
    )


def _horn(b, s, end, axis, up, head, sign, weight) -> None:
    if s.horns == "none":
        return
    side = np.array([0, sign, 0.0])
    root = end - axis * 0.05 * head + up * 0.5 * head + side * 0.16 * head
    bone = _rgb("#c9bb9a")
    if s.horns == "short":
        points = (
            root
            + (side * np.array([0.1, 0.5, 0.75])[:, None] + up * np.array([0, 0.1, 0.45])[:, None])
            * head
        )
        b.tube(points, np.array([0.09, 0.075, 0.015]) * head, weight, bone, "leather", segments=7)
    elif s.horns == "curved":
        points = (
            root
            + (
                up * np.array([0, 0.5, 0.85, 0.95])[:, None]
                - axis * np.array([0, 0.1, 0.5, 0.95])[:, None]
                + side * np.array([0, 0.1, 0.2, 0.3])[:, None]
            )
            * head
        )
        b.tube(
            points,
            np.array([0.1, 0.085, 0.06, 0.015]) * head,
            weight,
            bone * 0.75,
            "leather",
            segments=7,
        )
    else:
        main = (
            root
            + (
                up * np.array([0, 0.7, 1.4, 2.1])[:, None]
                - axis * np.array([0, 0.35, 0.3, -0.1])[:, None]
                + side * np.array([0, 0.5, 0.95, 1.05])[:, None]
            )
            * head
        )
        b.tube(
            main,
            np.array([0.09, 0.075, 0.06, 0.02]) * head,
            weight,
            bone * 0.8,
            "leather",
            segments=6,
        )
        for k in (1, 2):
            tine = (
                main[k]
                + (up * np.array([0, 0.4])[:, None] + axis * np.array([0, 0.4])[:, None]) * head
            )
            b.tube(tine, np.array([0.055, 0.015]) * head, weight, bone * 0.8, "leather", segments=5)


def _tail(b, s, at, coat) -> None:
    h = s.withers_m
    start, step = at["tail"], at["tail_step"]
    t = np.linspace(-0.2, 3.0, 8)
    droop = np.array([0, 0, -1.0]) * (0.02 * h * t**2)[:, None] * (s.tail_angle_deg > -60)
    centers = start + step * t[:, None] + droop
    bushy = {"fox": [0.4, 0.7, 1.2, 0.25], "horse": [0.6, 1.0, 1.2, 0.5]}.get(
        s.species, [1.1, 0.95, 0.8, 0.45]
    )
    thick = np.interp(t, [-0.2, 0.8, 2.2, 3.0], bushy) * s.tail_thick * h
    if s.species in ("cow",):
        thick[-2:] *= 2.2
    rows = [b.weight(**{f"tail{int(np.clip(k, 0, 2))}": 1.0}) for k in t]
    rows[0] = b.weight(rear=1)
    hair = _rgb("#1d1715" if s.color_name != "white" else "#b9b4aa")

    def tint(points, up):
        if s.species == "horse":
            return np.broadcast_to(hair, (len(points), 3))
        out = coat(points, np.zeros(len(points)))
        if s.species == "fox":  # the white tip
            far = np.linalg.norm(points - start, axis=1) > s.tail * h * 0.72
            out = np.where(far[:, None], _rgb("#e8e2d6"), out)
        return out

    _shell(b, centers, np.stack([thick, thick], -1), np.array(rows), tint, 8, None, None)
