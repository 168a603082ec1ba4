# SPDX-License-Identifier: Apache-2.0
"""Cameras of the level: projection against Unreal's own rules, written here a second time."""

from __future__ import annotations

import json
import math
import random

import pytest
from unreal_scenes import place_camera

from syncam_engine.link.errors import SynCamError


def unreal_axes(roll, pitch, yaw):
    """Forward, right, up of a rotator in degrees, as the engine defines them."""
    r, p, y = math.radians(roll), math.radians(pitch), math.radians(yaw)
    sr, cr, sp, cp, sy, cy = (f(a) for a in (r, p, y) for f in (math.sin, math.cos))
    forward = (cp * cy, cp * sy, sp)
    right = (sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, -sr * cp)
    up = (-(cr * sp * cy + sr * sy), cy * sr - cr * sp * sy, cr * cp)
    return forward, right, up


def unreal_ndc(point_cm, location_cm, rotation, lens):
    """Where Unreal draws a world point: (x right, y up) in -1..1 of the camera's own frame."""
    forward, right, up = unreal_axes(*rotation)
    d = [a - b for a, b in zip(point_cm, location_cm, strict=True)]
    along, side, rise = (
        sum(a * b for a, b in zip(d, axis, strict=True)) for axis in (forward, right, up)
    )
    width, height = lens["width_mm"], lens["height_mm"]
    full = width * lens["squeeze"] / height
    if lens["crop"]:
        if lens["crop"] < full:
            width *= lens["crop"] / full
        else:
            height *= full / lens["crop"]
    x = side / along * 2 * lens["focal_mm"] / (width * lens["squeeze"])
    y = rise / along * 2 * lens["focal_mm"] / height
    return x - 2 * lens["offset_x_mm"] / width, y - 2 * lens["offset_y_mm"] / height


def random_camera(rng):
    lens = {
        "width_mm": rng.uniform(8, 50),
        "height_mm": rng.uniform(6, 40),
        "focal_mm": rng.uniform(8, 120),
        "squeeze": rng.choice([1.0, 1.0, 1.33, 2.0]),
        "crop": rng.choice([0.0, 0.0, 1.0, 1.85, 2.39]),
        "offset_x_mm": rng.uniform(-2, 2),
        "offset_y_mm": rng.uniform(-2, 2),
    }
    location = tuple(rng.uniform(-2000, 2000) for _ in range(3))
    rotation = (rng.uniform(-180, 180), rng.uniform(-89, 89), rng.uniform(-180, 180))
    return location, rotation, lens


@pytest.mark.parametrize("batch", range(4))
def test_projection_agrees_with_unreal(unreal, editor, batch):
    """200 random rotators, lenses and filmbacks, 8 points each."""
    for seed in range(50 * batch, 50 * batch + 50):
        editor.open_level()
        check_projection(unreal, random.Random(seed))


def check_projection(unreal, rng):
    location, rotation, lens = random_camera(rng)
    place_camera(unreal, "camA", location, rotation, **lens)
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    camera = read_level_rig(LevelScope(which="all")).cameras[0]
    forward, right, up = unreal_axes(*rotation)
    for _ in range(8):
        along = rng.uniform(50, 5000)
        reach = along * lens["width_mm"] / lens["focal_mm"] / 2
        side, rise = rng.uniform(-reach, reach), rng.uniform(-reach, reach)
        point = [
            location[i] + along * forward[i] + side * right[i] + rise * up[i] for i in range(3)
        ]
        ndc_x, ndc_y = unreal_ndc(point, location, rotation, lens)
        want = ((1 + ndc_x) / 2 * camera.width_px, (1 - ndc_y) / 2 * camera.height_px)
        # A right-handed world is Unreal's with Y turned round, in metres.
        u, v, depth = camera.project([point[0] / 100, -point[1] / 100, point[2] / 100])
        assert math.dist((u, v), want) < 1e-3
        assert depth == pytest.approx(along / 100, rel=1e-9)


def test_world_to_meters_is_honoured(unreal, editor):
    editor.world_settings._values["world_to_meters"] = 250.0
    place_camera(unreal, "camA", (500.0, -750.0, 125.0), (0, 0, 90))
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    rig = read_level_rig(LevelScope(which="all"))
    pose = rig.cameras[0].c2w_cv_m
    assert [round(row[3], 9) for row in pose[:3]] == [2.0, 3.0, 0.5]
    assert rig.source_unit == "1/250 metre"


