# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from syncam_engine.link import poses
from syncam_engine.link.camera import intrinsics_from_lens
from syncam_engine.link.envelope import Envelope, check_request, check_rig, said_once
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.hemisphere import hemisphere_pose_c2w_cv_m
from syncam_engine.link.messages import Notice
from syncam_engine.link.rig import Rig

from .conftest import make_camera

ENVELOPE = Envelope(
    sizes=((160, 96), (320, 192)),
    frames=(1, 17),
    fps=(8, 15),
    views=(1, 3),
    trained_views=2,
    hfov_deg=(52.0, 53.0),
    distance_m=(3.5, 6.0),
    elevation_deg=(0.0, 45.0),
    relative_azimuth_deg=60.0,
    relative_elevation_deg=15.0,
    roll_deg=5.0,
    moving_cameras=False,
    steps=(4, 50),
    prompt_characters=40,
    memory_gb=1.5,
)


@dataclass
class Request:
    prompt: str = "a dog runs"
    negative_prompt: str = ""
    width: int = 160
    height: int = 96
    frames: int = 17
    steps: int = 8


def hemisphere_rig(*places, **changes):
    cameras = tuple(
        make_camera(
            f"c{i}",
            width_px=160,
            height_px=96,
            K=intrinsics_from_lens(24, 23.76, 160, 96),
            c2w_cv_m=hemisphere_pose_c2w_cv_m((0.3, 0.1, 0.9), *place),
        )
        for i, place in enumerate(places)
    )
    return Rig(cameras=(replace(cameras[0], **changes), *cameras[1:]))


def codes(issues):
    return {(issue.code, issue.camera, issue.kind) for issue in issues}


def test_a_request_and_a_rig_inside_have_no_issue():
    assert check_request(Request(), ENVELOPE) == []
    assert check_rig(hemisphere_rig((5, 355, 10), (4, 20, 20)), ENVELOPE) == []


@pytest.mark.parametrize(
    ("change", "code", "nearest"),
    [
        ({"prompt": "  "}, "prompt.empty", None),
        ({"prompt": "x" * 41}, "prompt.long", 40),
        ({"negative_prompt": "x" * 50}, "prompt.long", 40),
        ({"width": 168}, "size.impossible", [160, 96]),
        ({"width": 400, "height": 200}, "size.impossible", [320, 192]),
        ({"frames": 16}, "frames.impossible", 17),
        ({"steps": 0}, "steps.impossible", 4),
        ({"steps": 500}, "steps.impossible", 50),
    ],
)
def test_a_request_outside_is_refused_with_the_nearest_value(change, code, nearest):
    (issue,) = check_request(Request(**change), ENVELOPE)
    assert (issue.kind, issue.code, issue.nearest) == ("refuse", code, nearest)
    assert str(issue.to_error()) == issue.sentence


@pytest.mark.parametrize(
    ("places", "changes", "code", "camera"),
    [
        (((9, 0, 10), (5, 40, 10)), {}, "camera.distance_untrained", "c0"),
        (((5, 0, 10), (5, 75, 10)), {}, "camera.azimuth_untrained", "c1"),
        (((5, 0, 10), (5, 40, 30)), {}, "camera.relative_elevation_untrained", "c1"),
        (((5, 0, 43), (5, 40, 50)), {}, "camera.elevation_untrained", "c1"),
        (
            ((5, 0, 10), (5, 40, 10)),
            {"K": intrinsics_from_lens(50, 23.76, 160, 96)},
            "camera.lens_untrained",
            "c0",
        ),
        (
            ((5, 0, 10), (5, 40, 10)),
            {
                "c2w_cv_m": tuple(
                    hemisphere_pose_c2w_cv_m((0.3, 0.1, 0.9), 5, a, 10) for a in (0, 1)
                )
            },
            "camera.moving_untrained",
            "c0",
        ),
    ],
)
def test_an_untrained_camera_is_allowed_and_named(places, changes, code, camera):
    issues = check_rig(hemisphere_rig(*places, **changes), ENVELOPE)
    assert codes(issues) == {(code, camera, "warn")}
    assert repr(camera) in issues[0].sentence


