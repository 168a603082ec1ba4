# SPDX-License-Identifier: Apache-2.0
"""Workers on a real local Ray cluster of two nodes on the CPU, one of which is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import Done

from .test_engine import reach_step, run

pytestmark = pytest.mark.processes

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'syncam[cluster]'")
ROOT = str(Path(__file__).parents[2])


def refuse(preset, device, on_progress):
    raise SynCamError("weights.missing", "The weights are not on this node.")


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    # Actors import the stub from here, as workers do.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("SYNCAM_STUB_DIR", str(tmp_path))
    # A head that runs nothing, and two nodes of one worker each.
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    cluster.workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.mark.timeout(400)
def test_jobs_survive_the_death_of_a_node(cluster, make_engine, tmp_path):
    # What a node says of its weights reaches whoever sent a job.
    refusing = make_engine("--cluster", cluster.address, pipeline=f"{__name__}:refuse")
    failed, _ = run(refusing.client(), sample_request(2))
    assert failed.error.sentence == "The weights are not on this node."
    refusing.stop()
    options = ("--cluster", cluster.address, "--cluster-workers", "2", "--checkpoint-steps", "2")
    engine = make_engine(*options)
    client = engine.client()

    def nodes():
        workers = engine.status(client).workers
        return [w.device for w in workers if w.state in ("ready", "busy")]

    wait_until(lambda: len(set(nodes())) == 2, 180, engine.said)
    assert all(device.startswith("stub on node ") for device in nodes())

    # Cancel reaches the node.
    request = sample_request(2, prompt="cancelled sleep=0.2", steps=50)
    client.submit(request)
    reach_step(client, request.job_id, 1, 120)
    client.cancel(request.job_id)
    ends, _ = follow(client, [request.job_id])
    assert ends[request.job_id].cancelled
    # An error on the node is the job's.
    failed, _ = run(client, sample_request(2, prompt="broken"))
    assert failed.error.code == "job.failed"
    assert "told to break" in failed.error.sentence
    # Both nodes work, neither comes to its end; one dies; both jobs end, with the same clips.
    jobs = [sample_request(2, prompt="on a node hold", seed=3, steps=8) for _ in range(2)]
    for job in jobs:
        client.submit(job)
    folders = [engine.state_dir / "jobs" / job.job_id for job in jobs]
    both = lambda: all((folder / "latents").exists() for folder in folders)  # noqa: E731
    wait_until(lambda: client.wait(0.1) is not None and both(), 120, engine.said)
    cluster.remove_node(cluster.workers[0], allow_graceful=False)
    wait_until(lambda: sum(w.restarts for w in engine.status(client).workers) > 0, 120, engine.said)
    (tmp_path / "go").touch()
    ends, _ = follow(client, [job.job_id for job in jobs], 240)
    undisturbed, _ = run(client, sample_request(2, prompt="on a node hold", seed=3, steps=8))
    assert isinstance(undisturbed, Done)
    wanted = [clip.digest for clip in undisturbed.clips]
    for job in jobs:
        assert [clip.digest for clip in ends[job.job_id].clips] == wanted
    # The job of the dead node went on from what it had sent home.
    assert "job: goes on after step" in (engine.state_dir / "logs" / "engine.log").read_text()