def test_component_of_an_offset_rig_is_read_not_its_actor(unreal):
    """The camera component sits 40 cm ahead of its actor and the actor hangs on another one."""
    carrier = place_camera(unreal, "carrier", (100.0, 0.0, 0.0), (0, 0, 90))
    actor = place_camera(unreal, "camA", (0.0, 0.0, 0.0))
    actor.root_component._parent = carrier.root_component
    component = actor.get_cine_camera_component()
    component._relative.translation = unreal.Vector(40.0, 0.0, 0.0)
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    rig = read_level_rig(LevelScope(which="all"))
    pose = next(c for c in rig.cameras if c.name == "camA").c2w_cv_m
    assert [round(row[3], 9) for row in pose[:3]] == [1.0, -0.4, 0.0]


def test_scopes_and_duplicate_labels(unreal):
    first = place_camera(unreal, "Cam", (0, 0, 0))
    second = place_camera(unreal, "Cam", (100, 0, 0))
    other = place_camera(unreal, "Wide", (200, 0, 0))
    other.tags = [*other.tags, "SynCam"]
    unreal.get_editor_subsystem(unreal.EditorActorSubsystem).set_selected_level_actors(
        [first, second]
    )
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    names = [c.name for c in read_level_rig(LevelScope(which="selected")).cameras]
    assert names == ["Cam [CineCameraActor_0]", "Cam [CineCameraActor_1]"]
    assert [c.name for c in read_level_rig(LevelScope(which="tag")).cameras] == ["Wide"]
    rig = read_level_rig(LevelScope(which="all"), anchor="Wide")
    assert len(rig.cameras) == 3
    assert rig.anchor_camera.name == "Wide"


def test_unconstrained_camera_keeps_its_horizontal_angle(unreal):
    actor = place_camera(unreal, "camA", width_mm=30.0, height_mm=20.0, focal_mm=24.0)
    component = actor.get_cine_camera_component()
    component.set_constraint_aspect_ratio(False)
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    camera = read_level_rig(LevelScope(which="all"), size_px=(832, 480)).cameras[0]
    assert (camera.width_px, camera.height_px) == (832, 480)
    assert camera.fov_x_deg() == pytest.approx(component.get_horizontal_field_of_view())
    assert camera.K[0][0] == camera.K[1][1]


@pytest.mark.parametrize(("keep", "size"), [("Y", (832, 480)), ("MAJOR_AXIS", (480, 832))])
def test_an_unconstrained_camera_may_keep_its_vertical_angle(unreal, keep, size):
    actor = place_camera(unreal, "camA", width_mm=30.0, height_mm=20.0, focal_mm=24.0)
    component = actor.get_cine_camera_component()
    component.set_constraint_aspect_ratio(False)
    names = unreal.AspectRatioAxisConstraint
    component.override_aspect_ratio_axis_constraint = True
    component.aspect_ratio_axis_constraint = (
        names.ASPECT_RATIO_MAINTAIN_YFOV if keep == "Y" else names.ASPECT_RATIO_MAJOR_AXIS_FOV
    )
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    K = read_level_rig(LevelScope(which="all"), size_px=size).cameras[0].K
    assert K[0][0] == K[1][1] == pytest.approx(size[1] * 24.0 / 20.0)


def test_camera_components_of_an_actor_of_ones_own(unreal, editor):
    """Two cameras in one actor, one of them a plain component: an angle and an aspect."""
    from stand_in.world import add_component, root_of
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    rig_actor = editor.add_actor(unreal.Actor(), "Stereo")
    root_of(rig_actor)._relative.translation = unreal.Vector(0.0, 0.0, 200.0)
    add_component(rig_actor, "CineCameraComponent", root_of(rig_actor), "Left")
    plain = add_component(rig_actor, "CameraComponent", root_of(rig_actor), "Right")
    plain._relative.translation = unreal.Vector(0.0, 50.0, 0.0)
    plain._values.update(field_of_view=90.0, aspect_ratio=2.0, constrain_aspect_ratio=True)
    left, right = read_level_rig(LevelScope(which="all")).cameras
    assert (left.name, right.name) == ("Stereo.Left", "Stereo.Right")
    assert [row[3] for row in right.c2w_cv_m[:3]] == pytest.approx([0.0, -0.5, 2.0])
    assert (right.width_px, right.height_px) == (1280, 640)
    assert (right.K[0][0], right.K[1][1]) == pytest.approx((640.0, 640.0)), "90 degrees"


