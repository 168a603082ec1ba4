# SPDX-License-Identifier: Apache-2.0
"""`syncam soak` at a small share of its numbers, and that it would see a fault if there was one."""

from __future__ import annotations

import json

import pytest

from syncam_engine.devtools.soak.answers import soak_answers
from syncam_engine.devtools.soak.disk import soak_disk
from syncam_engine.devtools.soak.evil import soak_evil_engine
from syncam_engine.devtools.soak.evil_lies import LIES
from syncam_engine.devtools.soak.faults import _judge_order, soak_faults
from syncam_engine.devtools.soak.findings import Finding, as_markdown, percentile
from syncam_engine.devtools.soak.hostile import soak_decoder, soak_hostile
from syncam_engine.devtools.soak.load import soak_load
from syncam_engine.devtools.soak.locks import soak_locks
from syncam_engine.devtools.soak.media import soak_media
from syncam_engine.link import job_results
from syncam_engine.link.environments import find_bpy_python
from tests.service.conftest import STUB


def held(finding):
    assert finding.held, finding.problems
    return finding


@pytest.mark.processes
def test_faults():
    figures = held(soak_faults(3, 3, STUB)).figures
    kinds = ("worker", "server", "client")
    assert [figures[f"kills of {kind}"] for kind in kinds] == [3, 3, 3]
    assert figures["truncated databases"] == figures["clock jumps"] == 1
    # Accepted is logged after it is written; a kill between the two loses the line, not the job.
    deaths = 3 + figures["kills of all at once"] + 2
    assert figures["jobs"] - deaths <= figures["accepted"] <= figures["jobs"]


@pytest.mark.processes
def test_disk_full():
    finding = soak_disk(STUB)
    if finding is None:
        pytest.skip("no tmpfs can be mounted here; the reserve is tested without one")
    held(finding)


@pytest.mark.processes
def test_answers():
    figures = held(soak_answers(2, STUB)).figures
    states = {"loading", "idle", "sampling", "hanging", "dying again and again"}
    assert {name.removeprefix("worker ") for name in figures} == states


def test_decoder():
    held(soak_decoder(20_000, 5))


@pytest.mark.processes
def test_hostile_peers():
    held(soak_hostile(3000, 6, 50, STUB))


@pytest.mark.processes
def test_evil_engine(monkeypatch):
    monkeypatch.setattr("syncam_engine.devtools.soak.evil.find_bpy_python", lambda: None)
    some = [name for name in LIES if name != "a message of 1200 parts"]
    assert held(soak_evil_engine(1, some)).figures["jobs"] == len(some)


@pytest.mark.processes
@pytest.mark.skipif(find_bpy_python() is None, reason="no bpy Python here")
def test_evil_engine_and_the_addon():
    some = ["a path", "a file of mine", "another camera", "odd previews", "odd progress"]
    some += ["no size", "a playlist", "more than asked", "nothing"]
    assert held(soak_evil_engine(1, some)).figures["add-on"].startswith("9 jobs")


@pytest.mark.processes
def test_host_that_believes_is_seen(monkeypatch):
    monkeypatch.setattr("syncam_engine.devtools.soak.evil.find_bpy_python", lambda: None)
    monkeypatch.setattr(job_results, "checked", lambda done, _: done)
    problems = soak_evil_engine(1, ["another camera"]).problems
    assert "clips that were not asked for" in str(problems)


@pytest.mark.processes
def test_load():
    figures = held(soak_load(16, 5, STUB)).figures
    assert figures["jobs done"] == figures["jobs sent"] >= 16


@pytest.mark.processes
def test_media():
    figures = held(soak_media(10, STUB, side=1000)).figures
    ends = {name.split(",")[0]: end for name, end in figures.items()}
    assert (ends["some.mp4"], ends["large.png"], ends["drawing"]) == ("done", "done", "clip.format")


@pytest.mark.processes
def test_locks():
    figures = held(soak_locks(20, STUB)).figures
    assert figures["locks that were refused"] == 60
    assert figures["jobs"] > 0


def test_order_that_was_not_kept_is_seen(tmp_path):
    lines = [
        {"text": "job accepted", "job": "c0f3"},  # another's random id
        {"text": "job accepted", "job": "c0-1"},
        {"text": "job accepted", "job": "c0-2"},
        {"text": "job started", "job": "c0-2", "attempt": 1},
        {"text": "job started", "job": "c0-1", "attempt": 1},
    ]
    (tmp_path / "engine.log").write_text("\n".join(map(json.dumps, lines)))
    finding = Finding("order", "", "")
    _judge_order(finding, tmp_path, {"c0-1", "c0-2"})
    assert not finding.held
    assert finding.figures["accepted"] == 2


def test_decoder_that_lets_something_through_is_seen(monkeypatch):
    def careless(*_):
        raise RuntimeError("not the one error")

    monkeypatch.setattr("syncam_engine.devtools.soak.hostile.codec.decode", careless)
    assert not soak_decoder(3, 1).held


@pytest.mark.processes
def test_report_names_what_did_not_hold():
    bad = Finding("a test", "many", "few")
    bad.fault("one job is lost")
    text = as_markdown([Finding("b", "1", "1", figures={"x (ms)": 1.23456})], 3.0, "m:f")
    assert "| b | 1 | 1 | yes |" in text
    assert "- x (ms): 1.235" in text
    text = as_markdown([bad], 3.0, "m:f")
    assert "| **no** |" in text
    assert "one job is lost" in text


def test_percentiles():
    assert percentile([], 0.99) == 0
    assert percentile(list(range(100)), 0.99) == 99
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0
