# SPDX-License-Identifier: Apache-2.0
"""`syncam jobs`, here and over CURVE, and what Ctrl-C in `syncam generate` leaves behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from syncam_engine.cli import main
from syncam_engine.commands import generate, jobs
from syncam_engine.commands.asking import answers
from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.link import rig_json
from syncam_engine.link.client import EngineClient
from syncam_engine.link.endpoint import stored_client_id
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import Done, Failed, JobInfo, new_id

IDS = ["aa11bb22", "aa11cc33", "dd44ee55"]


@pytest.fixture
def terminal(engine, monkeypatch):
    """A client with the terminal's own id, as `syncam generate` has."""
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine.environment["SYNCAM_CONFIG_DIR"])
    return engine.client(client_id=stored_client_id("terminal"))


def ask(capsys, engine, *words):
    """Run `syncam jobs` on an engine; return its exit status, what it said, and its error."""
    status = main(["jobs", *words, "--state-dir", str(engine.state_dir), "--timeout", "60"])
    said = capsys.readouterr()
    return status, said.out, said.err


def send(client, **changes):
    """Send a job that is held until it runs, and wait until it is known."""
    job_id = client.submit(sample_request(**changes))
    seen = []
    wait_until(lambda: seen.extend(client.wait(0.1)) or seen, 60)
    return job_id


@pytest.mark.processes
def test_jobs_are_listed_cancelled_and_removed(engine, terminal, let_go, capsys):
    running = send(terminal, prompt="hold one")
    waiting = send(terminal, prompt="hold two")
    foreign = engine.client()
    theirs = send(foreign, prompt="somebody else's")

    status, said, _ = ask(capsys, engine, "--json")
    assert status == 0
    listed = {job["job_id"]: job["state"] for job in json.loads(said)["jobs"]}
    assert set(listed) == {running, waiting}, "one's own only"

    assert ask(capsys, engine, "pause", waiting[:8])[1] == f"{waiting[:8]} paused: hold two\n"
    assert ask(capsys, engine, "resume", waiting[:8])[1] == f"{waiting[:8]} queued: hold two\n"

    status, _, error = ask(capsys, engine, "remove", waiting[:8])
    assert (status, error) == (
        2,
        f"syncam: The job {waiting} has not ended yet: queued.\n"
        f"  fix: syncam jobs cancel {waiting[:8]}\n",
    )
    status, said, _ = ask(capsys, engine, "cancel", running[:8], waiting, "--json")
    assert status == 0
    assert json.loads(said)["jobs"] == [
        {"job_id": running, "state": "cancelled"},
        {"job_id": waiting, "state": "cancelled"},
    ]
    ends, _ = follow(terminal, [running, waiting])
    assert all(isinstance(end, Failed) and end.cancelled for end in ends.values())
    twice = f"{running[:8]} cancelled (as it was): hold one\n"
    assert ask(capsys, engine, "cancel", running[:8])[:2] == (0, twice)

    folder = engine.state_dir / "jobs" / running
    assert folder.is_dir()
    assert ask(capsys, engine, "remove", running)[1] == f"{running[:8]} removed: hold one\n"
    assert not folder.exists()
    assert ask(capsys, engine, "remove", "--ended")[1] == f"{waiting[:8]} removed: hold two\n"
    assert ask(capsys, engine, "remove", "--ended")[:2] == (0, "no jobs\n")
    assert ask(capsys, engine)[1] == "no jobs\n"

    status, _, error = ask(capsys, engine, "cancel", theirs)
    assert status == 2, "other clients' jobs are theirs"
    assert error.startswith(f"syncam: There is no job {theirs}: this client has none")
    let_go()
    ends, _ = follow(foreign, [theirs])
    assert isinstance(ends[theirs], Done)