def test_self_check_against_the_components_own_angle(unreal):
    rng = random.Random(7)
    from syncam_unreal import camera_reading, lens

    for _ in range(20):
        location, rotation, values = random_camera(rng)
        component = place_camera(
            unreal, "c", location, rotation, **values
        ).get_cine_camera_component()
        seen = camera_reading.read_lens(component)
        assert lens.fov_x_deg(seen) == pytest.approx(
            component.get_horizontal_field_of_view(), abs=1e-9
        )


def test_same_physical_rig_in_blender_and_unreal_gives_the_same_network_input(unreal):
    """Poses go into each host by its own rules; relative poses and intrinsics come out equal."""
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    rng = random.Random(11)
    focal_mm, width_mm, height_mm = 24.0, 23.76, 14.256
    blender_poses = []
    for index in range(4):
        angle, radius, rise = rng.uniform(0, 6.28), rng.uniform(3.5, 9), rng.uniform(0.2, 4)
        eye = (radius * math.cos(angle), radius * math.sin(angle), rise)
        target = (rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), 1.0)
        # Blender: a camera looks along -Z with +Y up.
        back = [a - b for a, b in zip(eye, target, strict=True)]
        length = math.sqrt(sum(b * b for b in back))
        z = [b / length for b in back]
        side = math.hypot(z[0], z[1])
        x = [-z[1] / side, z[0] / side, 0.0]
        y = [z[1] * x[2] - z[2] * x[1], z[2] * x[0] - z[0] * x[2], z[0] * x[1] - z[1] * x[0]]
        blender_poses.append([[x[i], -y[i], -z[i], eye[i]] for i in range(3)])
        # Unreal: the same point in centimetres with Y turned round, aimed by yaw and pitch.
        d = [(target[0] - eye[0]) * 100, -(target[1] - eye[1]) * 100, (target[2] - eye[2]) * 100]
        place_camera(
            unreal,
            f"cam{index}",
            (eye[0] * 100, -eye[1] * 100, eye[2] * 100),
            (
                0.0,
                math.degrees(math.atan2(d[2], math.hypot(d[0], d[1]))),
                math.degrees(math.atan2(d[1], d[0])),
            ),
            focal_mm=focal_mm,
            width_mm=width_mm,
            height_mm=height_mm,
        )
    rig = read_level_rig(LevelScope(which="all"))
    check_network_input(rig, blender_poses, focal_mm, width_mm)
    for got, want in zip(rig.cameras, blender_poses, strict=True):
        for row, expected in zip(got.c2w_cv_m, want, strict=False):
            assert row == pytest.approx(expected, abs=1e-9)
        # Blender: fx = lens * W / sensor_width, principal point in the middle, square pixels.
        W, H = got.width_px, got.height_px
        assert got.K[0] == pytest.approx((focal_mm * W / width_mm, 0.0, W / 2), abs=1e-6)
        assert got.K[1] == pytest.approx((0.0, focal_mm * H / height_mm, H / 2), abs=1e-6)


def check_network_input(rig, blender_poses, focal_mm, width_mm):
    """What the network reads of both rigs, fitted to a preset's size, in every encoding."""
    import numpy as np

    from syncam_engine.link.camera import Camera, intrinsics
    from syncam_engine.link.fit import fit_camera
    from syncam_engine.link.rig import Rig
    from syncam_engine.model.camera_encoding import encode_rig
    from syncam_engine.model.presets import CameraEncoding
    from syncam_engine.preview.config import PreviewCameraEncoding

    focal_px = focal_mm * 1280 / width_mm
    blender = Rig(
        cameras=tuple(
            Camera(
                name=f"cam{index}", width_px=1280, height_px=768,
                K=intrinsics(focal_px, focal_px, 640.0, 384.0),
                c2w_cv_m=[*pose, [0, 0, 0, 1]],
            )
            for index, pose in enumerate(blender_poses)
        )
    )  # fmt: skip
    for encoding in (
        CameraEncoding(encoding="extrinsics", anchor_gravity=True),
        PreviewCameraEncoding(encoding="plucker", ground_frequencies=3, anchoring="first_frame"),
    ):
        read = []
        for source in (rig, blender):
            fitted = tuple(fit_camera(c, 160, 96, "crop").camera for c in source.cameras)
            read.append(encode_rig(Rig(cameras=fitted), encoding, 5, 160, 96).numbers_VFSR)
        assert read[0].shape == read[1].shape
        assert np.abs(read[0] - read[1]).max() < 1e-5