def test_a_rolled_camera_is_named():
    pose = hemisphere_pose_c2w_cv_m((0, 0, 0.9), 5, 30, 10)
    quarter = poses.rigid([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (0, 0, 0))
    rig = hemisphere_rig((5, 0, 10), c2w_cv_m=poses.matmul4(pose, quarter))
    assert codes(check_rig(rig, ENVELOPE)) == {("camera.roll_untrained", "c0", "warn")}


def lens(*focal_lengths_mm):
    return tuple(intrinsics_from_lens(focal, 23.76, 160, 96) for focal in focal_lengths_mm)


def test_a_zoom_is_outside_wherever_it_begins():
    """24 mm of 23.76 is the trained lens: the first picture, and then the last, is inside."""
    for focals in ((24, 31, 50), (50, 31, 24), (24, 50, 24)):
        rig = hemisphere_rig((5, 0, 10), K=lens(*focals))
        (issue,) = check_rig(rig, ENVELOPE)
        assert (issue.code, issue.kind, issue.camera) == ("camera.zoom_untrained", "warn", "c0")
        assert issue.value == pytest.approx([26.73, 52.67], abs=0.01)
        assert issue.sentence == (
            "Camera 'c0' zooms: its horizontal field of view is 26.7 to 52.7 degrees; this preset "
            "was trained on lenses that stay, of 52 to 53, so its picture may not follow the zoom."
        )
    fitted = replace(rig, cameras=(fit_camera(rig.cameras[0], 80, 80).camera,))
    assert codes(check_rig(fitted, ENVELOPE)) == {("camera.zoom_untrained", "c0", "warn")}


def test_a_lens_that_stays_is_no_zoom():
    assert check_rig(hemisphere_rig((5, 0, 10), K=lens(24, 24.02, 24)), ENVELOPE) == []
    (issue,) = check_rig(hemisphere_rig((5, 0, 10), K=lens(50, 50, 50)), ENVELOPE)
    assert issue.code == "camera.lens_untrained"


def test_what_holds_of_several_cameras_is_said_once():
    def note(camera, degrees):
        sentence = f"Camera {camera!r} is rolled by {degrees} degrees."
        return Notice(code="camera.roll_untrained", sentence=sentence, camera=camera)

    found = [note("A", 3), note("B", 4), note("C", 3), Notice(code="fps", sentence="7 fps.")]
    assert said_once(found) == [
        "Camera 'A' is rolled by 3 degrees. So it is with C.",
        "Camera 'B' is rolled by 4 degrees.",
        "7 fps.",
    ]
    rig = hemisphere_rig(*[(5, a, 10) for a in (0, 5, 10)])
    long = lens(50)[0]
    rig = replace(rig, cameras=tuple(replace(camera, K=long) for camera in rig.cameras))
    (views, lenses) = said_once(check_rig(rig, ENVELOPE))
    assert "3 cameras" in views
    assert lenses.endswith(" So it is with c1, c2.")


def test_view_counts_are_refused_over_the_most_and_warned_over_the_trained():
    places = [(5, a, 10) for a in (0, 15, 30, 45)]
    assert codes(check_rig(hemisphere_rig(*places), ENVELOPE)) == {("rig.views", None, "refuse")}
    assert codes(check_rig(hemisphere_rig(*places[:3]), ENVELOPE)) == {
        ("rig.views_untrained", None, "warn")
    }


def test_an_envelope_survives_json():
    import json

    assert Envelope.from_dict(json.loads(json.dumps(ENVELOPE.to_dict()))) == ENVELOPE


def test_a_rig_in_opengls_axes_is_told_so_first():
    def opengl(pose):
        return tuple((r[0], -r[1], -r[2], r[3]) for r in pose)

    rig = hemisphere_rig((5, 355, 10), (4, 20, 20))
    turned = replace(
        rig, cameras=tuple(replace(c, c2w_cv_m=opengl(c.c2w_cv_m)) for c in rig.cameras)
    )
    first = check_rig(turned, ENVELOPE)[0]
    assert (first.code, first.kind) == ("rig.axes", "warn")
    assert first.sentence.startswith("All cameras of the rig are upside down, as poses with OpenGL")
    # One camera on its head among others is only that.
    mixed = replace(rig, cameras=(rig.cameras[0], turned.cameras[1]))
    assert "rig.axes" not in {issue.code for issue in check_rig(mixed, ENVELOPE)}
