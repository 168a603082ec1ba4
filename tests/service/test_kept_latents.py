# SPDX-License-Identifier: Apache-2.0
"""Latents kept on the way: a killed job goes on from them to the very same clips."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from syncam_engine.devtools.harness import LocalEngine, follow, sample_request, wait_until
from syncam_engine.link.messages import Done, Failed
from syncam_engine.model.presets import package_folder
from syncam_engine.service.kept_latents import KeptLatents, key_of

from .stub_pipeline import flip

SHAPE = (2, 3, 1, 5, 7)
KEY = "a" * 64


@pytest.fixture
def said():
    return []


@pytest.fixture
def kept(tmp_path, said):
    return KeptLatents(folder=tmp_path, key=KEY, every=2, say=said.append)


@pytest.fixture
def latents():
    return np.random.default_rng(3).standard_normal(SHAPE, dtype=np.float32)


def test_what_was_kept_comes_back_bit_for_bit(kept, latents, said):
    assert kept.load(8, SHAPE) == (0, None)
    kept.save(2, latents * 0)
    kept.save(4, latents)
    step, back = kept.load(8, SHAPE)
    assert step == 4
    assert back.tobytes() == latents.tobytes()
    assert back.flags.writeable
    assert said == ["goes on after step 4 of 8"]
    assert [path.name for path in kept.folder.iterdir()] == ["latents"]


def cut(path):
    os.truncate(path, path.stat().st_size - 5)


def no_head(path):
    path.write_bytes(b"\xff\0 not a line of JSON")


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    head, _, data = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps({**json.loads(head), "key": "b" * 64}).encode() + b"\n" + data)


@pytest.mark.parametrize("harm", [cut, flip, no_head, empty, foreign])
def test_what_is_not_whole_or_not_ours_is_left_and_said(kept, latents, said, harm):
    kept.save(4, latents)
    harm(kept.path)
    assert kept.load(8, SHAPE) == (0, None)
    assert said[0].startswith("saved latents are not used")


@pytest.mark.parametrize(("steps", "shape"), [(3, SHAPE), (8, (2, 3, 1, 5, 8))])
def test_another_size_is_left(kept, latents, steps, shape):
    kept.save(4, latents)
    assert kept.load(steps, shape) == (0, None)


def test_values_that_are_not_finite_are_left(kept, latents, said):
    latents[1, 2, 0, 3, 4] = np.nan
    kept.save(4, latents)
    assert kept.load(8, SHAPE) == (0, None)
    assert "finite" in said[0]


def test_a_full_disk_is_said_and_costs_nothing_else(kept, latents, said, monkeypatch):
    kept.save(2, latents)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("syncam_engine.service.files.os.fsync", full)
    kept.save(4, latents * 2)
    assert "cannot be saved" in said[0]
    assert kept.load(8, SHAPE)[0] == 2


def test_half_written_ones_of_a_killed_worker_are_deleted(kept, latents):
    kept.save(2, latents)
    (kept.folder / ".latents.12345.part").write_bytes(b"half")
    kept.load(8, SHAPE)
    assert [path.name for path in kept.folder.iterdir()] == ["latents"]


def test_key_is_of_request_weights_and_device():
    request = sample_request(2)
    keys = {
        key_of(request, "w", "cpu"),
        key_of(sample_request(2, job_id=request.job_id, seed=8), "w", "cpu"),
        key_of(request, "v", "cpu"),
        key_of(request, "w", "cuda:0"),
    }
    assert len(keys) == 4
    assert key_of(request, "w", "cpu") in keys


def run(engine, client, request):
    """Return a job's end, what the log says of it, and the number of its attempts."""
    client.submit(request)
    ends, _ = follow(client, [request.job_id], 800)
    assert not (engine.state_dir / "jobs" / request.job_id / "latents").exists()
    log = (engine.state_dir / "logs" / "engine.log").read_text().splitlines()
    said = [x["text"] for x in map(json.loads, log) if x.get("job") == request.job_id]
    return ends[request.job_id], said, said.count("job started")


def digests(done):
    assert isinstance(done, Done), done
    return [clip.digest for clip in done.clips]


@pytest.mark.processes
@pytest.mark.skipif(
    not (package_folder("preview") / "transformer.safetensors").is_file(),
    reason="the preview model's weights are not in this checkout",
)
@pytest.mark.timeout(1800)
def test_killed_preview_job_goes_on_to_the_same_clips():
    dying = "tests.service.dying_preview:load_pipeline"
    with LocalEngine("--checkpoint-steps", "2", pipeline=dying) as engine:
        client = engine.client()

        def request(job_id):
            prompt = "a person walks"
            return sample_request(1, job_id=job_id, prompt=prompt, steps=8, frames=5, seed=4)

        undisturbed, _, attempts = run(engine, client, request("undisturbed"))
        assert attempts == 1
        # What was kept after step 4 is on the disk when step 5 is told, at which the worker dies.
        done, said, attempts = run(engine, client, request("killed-1"))
        assert attempts == 2
        assert "job: goes on after step 4 of 8" in said
        assert digests(done) == digests(undisturbed)


@pytest.mark.processes
def test_what_stops_a_job_leaves_no_latents_and_damaged_ones_are_left_aside(make_engine):
    engine = make_engine("--checkpoint-steps", "2")
    client = engine.client()
    request = sample_request(2, prompt="x harm crash-once", steps=8)
    done, said, attempts = run(engine, client, request)
    assert attempts == 2
    assert "job: saved latents are not used: they are damaged" in said
    assert isinstance(done, Done)
    failed, _, _ = run(engine, client, sample_request(2, prompt="broken", steps=8))
    assert isinstance(failed, Failed)
    cancelled = sample_request(2, prompt="hold", steps=8)
    client.submit(cancelled)
    kept = engine.state_dir / "jobs" / cancelled.job_id / "latents"
    wait_until(lambda: client.wait(0.1) is not None and kept.exists(), 60, engine.said)
    client.cancel(cancelled.job_id)
    ends, _ = follow(client, [cancelled.job_id])
    assert ends[cancelled.job_id].cancelled
    assert not kept.exists()
