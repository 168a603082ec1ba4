# SPDX-License-Identifier: Apache-2.0
"""A job from submit to clips, on a real engine with the stub pipeline."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest

from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.link.events import Fetched, Reply
from syncam_engine.link.messages import (
    Acknowledged,
    Done,
    ErrorInfo,
    Failed,
    JobList,
    Phase,
    Preview,
    Progress,
    Queued,
)
from syncam_engine.media.read import read_clip
from syncam_engine.media.write import write_mp4
from syncam_engine.model.presets import get_preset

pytestmark = pytest.mark.processes


def answer(client, message_id):
    """Wait for the reply to one call."""
    found = []

    def look():
        found.extend(
            e.body for e in client.wait(0.1) if isinstance(e, Reply) and e.message_id == message_id
        )
        return found

    wait_until(look, 30)
    return found[0]


def reach_step(client, job_id, step, limit_s=60):
    """Wait until a job samples."""
    wait_until(
        lambda: any(
            isinstance(e, Progress) and e.job_id == job_id and e.step >= step
            for e in client.wait(0.1)
        ),
        limit_s,
        f"{job_id} never came to step {step}",
    )


def run(client, request, clips=()):
    ends, events = follow(client, [client.submit(request, clips)])
    return ends[request.job_id], events


def test_server_never_imports_torch():
    script = (
        "import sys; import syncam_engine.service.server, syncam_engine.service.catalog;"
        "syncam_engine.service.catalog.read_catalog().infos();"
        "print([m for m in ('torch', 'numpy', 'diffusers', 'av') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert said.stdout.strip() == "[]", said.stderr


def test_job_tells_its_story(client):
    request = sample_request(3, prompt="a tale sleep=0.05", steps=5)
    done, events = run(client, request)
    about = [e for e in events if getattr(e, "job_id", "") == request.job_id]
    kinds = [type(e) for e in about]
    assert kinds[0] is Queued
    assert kinds[-1] is Done
    assert kinds.count(Done) == 1
    phases = [e.phase for e in about if isinstance(e, Phase)]
    assert phases == sorted(phases, key=["load", "encode", "sample", "decode", "write"].index)
    assert "sample" in phases
    steps = [e.step for e in about if isinstance(e, Progress)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 5
    previews = [e for e in about if isinstance(e, Preview)]
    names = [camera["name"] for camera in request.rig["cameras"]]
    assert {e.camera for e in previews} == set(names)
    assert all(len(e.rgb8) == e.width * e.height * 3 for e in previews)
    assert [c.camera for c in done.clips] == names
    assert done.seconds["total"] >= done.seconds["sample"] > 0.1


def test_result_is_on_disk_with_its_recipe(engine, client):
    request = sample_request(2, prompt="a recipe", seed=11, fps=(24000, 1001))
    done, _ = run(client, request)
    for clip in done.clips:
        data = engine.clip_file(done, clip.index).read_bytes()
        assert hashlib.sha256(data).hexdigest() == clip.digest
        assert len(data) == clip.bytes
        read = read_clip(engine.clip_file(done, clip.index))
        assert read.frames_THW3.shape == (5, 96, 160, 3)
        assert read.fps == Fraction(24000, 1001)
        recipe = read.metadata["syncam"]
        assert recipe["request"]["seed"] == 11
        assert recipe["request"]["rig"]["cameras"][clip.index]["name"] == clip.camera
        assert recipe["weights_digest"] == "0" * 64
        assert recipe["placement"] == {"device": "stub", "matmul_dtype": "float32"}
        assert done.placement == recipe["placement"]
        assert done.sampling == recipe["sampling"]
        assert recipe["sampling"]["steps"] == get_preset("preview").sampling.steps
        assert recipe["request"]["previz_strength"] == recipe["sampling"]["previz_strength"]
        assert read.metadata["camera"] == clip.camera
    assert (engine.clip_file(done, 0).parent.parent.stat().st_mode & 0o777) == 0o700


def test_same_seed_same_bytes_other_seed_other(client):
    first, _ = run(client, sample_request(2, seed=3))
    again, _ = run(client, sample_request(2, seed=3))
    other, _ = run(client, sample_request(2, seed=4))
    digests = [[clip.digest for clip in done.clips] for done in (first, again, other)]
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])
    assert len(set(digests[0])) == 2


def test_png_sequence_beside(engine, client):
    done, _ = run(client, sample_request(2, outputs=["mp4", "png"]))
    folders = [engine.clip_file(done, k, "image/png") for k in range(2)]
    assert len(folders) == 2
    assert all(len(list(folder.glob("frame_*.png"))) == 5 for folder in folders)


def test_cancel_within_a_step_and_then_silence(client):
    request = sample_request(2, prompt="long sleep=0.5", steps=50)
    client.submit(request)
    reach_step(client, request.job_id, 2)
    client.cancel(request.job_id)
    ends, _ = follow(client, [request.job_id])
    assert ends[request.job_id].cancelled
    # The next job starts within a step of the cancelled one, not after its 50.
    done, events = run(client, sample_request(2))
    assert isinstance(done, Done)
    assert not [e for e in events if getattr(e, "job_id", "") == request.job_id]
    client.cancel(request.job_id)
    client.watch(request.job_id)
    ends, _ = follow(client, [request.job_id])
    assert ends[request.job_id].cancelled


def test_submitted_twice_is_one_job(engine, client):
    request = sample_request(2, prompt="twice sleep=0.05")
    client.submit(request)
    reach_step(client, request.job_id, 1)
    again = engine.client(client_id=client.client_id)
    done, _ = run(again, request)
    ends, _ = follow(client, [request.job_id])
    assert ends[request.job_id].clips == done.clips
    listed = answer(client, client.ask_jobs(mine=True, limit=1000))
    assert sum(job.job_id == request.job_id for job in listed.jobs) == 1


def test_same_id_for_another_job_is_refused(client):
    request = sample_request(2)
    run(client, request)
    failed, _ = run(client, msgspec.structs.replace(request, seed=99))
    assert failed.error.code == "job.conflict"


def test_pause_resume_reorder(client, let_go):
    blocker = sample_request(1, prompt="hold", steps=4)
    client.submit(blocker)
    reach_step(client, blocker.job_id, 1)
    first, second, third = (sample_request(1, seed=k) for k in (1, 2, 3))
    for request in (first, second, third):
        client.submit(request)
    answer(client, client.ask_status())
    assert answer(client, client.pause(first.job_id)).note == "paused"
    assert isinstance(answer(client, client.reorder(third.job_id, second.job_id)), Acknowledged)
    assert answer(client, client.pause(blocker.job_id)).code == "job.not_waiting"
    let_go()
    _, events = follow(client, [blocker.job_id, second.job_id, third.job_id])
    ended = [e.job_id for e in events if isinstance(e, Done) and e.job_id != blocker.job_id]
    assert ended == [third.job_id, second.job_id]
    assert answer(client, client.resume(first.job_id)).note == "queued"
    ends, _ = follow(client, [first.job_id])
    assert isinstance(ends[first.job_id], Done)


def test_jobs_keep_the_order_that_they_were_given_however_often(client, let_go):
    blocker = sample_request(1, prompt="hold", steps=4)
    client.submit(blocker)
    reach_step(client, blocker.job_id, 1)
    first, second, third = (client.submit(sample_request(1, seed=k)) for k in (1, 2, 3))
    answer(client, client.ask_status())
    for _ in range(61):  # there is no number between two for ever
        second, third = third, second
        assert isinstance(answer(client, client.reorder(second, third)), Acknowledged)
        listed = {job.job_id: job.position for job in answer(client, client.ask_jobs()).jobs}
        assert [listed[job] for job in (first, second, third)] == [1, 2, 3]
    assert isinstance(answer(client, client.reorder(first)), Acknowledged)
    let_go()
    _, events = follow(client, [blocker.job_id, first, second, third])
    ended = [event.job_id for event in events if isinstance(event, Done)]
    assert ended == [blocker.job_id, second, third, first]


def test_clients_take_turns(engine, client, let_go):
    other = engine.client(client_name="another")
    blocker = sample_request(1, prompt="hold", steps=4)
    client.submit(blocker)
    reach_step(client, blocker.job_id, 1)
    mine = [sample_request(1, seed=k) for k in range(3)]
    theirs = [sample_request(1, seed=k + 10) for k in range(2)]
    urgent = sample_request(1, seed=20, priority=5)
    for request in mine:
        client.submit(request)
    answer(client, client.ask_status())
    for request in [*theirs, urgent]:
        other.submit(request)
    answer(other, other.ask_status())
    let_go()
    follow(client, [blocker.job_id, *(r.job_id for r in mine)])
    follow(other, [r.job_id for r in [*theirs, urgent]])
    # The order in which they started is in the engine's log.
    log = (engine.state_dir / "logs" / "engine.log").read_text().splitlines()
    lines = [msgspec.json.decode(line) for line in log]
    started = [line["job"] for line in lines if line["text"] == "job started"]
    ours = {r.job_id for r in [*mine, *theirs, urgent]}
    got = [job_id for job_id in started if job_id in ours]
    wanted = [urgent, mine[0], theirs[0], mine[1], theirs[1], mine[2]]
    assert got == [r.job_id for r in wanted]


def test_position_and_time_to_go_are_told(client, let_go):
    run(client, sample_request(1, prompt="so that a time is known sleep=0.05"))
    blocker = sample_request(1, prompt="hold", steps=50)
    client.submit(blocker)
    reach_step(client, blocker.job_id, 20)
    waiting = [sample_request(1, seed=k) for k in range(3)]
    told = {}
    for request in waiting:
        client.submit(request)
    wait_until(
        lambda: (
            told.update({e.job_id: e for e in client.wait(0.1) if isinstance(e, Queued)})
            or len(told) == 3
        ),
        30,
    )
    events = [told[request.job_id] for request in waiting]
    assert [event.position for event in events] == [1, 2, 3]
    etas = [event.eta_s for event in events]
    assert etas == sorted(etas)
    assert etas[0] > 0
    listed = {job.job_id: job for job in answer(client, client.ask_jobs(mine=True)).jobs}
    assert [listed[request.job_id].position for request in waiting] == [1, 2, 3]
    let_go()
    follow(client, [blocker.job_id, *told])


def test_jobs_of_others_are_out_of_reach(engine, client):
    request = sample_request(2, prompt="my secret plan")
    done, _ = run(client, request)
    thief = engine.client(client_name="a thief", endpoint=engine.address)
    stolen, own = engine.folder / "stolen.mp4", engine.folder / "own.mp4"
    # The owner fetches it first: the engine holds the file open from then on.
    honest = engine.client(client_id=client.client_id, endpoint=engine.address)
    honest.fetch(request.job_id, done.clips[0], own)
    wait_until(lambda: any(isinstance(e, Fetched) for e in honest.wait(0.1)), 30)
    for call, rest in (
        (thief.cancel, ()),
        (thief.pause, ()),
        (thief.reorder, ()),
        (thief.fetch, (done.clips[0], stolen)),
    ):
        assert answer(thief, call(request.job_id, *rest)).code == "job.unknown"
    assert not stolen.exists()
    answer(thief, thief.remove(request.job_id))
    assert engine.clip_file(done, 0).exists()
    listed = answer(thief, thief.ask_jobs(limit=1000))
    assert isinstance(listed, JobList)
    assert "secret" not in repr(listed)
    assert request.job_id not in repr(listed)
    thief.watch(request.job_id)
    ends, _ = follow(thief, [request.job_id])
    assert ends[request.job_id].error.code == "job.unknown"


@pytest.mark.parametrize("is_streamed", [False, True])
def test_fetch_by_content(engine, client, tmp_path, is_streamed):
    """A client that names the engine by its address has no folder of it: the clip is sent."""
    done, _ = run(client, sample_request(2))
    clip = done.clips[1]
    if is_streamed:
        client = engine.client(client_id=client.client_id, endpoint=engine.address)
    assert (client.local_file(done.job_id, clip) is None) == is_streamed
    message_id = client.fetch(done.job_id, clip, tmp_path / "sub" / "mine.mp4")
    got = []
    wait_until(lambda: got.extend(e for e in client.wait(0.1) if isinstance(e, Fetched)) or got, 30)
    assert got[0].message_id == message_id
    assert Path(got[0].path).read_bytes() == engine.clip_file(done, 1).read_bytes()
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["mine.mp4"]
    unknown = msgspec.structs.replace(clip, digest="f" * 64)
    error = answer(client, client.fetch(done.job_id, unknown, tmp_path / "no.mp4"))
    assert isinstance(error, ErrorInfo)
    assert error.code == ("fetch.unknown" if is_streamed else "fetch.digest")
    assert not (tmp_path / "no.mp4").exists()


def test_remove_deletes_clips(engine, client):
    done, _ = run(client, sample_request(2))
    answer(client, client.remove(done.job_id))
    assert not engine.clip_file(done, 0).exists()


def make_clip(path, value, frames=9):
    picture = np.full((frames, 96, 160, 3), value, np.uint8)
    write_mp4(path, picture, Fraction(8))
    return path


def test_previz_and_reference_go_by_content(engine, client, tmp_path):
    starts = [make_clip(tmp_path / f"{k}.mp4", 40 + 60 * k) for k in range(2)]
    plain, _ = run(client, sample_request(2, seed=5))
    done, _ = run(client, sample_request(2, seed=5, mode="previz"), starts)
    assert isinstance(done, Done), done
    before, after = (read_clip(engine.clip_file(d, 1)).frames_THW3 for d in (plain, done))
    assert np.abs(after.astype(float) - (before / 2 + 50)).mean() < 3
    reference = make_clip(tmp_path / "r.mp4", 180).read_bytes()
    done, _ = run(client, sample_request(2, mode="reference"), [reference])
    assert isinstance(done, Done), done
    assert abs(read_clip(engine.clip_file(done, 0)).frames_THW3.mean() - 180) < 3


def test_input_that_is_no_clip(client, tmp_path):
    failed, _ = run(client, sample_request(1, mode="reference"), [b"no clip at all" * 99])
    assert isinstance(failed, Failed)
    assert failed.error.code == "clip.unreadable"
    assert "Input clip 1" in failed.error.sentence


@pytest.mark.parametrize(
    ("word", "code"), [("broken", "job.failed"), ("oom", "device.out_of_memory")]
)
def test_failed_job_is_that_jobs_alone(client, word, code):
    failed, _ = run(client, sample_request(4, prompt=f"please {word}"))
    assert failed.error.code == code
    if word == "oom":
        assert failed.error.nearest == {"views": 2}
        assert "4 views of 5 frames at 160x96" in failed.error.sentence
    done, _ = run(client, sample_request(2))
    assert isinstance(done, Done)
