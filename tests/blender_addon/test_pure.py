# SPDX-License-Identifier: Apache-2.0
"""The extension's parts that need no Blender: lenses, names, job records, timing, clips."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender_addon import install_engine, lens, names, rig_math, tick_work, timing, waiting
from blender_addon.jobs import JobRecord, JobStore, age_text
from syncam_engine.link import limits, png, poses
from syncam_engine.link.camera import Camera, intrinsics_from_lens
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import (
    ClipResult,
    Done,
    ErrorInfo,
    Failed,
    Notice,
    Phase,
    Progress,
    Queued,
)
from syncam_engine.link.rig import Rig


def a_lens(**changes):
    values = {
        "focal_mm": 35.0,
        "sensor_width_mm": 36.0,
        "sensor_height_mm": 20.0,
        "sensor_fit": "AUTO",
        "shift_x": 0.11,
        "shift_y": -0.07,
    }
    return lens.Lens(**{**values, **changes})


def test_lens_of_a_portrait_picture_lies_along_its_height():
    frame = lens.Frame(width_px=300, height_px=500)
    K = lens.intrinsics_of(a_lens(), frame)
    assert K[0][0] == pytest.approx(35 * 500 / 36)
    assert K[0][2] == pytest.approx(150 - 0.11 * 500)
    assert K[1][2] == pytest.approx(250 - 0.07 * 500)


@given(
    st.floats(8, 200),
    st.floats(-0.5, 0.5),
    st.floats(-0.5, 0.5),
    st.integers(16, 4000),
    st.integers(16, 4000),
)
def test_lens_there_and_back(focal_mm, shift_x, shift_y, width_px, height_px):
    frame = lens.Frame(width_px=width_px, height_px=height_px, aspect_x=1.0, aspect_y=1.0)
    K = lens.intrinsics_of(
        a_lens(focal_mm=focal_mm, sensor_fit="HORIZONTAL", shift_x=shift_x, shift_y=shift_y), frame
    )
    back = lens.lens_of(K, frame, sensor_width_mm=36.0)
    assert (back.focal_mm, back.shift_x, back.shift_y) == pytest.approx(
        (focal_mm, shift_x, shift_y), abs=1e-6
    )


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
def test_focal_length_for_a_field_of_view(fit):
    frame = lens.Frame(width_px=700, height_px=900)
    share = 0.8
    own = a_lens(sensor_fit=fit, shift_x=0.0)
    focal_mm = lens.focal_for_hfov_mm(50.0, own, frame, share)
    K = lens.intrinsics_of(a_lens(sensor_fit=fit, focal_mm=focal_mm), frame)
    seen_deg = 2 * math.degrees(math.atan(share * 700 / 2 / K[0][0]))
    assert seen_deg == pytest.approx(50.0)


@given(st.lists(st.text(min_size=1, max_size=80), min_size=2, max_size=8, unique=True))
def test_file_names_are_safe_and_differ(texts):
    stems = [names.file_stem(text) for text in texts]
    for stem in stems:
        assert not set(stem) & set('/\\:*?"<>|\0\n\r\t')
        assert stem
        assert stem not in (".", "..")
        assert len(stem.encode()) <= 255
    assert len(set(stems)) == len(texts)


def test_plain_names_stay_as_they_are():
    assert names.file_stem("Cam A-1.001") == "Cam A-1.001"
    assert names.file_stem("撮影") == "撮影"
    assert names.file_stem("con") != "con"


def a_record(job_id="job00001", **changes):
    values = {
        "created_unix_s": 1000.0,
        "blend": "/shots/a.blend",
        "scene": "Scene",
        "scene_uid": 5,
        "cameras": [{"name": "A", "object": "A", "uid": 7, "screen": ""}],
        "request": {"prompt": "a fox", "seed": 3, "preset": "preview"},
        "frame_start": 1,
        "frame_step": 3,
        "targets": ["PLATES"],
    }
    return JobRecord(job_id=job_id, **{**values, **changes})


def test_job_follows_events_and_ends_once():
    record = a_record(steps=10)
    notice = Notice(code="x", sentence="Too long a lens.")
    assert record.take(Queued(job_id="job00001", position=2, eta_s=31.0, warnings=[notice]))
    assert (record.state, record.headline) == ("queued", "Waiting, 2 before it, 31 s left")
    assert record.notices == ["Too long a lens."]
    record.take(Phase(job_id="job00001", phase="sample"))
    record.take(Progress(job_id="job00001", step=4, steps=10, eta_s=200.0))
    assert record.headline == "Sampling 4/10, 3 min left"
    assert record.fraction == pytest.approx(0.42)
    clip = ClipResult(camera="A", index=0, frames=17, fps=(8, 1), width=160)
    record.take(Done(job_id="job00001", clips=[clip], seconds={"sample": 2.5}, model="preview"))
    assert (record.state, record.fraction) == ("done", 1.0)
    assert record.clips[0]["fps"] == [8, 1]
    assert not record.take(Progress(job_id="job00001", step=5, steps=10))


def test_what_an_engine_says_without_end_is_not_kept_without_end():
    record = a_record()
    for k in range(40):
        notices = [Notice(code="x", sentence=f"{k} {n}") for n in range(100)]
        record.take(Queued(job_id="job00001", warnings=notices))
    assert len(record.notices) == limits.MAX_NOTICES
    record.take(Progress(job_id="job00001", step=9000, steps=2))
    assert record.fraction <= 1


def test_clips_that_cannot_be_had_are_not_asked_for_without_end():
    record = a_record(state="done")
    for _ in range(3):
        assert record.is_landing_due
        record.failed_landings += 1
    assert not record.is_landing_due
    assert not a_record(state="done", applied=True).is_landing_due


@pytest.mark.parametrize("fault", [StopIteration, ZeroDivisionError, OverflowError, BufferError])
def test_a_step_of_work_raises_nothing(fault, capsys):
    class Work:
        def __iter__(self):
            return self

        def __next__(self):
            raise fault("odd")

    has_ended, error = tick_work.advance(Work())
    assert has_ended
    assert (error is None) == (fault is StopIteration)


def test_late_progress_of_a_cancelled_job_changes_no_state():
    record = a_record(state="cancelling")
    record.take(Progress(job_id="job00001", step=5, steps=10))
    record.take(Phase(job_id="job00001", phase="decode"))
    assert record.state == "cancelling"
    error = ErrorInfo(code="job.cancelled", sentence="Cancelled.")
    record.take(Failed(job_id="job00001", error=error))
    assert record.state == "cancelled"


def test_store_keeps_jobs_and_survives_bad_files(tmp_path):
    store = JobStore(tmp_path / "jobs")
    first, second = a_record(), a_record("job00002", created_unix_s=900.0, scene="Szene ä")
    store.save(first)
    store.save(second)
    (store.folder / "bad.json").write_text("{not json")
    (store.folder / "other.json").write_text(json.dumps({"unknown": 1}))
    assert store.load() == [second, first]
    store.clips_folder("job00001").mkdir()
    store.forget(first)
    assert store.load() == [second]
    assert not store.clips_folder("job00001").exists()


def test_only_the_newest_jobs_are_read(tmp_path, monkeypatch):
    """A year's jobs are thousands of files, and Blender waits while they are read."""
    store, read = JobStore(tmp_path), []
    for k in range(9):
        store.save(a_record(f"job0000{k}", created_unix_s=100.0 + k))
        os.utime(store.path(f"job0000{k}"), (1000 + k, 1000 + k))
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda p, **k: read.append(p.stem) or real(p, **k))
    assert [record.job_id for record in store.load(newest=3)] == [f"job0000{k}" for k in (6, 7, 8)]
    assert len(read) == 3


