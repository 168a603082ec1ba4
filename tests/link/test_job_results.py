# SPDX-License-Identifier: Apache-2.0
"""A result is what was asked for, or none: checked once, for every host."""

from __future__ import annotations

import math

import msgspec
import pytest

from syncam_engine.link import limits
from syncam_engine.link.clip_names import clip_name, local_file, result_dir, safe_name
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.job_results import Asked, checked, most_bytes
from syncam_engine.link.messages import ClipResult, Done, GenerateRequest, Preview

NAMES = ("north", "süd/3", "east")
ASKED = Asked(cameras=NAMES, width=176, height=96, frames=17, fps=(24000, 1001))


def clip(place=0, **changes):
    values = {
        "camera": NAMES[place],
        "index": place,
        "digest": f"{place}" * 64,
        "bytes": 70_001,
        "frames": 17,
        "fps": (24000, 1001),
        "width": 176,
        "height": 96,
    }
    return ClipResult(**{**values, **changes})


def done(*clips):
    return Done(job_id="j" * 8, clips=list(clips))


def test_clips_come_in_the_order_that_was_asked_for():
    pictures = [clip(k, kind="image/png", digest="", bytes=0) for k in (2, 0, 1)]
    asked = Asked(cameras=NAMES, outputs=("mp4", "png"))
    told = checked(done(clip(2), *pictures, clip(0), clip(1)), asked)
    assert [(c.index, c.kind) for c in told.clips] == [
        *((k, "video/mp4") for k in range(3)),
        *((k, "image/png") for k in range(3)),
    ]
    # The same rate, written otherwise; and a job of which only the id is known.
    same = [clip(k, fps=(48000, 2002)) for k in range(3)]
    assert len(checked(done(*same), ASKED).clips) == 3
    assert len(checked(done(*same), None).clips) == 3


@pytest.mark.parametrize(
    "clips",
    [
        (),
        (clip(0), clip(1)),
        (clip(0), clip(1), clip(2), clip(2)),
        (clip(0), clip(1), clip(2, camera="north")),
        (clip(0), clip(1), clip(2, camera="west")),
        (clip(0), clip(1), clip(2, index=3)),
        (clip(0, index=-1), clip(1), clip(2)),
        (clip(0), clip(1), clip(2), clip(2, kind="image/png", digest="", bytes=0)),
    ],
)
def test_one_clip_for_each_camera(clips):
    with pytest.raises(SynCamError) as caught:
        checked(done(*clips), ASKED)
    assert caught.value.code == "result.invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 160},
        {"height": 97},
        {"frames": 18},
        {"fps": (24, 1)},
        {"fps": (0, 0)},
        {"fps": (-24000, -1001)},
        {"bytes": 0},
        {"bytes": 2**40},
        {"digest": ""},
        {"digest": "../" * 20 + "abcd"},
        {"kind": "text/plain"},
        {"plate_crop": (0.0, 0.0, math.nan, 1.0)},
        {"plate_crop": (0.5, 0.0, 0.25, 1.0)},
    ],
)
def test_sizes_counts_and_digests_are_as_asked(changes):
    for asked in (ASKED, None):
        is_own_choice = asked is None and set(changes) <= {"width", "height", "frames", "fps"}
        clips = [clip(k, **changes) for k in range(3)]
        if is_own_choice and min(*clips[0].fps, 1) > 0:
            checked(done(*clips), asked)
            continue
        with pytest.raises(SynCamError, match="not what was asked for"):
            checked(done(*clips), asked)


def test_clips_of_an_unknown_job_agree_among_themselves():
    with pytest.raises(SynCamError, match="differ"):
        checked(done(clip(0), clip(1, height=112)), None)
    with pytest.raises(SynCamError, match="the same camera"):
        checked(done(clip(0), clip(1, camera="north")), None)
    for odd in ({"width": 2**31}, {"frames": limits.MAX_FRAMES + 1}, {"camera": "n" * 5000}):
        with pytest.raises(SynCamError):
            checked(done(clip(0, **odd)), None)


def test_a_clip_has_no_more_bytes_than_its_pictures_could():
    largest = most_bytes(clip(0))
    assert 176 * 96 * 17 * 3 < largest < 100 * limits.MIB
    assert most_bytes(clip(0, width=16384, height=16384, frames=1001)) == limits.MAX_CLIP_BYTES


def test_what_was_asked_is_read_from_a_request_or_its_plain_data():
    rig = {"cameras": [{"name": name} for name in NAMES]}
    request = GenerateRequest(rig=rig, prompt="a fox", width=176, fps=(8, 1), outputs=["png"])
    for given in (request, msgspec.to_builtins(request)):
        asked = Asked.of_request(given)
        assert (asked.cameras, asked.width, asked.height) == (NAMES, 176, None)
        assert (asked.fps, asked.outputs) == ((8, 1), ("png",))


def test_previews_are_of_the_jobs_own_cameras():
    def preview(**values):
        return Preview(job_id="j" * 8, step=1, width=2, height=1, **values)

    assert ASKED.is_preview(preview(camera="east", index=2))
    for camera, index in (("east", 1), ("west", 2), ("east", -1), ("east", 3)):
        assert not ASKED.is_preview(preview(camera=camera, index=index))


@pytest.mark.parametrize(
    ("name", "safe"),
    [("Cam A.001", "Cam_A_001"), ("../../x", "x"), ("カメラ", "camera"), ("con:/\\|", "con")],
)
def test_safe_names(name, safe):
    assert safe_name(name) == safe
    assert clip_name(7, name) == f"07-{safe}.mp4"
    assert clip_name(7, name, "image/png") == f"07-{safe}"


def test_local_files_are_plain_files_of_the_right_size(tmp_path):
    job_id, wanted = "a1b2c3d4", clip(1, bytes=5)
    folder = tmp_path / "jobs" / job_id / "result"
    folder.mkdir(parents=True)
    path = folder / clip_name(1, wanted.camera)
    assert local_file(tmp_path, job_id, wanted) is None
    path.write_bytes(b"12345")
    assert local_file(tmp_path, job_id, wanted) == path
    path.write_bytes(b"123456")
    assert local_file(tmp_path, job_id, wanted) is None
    path.unlink()
    (tmp_path / "private").write_bytes(b"12345")
    path.symlink_to(tmp_path / "private")
    assert local_file(tmp_path, job_id, wanted) is None
    for odd in ("../../etc", "", "a/b/c/d/e/f", "ABCDEFG\n"):
        with pytest.raises(ValueError, match="job's id"):
            result_dir(tmp_path, odd)