@pytest.mark.processes
def test_jobs_are_shown_as_a_table(terminal, engine, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = send(terminal, prompt="a sign [/exit]")
    follow(terminal, [done])
    said = ask(capsys, engine, "list", "--limit", "1")[1]
    assert done[:8] in said
    assert "a sign [/exit]" in said


@pytest.mark.processes
def test_jobs_beyond_one_answer_are_found_counted_and_removed(
    terminal, engine, capsys, monkeypatch
):
    """As with more than 1,000 jobs: an answer lists three."""
    ask(capsys, engine, "remove", "--ended")
    monkeypatch.setattr(jobs, "PAGE", 3)
    foreign = engine.client()
    theirs = [send(foreign, prompt="theirs", job_id=f"first{new_id()}")]
    sent = [send(terminal, prompt=f"number {k}", job_id=f"job{k}-of-mine") for k in range(7)]
    theirs.append(send(foreign, prompt="theirs", job_id=f"last-{new_id()}"))
    follow(terminal, sent)
    follow(foreign, theirs)

    def listed(*words):
        said = json.loads(ask(capsys, engine, "list", "--json", *words)[1])
        return [job["job_id"] for job in said["jobs"]], said["total"]

    assert listed("--all") == (sent, 7)
    assert listed("--limit", "5") == (sent[-5:], 7)
    assert listed("--limit", "3") == (sent[-3:], 7)
    assert listed("--limit", "100") == (sent, 7)
    footer = "the newest 2 of 7; all of them: syncam jobs list --all\n"
    assert ask(capsys, engine, "list", "--limit", "2")[1].endswith(footer)
    assert "of 7" not in ask(capsys, engine, "list", "--all")[1]

    assert ask(capsys, engine, "remove", "job1")[:2] == (0, "job1-of- removed: number 1\n")
    assert ask(capsys, engine, "cancel", sent[0])[1] == "job0-of- done (as it was): number 0\n"
    status, _, error = ask(capsys, engine, "remove", "jobs")
    assert status == 2
    assert error.startswith("syncam: There is no job jobs; the nearest is job")
    assert ask(capsys, engine, "remove", theirs[0][:20])[0] == 2, "other clients' jobs are theirs"
    assert len(ask(capsys, engine, "remove", "--ended")[1].splitlines()) == 6
    assert listed("--all") == ([], 0)


@pytest.mark.processes
def test_page_before_somebody_elses_job_is_refused(terminal, engine):
    theirs = send(engine.client(), prompt="theirs")
    with pytest.raises(SynCamError, match=f"There is no job {theirs}"):
        answers(terminal, [terminal.ask_jobs(mine=True, before=theirs)], 60.0)


@pytest.mark.processes
def test_no_engine_and_no_id_are_sentences(engine, terminal, tmp_path, capsys):
    assert ask(capsys, engine, "cancel")[2] == (
        "syncam: Which job is to cancel?\n  fix: syncam jobs list\n"
    )
    nowhere = ["--state-dir", str(tmp_path), "--timeout", "0.2"]
    assert main(["jobs", "cancel", "a" * 8, *nowhere]) == 2
    assert capsys.readouterr().err.startswith("syncam: No engine answers at ")


def test_job_is_found_by_its_beginning_or_the_nearest_is_named():
    known = [JobInfo(job_id=name, state="done", prompt="a red fox") for name in IDS]
    assert jobs.find_job("dd44", known) is known[2]
    assert jobs.find_job("aa11cc33", known) is known[1]
    longer = [*known, JobInfo(job_id="dd44ee55-more", state="done")]
    assert jobs.find_job("dd44ee55", longer) is known[2], "a whole id before a beginning"
    with pytest.raises(SynCamError, match="begins the ids of 2 jobs: aa11bb22, aa11cc33") as caught:
        jobs.find_job("aa11", known)
    assert caught.value.code == "job.ambiguous"
    for typed, nearest in (("aa11cc34", "aa11cc33"), ("dd45", "dd44ee55"), ("dd4", "dd44ee55")):
        with pytest.raises(SynCamError) as caught:
            jobs.find_job(typed, known)
        assert (caught.value.code, caught.value.nearest) == ("job.unknown", nearest)
        assert f"no job {typed}; the nearest is {nearest} (done: a red fox)" in str(caught.value)


@pytest.mark.processes
def test_jobs_of_a_remote_engine_by_its_key(make_engine, capsys):
    engine = make_engine("--bind", "tcp://127.0.0.1:*")
    info = engine.info()
    address = f"{info['remote'][0]}#{info['remote_key']}"
    afar = EngineClient(address)
    try:
        job_id = send(afar, prompt="hold it")
        words = ["--engine", address, "--timeout", "60"]
        assert main(["jobs", *words, "cancel", job_id[:6]]) == 0
        assert capsys.readouterr().out == f"{job_id[:8]} cancelled: hold it\n"
        ends, _ = follow(afar, [job_id])
        assert ends[job_id].cancelled
        assert main(["jobs", "remove", job_id, *words]) == 0
        assert not (engine.state_dir / "jobs" / job_id).exists()
    finally:
        afar.close()


@pytest.fixture
def heard_interrupts():
    """Programs started in the background of a shell script are born deaf to SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.processes
@pytest.mark.usefixtures("heard_interrupts")
def test_interrupted_generate_cancels_its_job_and_says_so(engine, tmp_path):
    rig = tmp_path / "rig.json"
    rig_json.write_rig(rig_json.rig_from_dict(sample_request(2).rig), rig)
    asker = engine.client()
    before = engine.status(asker).cancelled
    words = ["--rig", str(rig), "--out", str(tmp_path / "out"), "--prompt", "long sleep=1.0"]
    words += [
        "--state-dir",
        str(engine.state_dir),
        "--frames",
        "5",
        "--steps",
        "50",
        "--job-id",
        "ctrl-c-job",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "syncam_engine.cli", "generate", *words],
        env=engine.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        first = process.stderr.readline()
        wait_until(lambda: engine.status(asker).running, 60, engine.said)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert first == "job ctrl-c-job\n"
    assert said.endswith("The job ctrl-c-job was cancelled.\nsyncam: stopped\n")
    assert engine.status(asker).cancelled == before + 1


def test_interrupted_without_an_answer_says_how_to_stop_the_job(capsys):
    silent = SimpleNamespace(cancel=lambda job_id: "", wait=lambda timeout_s: [])
    args = SimpleNamespace(engine="tcp://gpu-box:7788#k$y", state_dir=None)
    generate._cancel(silent, "jjjjjjjj", generate._engine_options(args), limit_s=0.01)
    said = capsys.readouterr().err
    assert "may go on" in said
    assert re.findall("`(.*?)`", said) == [
        f"syncam jobs {verb} --engine 'tcp://gpu-box:7788#k$y'"
        for verb in ("list", "cancel jjjjjjjj")
    ]
    ended = SimpleNamespace(
        cancel=lambda job_id: "", wait=lambda timeout_s: [Done(job_id="jjjjjjjj", clips=[])]
    )
    generate._cancel(ended, "jjjjjjjj", "")
    assert "--job-id jjjjjjjj brings its clips" in capsys.readouterr().err