def refused(call):
    with pytest.raises(SynCamError) as caught:
        call()
    error = caught.value
    assert error.sentence.endswith(".")
    assert "\n" not in error.sentence
    return error


def test_bad_cameras_are_refused_in_one_sentence(unreal):
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    read = lambda: read_level_rig(LevelScope(which="all"))  # noqa: E731
    assert refused(read).code == "rig.no_cameras"
    assert refused(lambda: read_level_rig(LevelScope(which="selected"))).code == "rig.no_cameras"
    assert refused(lambda: read_level_rig(LevelScope(which="tag", tag="Hero"))).sentence.count(
        "Hero"
    )
    actor = place_camera(unreal, "Plan", (0, 0, 0))
    component = actor.get_cine_camera_component()
    component.set_projection_mode(unreal.CameraProjectionMode.ORTHOGRAPHIC)
    assert refused(read).code == "camera.orthographic"
    component.set_projection_mode(unreal.CameraProjectionMode.PERSPECTIVE)
    film = component.filmback
    film.sensor_height = 0.0
    component.set_editor_property("filmback", film)
    error = refused(read)
    assert error.code == "camera.filmback"
    assert "Plan" in error.sentence


def test_unloaded_world_partition_cameras_are_named(unreal, editor):
    editor.open_level("/Game/Maps/Open", partitioned=True)
    place_camera(unreal, "here", (0, 0, 0))
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    assert len(read_level_rig(LevelScope(which="all")).cameras) == 1
    editor.unloaded_actors = ["far away"]
    error = refused(lambda: read_level_rig(LevelScope(which="all")))
    assert error.code == "unreal.world_partition"
    assert "far away" in error.sentence


@pytest.mark.parametrize("unreal", ["5.4"], indirect=True)
def test_an_engine_without_sensor_offsets_is_read(unreal):
    place_camera(unreal, "camA", (0, 0, 0), (0, 0, 0), width_mm=36.0, height_mm=24.0)
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    camera = read_level_rig(LevelScope(which="all")).cameras[0]
    assert camera.K[0][2] == camera.width_px / 2


def test_a_rig_file_comes_back_as_the_same_rig(unreal, editor, tmp_path):
    """Written, added to an empty level, read again: the same poses and intrinsics."""
    from syncam_unreal.level_cameras import LevelScope, read_level_rig
    from syncam_unreal.rig_placing import place_rig_file

    from syncam_engine.link.rig_json import write_rig

    rng = random.Random(5)
    for index in range(5):
        location, rotation, lens = random_camera(rng)
        place_camera(unreal, f"cam{index}", location, rotation, **lens)
    rig = read_level_rig(LevelScope(which="all"))
    path = write_rig(rig, tmp_path / "rig.json")
    editor.open_level()
    actors = place_rig_file(path)
    assert editor.selected == actors
    again = read_level_rig(LevelScope(which="selected"))
    assert [c.name for c in again.cameras] == [c.name for c in rig.cameras]
    for got, want in zip(again.cameras, rig.cameras, strict=True):
        for row, expected in zip(got.c2w_cv_m, want.c2w_cv_m, strict=True):
            assert row == pytest.approx(expected, abs=1e-7)
        # The picture's size may differ by rounding; rays through its edges do not.
        scale = (want.width_px / got.width_px, want.height_px / got.height_px)
        for axis in (0, 1):
            for column in (axis, 2):
                assert got.K[axis][column] * scale[axis] == pytest.approx(
                    want.K[axis][column], rel=1e-6
                )


def test_a_rig_file_that_cannot_be_placed_leaves_nothing(unreal, editor, tmp_path):
    from syncam_unreal.rig_placing import place_rig_file

    from syncam_engine.link.rig_json import read_rig, write_rig

    place_camera(unreal, "camA")
    place_camera(unreal, "camB")
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    path = write_rig(read_level_rig(LevelScope(which="all")), tmp_path / "rig.json")
    text = path.read_text()
    editor.open_level()
    data = json.loads(text)
    data["cameras"][1]["K"][0][1] = 3.0
    path.write_text(json.dumps(data))
    assert read_rig(path)
    error = refused(lambda: place_rig_file(path))
    assert error.code == "camera.skew"
    assert editor.actors == []
    assert refused(lambda: place_rig_file(tmp_path / "none.json")).code == "rig.file"
    editor.pie = True
    assert refused(lambda: place_rig_file(path)).code == "unreal.playing"
