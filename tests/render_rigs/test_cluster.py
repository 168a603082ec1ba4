# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes on a real local Ray cluster of two nodes, one of which is killed in the middle."""

import os
import threading
import time

import pytest

from syncam_engine.commands import render as command
from syncam_engine.link.environments import PROJECT_ROOT
from syncam_engine.rendering.run import RenderRun

pytestmark = pytest.mark.processes

ray = pytest.importorskip("ray", reason="NO RAY: pip install 'syncam[cluster]'")
SCENES = 5


@pytest.fixture
def cluster(monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")])
    )
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.mark.timeout(900)
def test_a_set_survives_the_death_of_a_node(cluster, bpy_python, tmp_path):
    import argparse

    made, nodes = cluster
    parser = argparse.ArgumentParser()
    command.configure(parser)
    spec = command.job_spec(
        parser.parse_args(
            [
                "--out",
                str(tmp_path / "set"),
                "--fast",
                "--scenes",
                str(SCENES),
                "--cameras",
                "2",
                "--frames",
                "3",
                "--samples",
                "1",
                "--device",
                "cpu",
            ]
        )
    )
    failed: list = []
    with RenderRun(spec, cluster=made.address) as run:
        thread = threading.Thread(target=lambda: failed.extend(run.all()))
        thread.start()
        deadline = time.monotonic() + 600
        while not any(run.target(n).exists() for n in range(SCENES)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        alive = sum(n["Alive"] and n["Resources"].get("CPU", 0) > 0 for n in ray.nodes())
        assert alive == 2
        assert not all(run.target(n).exists() for n in range(SCENES)), "it was over too soon"
        made.remove_node(nodes[0], allow_graceful=False)
        thread.join(600)
        assert not thread.is_alive()
    assert failed == []
    assert all(run.target(n).exists() for n in range(SCENES))
    assert (tmp_path / "set" / "manifest.parquet").is_file()
    assert not list((tmp_path / "set").rglob("*.partial*"))
