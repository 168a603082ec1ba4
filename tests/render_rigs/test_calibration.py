# SPDX-License-Identifier: GPL-3.0-or-later
"""Known 3-D points land where the written cameras say, in the film and in every pass."""

import json
import math

import av
import numpy as np
import pytest

from syncam_engine.link.camera import Camera

pytestmark = pytest.mark.processes

HERE = __file__.rsplit("/", 1)[0]


@pytest.fixture(scope="module")
def shot(in_blender, tmp_path_factory):
    """The calibration scene as it lies on disk: (cameras, films, passes, points)."""
    out = tmp_path_factory.mktemp("calibration")
    in_blender(f"{HERE}/calibration.py", str(out))
    folder = out / "scene1"
    scene = json.loads((folder / "scene.json").read_text())
    cameras = [
        Camera(
            name=c["name"],
            width_px=scene["width_px"],
            height_px=scene["height_px"],
            K=c["K"],
            c2w_cv_m=c["c2w_cv_m"],
        )
        for c in scene["cameras"]
    ]
    films = [decode(folder / "videos" / f"{c.name}.mp4") for c in cameras]
    passes = {
        p: [np.load(folder / p / f"{c.name}.npy") for c in cameras]
        for p in ("depth", "normal", "mask", "flow", "albedo")
    }
    return scene, cameras, films, passes, np.load(out / "points.npz"), folder


def decode(path):
    with av.open(str(path)) as file:
        return np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])


def centroid(weight, u, v, reach):
    """Weighted middle (u, v) of a patch around a point, pixel centres at +0.5; None at an edge."""
    height, width = weight.shape
    x0, y0 = int(u - reach), int(v - reach)
    x1, y1 = int(u + reach) + 1, int(v + reach) + 1
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        return None
    patch = np.asarray(weight[y0:y1, x0:x1], float)
    if patch.sum() < 1e-6:
        return None
    ys, xs = np.mgrid[y0:y1, x0:x1] + 0.5
    return (patch * xs).sum() / patch.sum(), (patch * ys).sum() / patch.sum()


def lonely(points, camera, frame):
    """Static balls apart from all else in this picture: (u, v, depth, reach, point)."""
    radius_m = float(points["radius"])
    balls, subject = points["balls"], points["path"][frame + 1]
    seen = [camera.project(p, frame) for p in (*balls, subject)]
    f = camera.K_at(frame)[0][0]
    out = []
    for i, (u, v, depth) in enumerate(seen[:-1]):
        reach = f * radius_m / depth + 2.5
        near = [math.hypot(u - a, v - b) for j, (a, b, _) in enumerate(seen) if j != i]
        if depth > 0 and min(near) > 2 * reach + 2:
            out.append((u, v, depth, reach, balls[i]))
    return out


def test_film_balls_are_where_the_cameras_project_them(shot):
    _, cameras, films, passes, points, _ = shot
    checked = 0
    for camera, film, mask in zip(cameras, films, passes["mask"], strict=True):
        for frame in (0, 4):
            luma = film[frame].astype(float).min(-1)
            luma = np.where(luma > 60, luma, 0) * (mask[frame] == 0)
            for u, v, _, reach, _ in lonely(points, camera, frame):
                found = centroid(luma, u, v, reach)
                if found:
                    assert math.dist(found, (u, v)) < 1.0
                    checked += 1
    assert checked >= 12


def test_frame_k_is_the_same_instant_in_every_camera(shot):
    _, cameras, films, passes, points, _ = shot
    for frame in range(5):
        for index, camera in enumerate(cameras):
            u, v, _ = camera.project(points["path"][frame + 1], frame)
            mask = (passes["mask"][index][frame] == 1).astype(float)
            found = centroid(mask, u, v, 9)
            assert found
            assert math.dist(found, (u, v)) < 1.0
            red = films[index][frame].astype(float)
            red = np.clip(red[..., 0] - red[..., 1] - 60, 0, None)
            assert math.dist(centroid(red, u, v, 9), (u, v)) < 1.0
            for other in {frame - 1, frame + 1} & set(range(5)):
                a, b, _ = camera.project(points["path"][other + 1], frame)
                assert math.dist((a, b), found) > 2, "the test must tell frames apart"


def test_films_are_filed_under_their_own_camera(shot):
    _, cameras, films, _, points, _ = shot
    for i, film in enumerate(films):
        red = film[2].astype(float)
        red = np.clip(red[..., 0] - red[..., 1] - 60, 0, None)
        v, u = np.unravel_index(red.argmax(), red.shape)
        offs = [
            math.dist((u + 0.5, v + 0.5), camera.project(points["path"][3], 2)[:2])
            for camera in cameras
        ]
        assert int(np.argmin(offs)) == i
        for other in films[:i]:
            assert np.abs(film.astype(int) - other.astype(int)).mean() > 3


