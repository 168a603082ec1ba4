# SPDX-License-Identifier: Apache-2.0
"""What a person at a terminal sees of `generate`, `status` and `serve`, mistakes included."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from syncam_engine.cli import main
from syncam_engine.commands import generate, status
from syncam_engine.commands.asking import job_table
from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.devtools.soak.evil import evil_engine
from syncam_engine.devtools.soak.evil_lies import SECRET
from syncam_engine.link import rig_json
from syncam_engine.link.engine_facts import EngineStatus, WorkerInfo
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.launch import EngineLauncher
from syncam_engine.link.messages import Done, ErrorInfo, JobInfo, JobList
from syncam_engine.link.rig import Rig


@pytest.fixture
def ask(engine, tmp_path, monkeypatch):
    """Run `syncam generate` on the shared engine; returns its exit status."""
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine.environment["SYNCAM_CONFIG_DIR"])
    request = sample_request(views=2)
    rig = tmp_path / "mein Gerüst.json"
    rig_json.write_rig(rig_json.rig_from_dict(request.rig), rig)

    def run(*options, out="Ausgabe ü"):
        given = ["--rig", str(rig), "--out", str(tmp_path / out), "--prompt", "a small stage"]
        given += ["--state-dir", str(engine.state_dir), "--steps", "2", "--frames", "5"]
        return main(["generate", *given, *options])

    return run


@pytest.mark.processes
def test_clips_of_a_rig_with_notes_said_once(ask, tmp_path, capsys):
    assert ask("--fps", "7") == 0
    said = capsys.readouterr()
    assert said.err.count("7 frames a second; this preset was trained on 15, so motion") == 1
    folder = tmp_path / "Ausgabe ü"
    assert said.out == f"2 clips in {folder}\n"
    result = json.loads((folder / "result.json").read_text("utf-8"))
    assert all(Path(clip["path"]).is_file() for clip in result["clips"])
    assert all(Path(clip["path"]).is_absolute() for clip in result["clips"])


@pytest.mark.processes
def test_what_is_refused_has_no_job_and_leaves_no_number(ask, tmp_path, capsys):
    assert ask("--steps", "51") == 2
    assert capsys.readouterr().err.startswith("syncam: 51 steps are outside this preset's 1 to 50")
    assert not (tmp_path / "Ausgabe ü").exists()
    (tmp_path / "mine").mkdir()
    assert ask("--steps", "51", out="mine") == 2
    assert (tmp_path / "mine").is_dir()


def test_some_cameras_of_a_moving_rig_go_with_the_poses_of_the_clips_pictures():
    """As a rendered scene has them: 40 poses at 30 a second for 5 pictures at 15."""
    (camera,) = rig_json.rig_from_dict(sample_request(views=1).rig).cameras
    path = [[[*row[:3], row[3] + k] for row in camera.c2w_cv_m[:3]] for k in range(40)]
    path = [[*rows, [0, 0, 0, 1]] for rows in path]
    cameras = [replace(camera, name=name, c2w_cv_m=path) for name in ("A", "B", "C")]
    rig = Rig(cameras=tuple(cameras), fps=Fraction(30))
    parser = argparse.ArgumentParser()
    generate.configure(parser)
    given = ["--rig", "r", "--prompt", "p", "--out", "o", "--cameras", "C", "A"]
    defaults = {"frames": 5, "fps": [15, 1]}
    hello = SimpleNamespace(
        presets=[SimpleNamespace(name="preview", default=True, defaults=defaults)]
    )
    asked = generate._request(parser.parse_args(given), rig, hello).rig
    assert [c["name"] for c in asked["cameras"]] == ["C", "A"]
    shown = [matrix[0][3] for matrix in asked["cameras"][0]["c2w_cv_m"]]
    assert shown == [matrix[0][3] for matrix in path[:9:2]]
    # What an engine says of itself may be anything: the rig then goes as it is.
    for odd in ({}, {"frames": "many", "fps": [15, 1]}, {"frames": 5, "fps": [0, 0]}):
        hello.presets[0].defaults = odd
        asked = generate._request(parser.parse_args(given), rig, hello).rig
        assert len(asked["cameras"][0]["c2w_cv_m"]) == 40


@pytest.mark.processes
def test_a_strength_without_clips_to_start_from_is_refused(ask, capsys):
    assert ask("--previz-strength", "0.3") == 2
    said = capsys.readouterr().err
    assert said.startswith("syncam: --previz-strength is 0.3, but no --previz names clips")


@pytest.mark.processes
def test_out_that_is_a_file_is_said_before_anything_is_sampled(ask, engine, tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    before = engine.status().done
    assert ask(out="taken") == 2
    assert capsys.readouterr().err == f"syncam: {tmp_path / 'taken'} is not a folder.\n"
    assert engine.status().done == before


@pytest.mark.processes
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fps", "0"], "0 is not a whole number from 1 to 1000"),
        (["--seed", "-1"], "-1 is not a whole number from 0"),
        (["--seed", "9" * 30], "is not a whole number from 0"),
        (["--priority", "11"], "11 is not a whole number from -10 to 10"),
        (["--previz", "a.mp4", "--reference", "b.mp4"], "not allowed with"),
        (["--job-id", "a b"], "'a b' is not a job's id, which has 8 to 64 letters"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(ask, capsys, options, said):
    with pytest.raises(SystemExit):
        ask(*options)
    error = capsys.readouterr().err
    assert said in error
    assert options[0] in error


@pytest.mark.processes
def test_clip_that_is_none_is_said_without_the_engines_folders(ask, tmp_path, capsys):
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no clip")
    assert ask("--reference", str(wrong)) == 2
    said = capsys.readouterr().err
    assert "Input clip 1 of the job: it is not a readable clip: Invalid data" in said
    assert "inputs/" not in said


def test_status_shows_prompts_as_they_were_typed(monkeypatch, capsys):
    """Brackets are no colours: a closing one without its opening ended the command."""
    monkeypatch.setenv("COLUMNS", "200")
    job = JobInfo(job_id="j" * 8, state="done", client="[red]x", prompt="a sign [/exit] [bold]")
    worker = WorkerInfo(index=0, state="loading")
    standing = EngineStatus(engine="0", instance="i", pid=1, uptime_s=1.0, workers=[worker])
    status.show(standing, JobList(jobs=[job]))
    said = "".join(capsys.readouterr().out.split())
    assert "asign[/exit][bold]" in said.replace("│", "")
    assert "0MiB" not in said


def test_tables_are_one_line_a_job_at_80_columns(monkeypatch, capsys):
    """The prompt is always there, and why a job failed stands beside its state."""
    monkeypatch.setenv("COLUMNS", "80")
    why = ErrorInfo(code="x", sentence="The device cuda:0 ran out of memory at 17 frames.")
    known = {"client": "syncam generate", "views": 6, "prompt": "a brown dog walks across a beach"}
    jobs = [
        JobInfo(job_id="a" * 32, state="done", **known),
        JobInfo(job_id="b" * 32, state="failed", error=why, **known),
        JobInfo(job_id="c" * 32, state="running", phase="sample", step=3, steps=12, **known),
        JobInfo(job_id="d" * 32, state="queued", position=2, eta_s=4000.0, **known),
        JobInfo(job_id="", state="queued", client="Blender 5.0 on anna-ws", mine=False, views=4),
        JobInfo(job_id="e" * 32, state="done", client="c", prompt="\u4e00" * 60 + "\x1b[2J"),
    ]
    console = Console()
    for clients in (False, True):
        console.print(job_table(jobs, console.width, clients=clients))
        head, *lines = capsys.readouterr().out.splitlines()
        assert head.split()[:2] == ["job", "client" if clients else "views"]
        assert len(lines) == len(jobs)
        assert all(cell_len(line) <= 80 for line in (head, *lines))
        assert all("a brown dog" in line for line in lines[:4])
        assert "failed: The device" in lines[1]
        assert "running, sample 3/12" in lines[2]
        assert "queued, place 2" in lines[3]
    Console(width=200).print(job_table(jobs, 200))
    wide = capsys.readouterr().out
    assert why.sentence in wide
    assert "\x1b" not in wide


@pytest.mark.processes
def test_worker_of_a_lazy_engine_is_asleep_until_a_job_comes(make_engine, monkeypatch, capsys):
    lazy = make_engine("--lazy")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["status", "--state-dir", str(lazy.state_dir)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("0 ")]
    assert row.split()[1] == "asleep"
    client = lazy.client()
    wait_until(lambda: client.wait(0.1) and client.hello, 60)
    assert client.worker == "asleep"
    ends, _ = follow(client, [client.submit(sample_request())])
    assert all(isinstance(end, Done) for end in ends.values())
    assert lazy.status(client).workers[0].state == "ready"


@pytest.mark.processes
def test_engine_that_generate_started_is_said_with_how_to_stop_it(ask, monkeypatch, capsys):
    monkeypatch.setattr(EngineLauncher, "started_pid", 4321)
    assert ask() == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "started the engine, which stays for the next jobs; to stop it: kill 4321"
    assert ask("--json", "--seed", "5") == 0
    assert capsys.readouterr().err == ""
    again = SimpleNamespace(started_pid=5678)
    assert generate._say_started(again, 4321) == 5678
    assert "kill 5678" in capsys.readouterr().err
    assert generate._say_started(again, 5678) == 5678
    assert generate._say_started(None) is None
    assert capsys.readouterr().err == ""


class _Launcher:
    """Of an engine that never comes to stay."""

    def __init__(self):
        self.started = 0

    def status(self):
        return SimpleNamespace(state="lost", sentence="The engine ended at once.", log_path="a.log")

    def ensure_started(self):
        self.started += 1


def test_engine_that_ends_under_a_job_is_started_again_and_in_the_end_said():
    launcher, bar = _Launcher(), SimpleNamespace(show=lambda event: None)
    comes_back = SimpleNamespace(wait=lambda _: [Done(job_id="j", clips=[])] * launcher.started)
    assert generate._follow(comes_back, launcher, "j", bar).job_id == "j"
    assert launcher.started == 1
    launcher = _Launcher()
    with pytest.raises(SynCamError, match="The job j is kept"):
        generate._follow(SimpleNamespace(wait=lambda _: []), launcher, "j", bar)
    assert launcher.started == generate.MOST_RESTARTS


@pytest.mark.parametrize(
    ("option", "value"), [("--hang-s", "-4"), ("--max-jobs", "0"), ("--exit-when-idle", "soon")]
)
def test_numbers_of_an_engine_that_cannot_be_are_refused(capsys, option, value):
    with pytest.raises(SystemExit):
        main(["serve", option, value])
    assert f"syncam serve: {option}: {value} is no" in capsys.readouterr().err


@pytest.mark.processes
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--bind", "tcp://192.0.2.1:7788"],
            "The engine cannot listen at tcp://192.0.2.1",
        ),
        (["--bind", "gpu-box:7788"], "tcp://0.0.0.0:7788 is"),
        (["--metrics-port", "70000"], "The metrics port 70000"),
        (["--preset", "nope"], "fix: Use preview"),
    ],
)
def test_engine_that_cannot_start_says_why(tmp_path, monkeypatch, capfd, options, said):
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "config"))
    assert main(["serve", "--state-dir", str(tmp_path / "state"), *options]) == 2
    assert said in capfd.readouterr().err


def test_folders_that_cannot_be_are_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "file"))
    assert main(["status"]) == 2
    assert main(["keys", "list"]) == 2
    assert main(["evaluate", "rigs", "--out", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [f"syncam: {tmp_path / 'file'} is not a folder."] * 3


def test_what_starts_the_engine_that_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "config"))
    state = tmp_path / "my state"
    assert main(["status", "--state-dir", str(state), "--timeout", "0.3"]) == 2
    assert f"fix: syncam serve --state-dir '{state}'" in capsys.readouterr().err
    key = "tcp://127.0.0.1:1#" + "a" * 40
    assert main(["status", "--engine", key, "--timeout", "0.3"]) == 2
    assert "fix: On the engine's machine: syncam serve --bind" in capsys.readouterr().err


@pytest.fixture
def lied_to(tmp_path, monkeypatch):
    """Run `syncam generate` on a remote engine that tells a lie; returns its exit status."""
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "config"))
    rig = tmp_path / "rig.json"
    rig_json.write_rig(rig_json.rig_from_dict(sample_request(views=2).rig), rig)
    (tmp_path / "SECRET").write_bytes(SECRET)
    monkeypatch.chdir(tmp_path)
    with evil_engine(tmp_path) as endpoint:

        def run(lie):
            address = f"{endpoint.address}#{endpoint.server_key}"
            given = ["--rig", str(rig), "--out", str(tmp_path / lie), "--prompt", lie]
            given += ["--size", "64x48", "--frames", "5", "--fps", "8", "--engine", address]
            return main(["generate", *given])

        yield run


@pytest.mark.processes
def test_an_engine_that_lies_puts_nothing_else_into_the_folder(lied_to, tmp_path, capsys):
    for lie in ("a path", "odd progress"):
        assert lied_to(lie) == 0
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err
        files = sorted(path.name for path in (tmp_path / lie).iterdir())
        assert [name[:3] + name[-4:] for name in files] == ["00-.mp4", "01-.mp4", "resjson"]
        assert not any(path.read_bytes() == SECRET for path in (tmp_path / lie).iterdir())
    for lie, said in (
        ("a file of mine", "It was never there"),
        ("another camera", 'is of camera "nobody"'),
        ("a playlist", "is not the video that was asked for"),
        ("a body of another type", "cannot be understood"),
    ):
        assert lied_to(lie) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / lie).exists()