def test_a_batch_does_not_wait_for_an_engine_that_is_gone(monkeypatch):
    monkeypatch.setattr(waiting, "GONE_S", 0.05)
    state = SimpleNamespace(
        is_settled=lambda ids: False,
        tick=lambda: None,
        client=SimpleNamespace(state="lost"),
        engine=SimpleNamespace(sentence="The engine does not answer any more."),
    )
    with pytest.raises(SynCamError, match=r"any more\. No engine has answered"):
        waiting.settle(state, ["job00001"])


def test_ages_in_words():
    record = a_record()
    assert age_text(record, 1030) == "just now"
    assert age_text(record, 1000 + 3 * 3600 + 5) == "3 h ago"


@pytest.mark.parametrize(
    ("wanted", "fps", "preset", "step"),
    [
        (0, Fraction(24), (8.0, 8.0), 3),
        (0, Fraction(30000, 1001), (15.0, 15.0), 2),
        (0, Fraction(24), (8.0, 24.0), 1),
        (0, Fraction(6), (8.0, 8.0), 1),
        (5, Fraction(24), (8.0, 8.0), 5),
        (0, Fraction(24), None, 1),
    ],
)
def test_frame_step(wanted, fps, preset, step):
    assert timing.frame_step(wanted, fps, preset) == step