def test_depth_is_plane_depth_in_metres(shot):
    _, cameras, _, passes, points, _ = shot
    checked = far = 0
    for camera, depth in zip(cameras, passes["depth"], strict=True):
        for u, v, plane, _, point in lonely(points, camera, 1):
            if not (1 < u < 175 and 1 < v < 95):
                continue
            eye = np.array(camera.c2w_cv_m_at(1))[:3, 3]
            ray = np.linalg.norm(point - eye)
            got = float(depth[1][int(v), int(u)])
            expected = plane - float(points["radius"]) * plane / ray
            assert abs(got - expected) < 0.02
            if ray - plane > 0.1:  # at the picture's edge ray depth would be caught
                far += 1
                assert abs(got - (ray - float(points["radius"]))) > 0.06
            checked += 1
    assert checked >= 7
    assert far >= 1
    assert np.isinf(np.concatenate([d.ravel() for d in passes["depth"]])).any()


def test_depth_normals_and_mask_have_the_balls_in_place(shot):
    _, cameras, _, passes, points, _ = shot
    for camera, depth, normal in zip(cameras, passes["depth"], passes["normal"], strict=True):
        c2w = np.array(camera.c2w_cv_m_at(3))
        for u, v, plane, reach, _ in lonely(points, camera, 3):
            near = np.abs(depth[3] - plane) < 0.12
            found = centroid(near, u, v, reach)
            if found is None:
                continue
            assert math.dist(found, (u, v)) < 1.0
            facing = np.clip(-(normal[3].astype(float) @ c2w[:3, 2]), 0, 1) * near
            assert math.dist(centroid(facing, u, v, reach), (u, v)) < 1.0
    floor = passes["normal"][0][0][-1, 88].astype(float)
    assert np.allclose(floor, (0, 0, 1), atol=0.02)


def test_albedo_is_the_surfaces_own_colour_whatever_the_light(shot):
    _, cameras, films, passes, points, _ = shot
    for index, camera in enumerate(cameras):
        albedo, mask = passes["albedo"][index], passes["mask"][index]
        for u, v, _, _, _ in lonely(points, camera, 2):
            if 1 < u < 175 and 1 < v < 95:
                assert albedo[2][int(v), int(u)].min() >= 253, "a white ball"
        u, v, _ = camera.project(points["path"][3], 2)
        assert mask[2][int(v), int(u)] == 1
        assert np.abs(albedo[2][int(v), int(u)].astype(int) - (255, 0, 0)).max() <= 2
    nothing = np.isinf(np.stack(passes["depth"]))
    assert nothing.any()
    assert (np.stack(passes["albedo"])[nothing] == 0).mean() > 0.95, "all but the horizon's pixels"
    floor = passes["albedo"][0][0][-1, 88].astype(int)
    assert np.abs(floor - 0x0C).max() <= 1
    assert np.abs(films[0][0][-1, 88].astype(int) - 0x0C).max() > 3, "the film has light in it"


def test_flow_is_pixels_to_the_next_frame(shot):
    _, cameras, _, passes, points, _ = shot
    for camera, flow, mask in zip(cameras, passes["flow"], passes["mask"], strict=True):
        for frame in range(4):
            here = np.array(camera.project(points["path"][frame + 1], frame)[:2])
            there = np.array(camera.project(points["path"][frame + 2], frame + 1)[:2])
            got = np.median(flow[frame][mask[frame] == 1], axis=0)
            assert np.linalg.norm(got - (there - here)) < 1.0
        if not camera.is_moving:
            still = np.median(np.abs(flow[2][mask[2] == 0]))
            assert still < 0.05


def test_the_scene_says_what_it_holds(shot):
    scene, _, films, _, _, folder = shot
    assert scene["format"] == "syncam-scene"
    assert "plane depth" in scene["passes"]["depth"]
    assert "pixels" in scene["passes"]["flow"]
    assert all(len(film) == 5 for film in films)
    with av.open(str(folder / "videos" / "cam01.mp4")) as file:
        stream = file.streams.video[0]
        assert stream.average_rate == 5
        assert (stream.codec_context.color_primaries, stream.codec_context.color_trc) == (1, 13)
    for name in ("sheet.jpg", "rig.png", "videos/cam01.mp4", "depth/cam03.npy"):
        assert scene["files"][name].startswith("sha256:")