def test_offset_expression_shows_each_picture_for_its_time():
    expression = timing.offset_expression(10, 3, 5)
    scope = {"min": min, "max": max, "floor": math.floor}
    shown = []
    for frame in (1, 10, 12, 13, 24, 99):
        offset = eval(expression, {"__builtins__": {}}, {**scope, "frame": frame})  # noqa: S307
        shown.append(min(max(frame - 10 + 1, 1), 15) + offset)
    assert shown == [1, 1, 1, 2, 5, 5]
    assert timing.offset_expression(10, 1, 5) is None


def test_estimate_scales_with_the_work():
    done = a_record(
        state="done",
        seconds={"sample": 4.0, "decode": 1.0},
        request={"preset": "p", "width": 16, "height": 8, "frames": 5, "steps": 10, "views": 2},
    )
    twice = {"preset": "p", "width": 16, "height": 8, "frames": 5, "steps": 20, "views": 2}
    assert timing.estimate_s([done], twice) == pytest.approx(10.0)
    assert timing.estimate_s([done], {**twice, "preset": "q"}) is None
    assert timing.duration_text(0.2) == "1 s"
    assert timing.duration_text(600) == "10 min"


def test_clip_of_pictures_is_read_back_exactly(tmp_path):
    """The engine's own reader sees the same bytes, at the same rate."""
    media = pytest.importorskip("syncam_engine.media.read")
    rng = random.Random(4)
    pictures = [bytes(rng.randrange(256) for _ in range(11 * 7 * 3)) for _ in range(5)]
    path = tmp_path / "clip.png"
    path.write_bytes(png.clip([png.picture(rgb8, 11, 7) for rgb8 in pictures], Fraction(8)))
    clip = media.read_clip(path)
    assert [picture.tobytes() for picture in clip.frames_THW3] == pictures
    assert clip.fps == 8
    with pytest.raises(ValueError, match="not 231"):
        png.picture(b"short", 11, 7)


def rig_of(poses_list, anchor=0):
    K = intrinsics_from_lens(35, 36, 160, 96)
    return Rig(
        cameras=tuple(
            Camera(name=f"c{k}", width_px=160, height_px=96, K=K, c2w_cv_m=pose)
            for k, pose in enumerate(poses_list)
        ),
        anchor=anchor,
    )


def test_arc_is_even_and_a_circle_does_not_close_on_itself():
    arc = rig_math.new_poses(
        "ARC",
        5,
        center_m=(1, 2, 3),
        radius_m=4,
        elevation_deg=10,
        span_deg=80,
        azimuth_deg=-90,
        seed=0,
    )
    assert [round(poses.azimuth_deg(p)) for p in arc] == [230, 250, 270, 290, 310]
    circle = rig_math.new_poses(
        "ARC",
        4,
        center_m=(0, 0, 0),
        radius_m=4,
        elevation_deg=10,
        span_deg=360,
        azimuth_deg=0,
        seed=0,
    )
    turns = sorted(poses.azimuth_deg(p) for p in circle)
    assert [b - a for a, b in itertools.pairwise(turns)] == pytest.approx([90] * 3)
    rig = rig_of(arc, anchor=1)
    assert rig_math.best_anchor(rig) == 2
    assert rig_math.nearest_to_anchor(rig, 3) == ["c0", "c1", "c2"]


def test_impossible_rig_is_one_sentence():
    with pytest.raises(SynCamError, match="0 cameras at 4 m"):
        rig_math.new_poses(
            "ARC",
            0,
            center_m=(0, 0, 0),
            radius_m=4,
            elevation_deg=1,
            span_deg=1,
            azimuth_deg=0,
            seed=0,
        )


def test_installation_tells_how_far_it_is():
    told = install_engine.read_progress("STEP 1/4 Making\nnoise\nSTEP 2/4 Fetching\n")
    assert (told.step, told.steps, told.text, told.error) == (2, 4, "Fetching", "")
    assert install_engine.read_progress("DONE /e/bin/python\n").done_python == "/e/bin/python"
    assert install_engine.read_progress("ERROR No network.\n").error == "No network."


def test_installation_that_fails_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(install_engine, "FREE_GB", 1e9)
    monkeypatch.setattr(
        "sys.argv",
        ["install", "--folder", str(tmp_path / "engine"), "--package", str(tmp_path)],
    )
    assert install_engine.main() == 1
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("ERROR ")
    assert "GB free" in said
