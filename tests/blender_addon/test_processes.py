# SPDX-License-Identifier: Apache-2.0
"""What takes a Blender process of its own: crashes, a remote engine, a batch, full disks, the zip
alone. Each program of `scripts/` runs in bpy 5.0 and answers with one line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from blender_addon import install_engine
from syncam_engine.devtools.harness import LocalEngine
from syncam_engine.link.client import EngineClient
from syncam_engine.link.endpoint import read_engine_info
from syncam_engine.link.engine_facts import EngineStatus
from syncam_engine.link.environments import find_bpy_python
from syncam_engine.link.errors import SynCamError
from syncam_engine.packaging import blender as package

from .engine_wrapper import ROOT, STUB, blender_folder

BPY = find_bpy_python("5.0")
SCRIPTS = "tests.blender_addon.scripts"
PLAZA = ROOT / "examples" / "plaza.blend"
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(os.name == "nt", reason="the engine's stand-in is a shell script"),
    pytest.mark.skipif(BPY is None, reason="BLENDER PROCESSES ARE NOT TESTED: no bpy 5.0"),
    pytest.mark.timeout(900),
]


@pytest.fixture
def blender():
    """A folder with a shot.blend, and the environment of a Blender that works in it."""
    with blender_folder() as (folder, environment):
        shutil.copy(PLAZA, folder / "shot.blend")
        yield folder, environment


def answer_of(output: str) -> dict:
    line = next((line for line in output.splitlines() if line.startswith("ANSWER ")), None)
    assert line is not None, output[-4000:]
    return json.loads(line.removeprefix("ANSWER "))


def run(command: list, folder: Path, environment: dict, limit_s: float = 600.0) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
    )
    print(done.stdout[-6000:])
    return done.stdout


def run_script(name: str, blender, *arguments: object) -> dict:
    folder, environment = blender
    return answer_of(run([BPY, "-m", f"{SCRIPTS}.{name}", *arguments], folder, environment))


def test_blender_killed_during_jobs_finds_them_again_by_id(blender):
    folder, environment = blender
    shot = folder / "shot.blend"
    first = subprocess.Popen(
        [str(BPY), "-m", f"{SCRIPTS}.crash_begin", str(shot)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = ""
    for line in first.stdout:
        said += line
        if line.startswith("ANSWER "):
            break
    first.kill()
    first.wait(30)
    first.stdout.close()
    jobs = answer_of(said)["jobs"]
    # One is done while no Blender is there, the other goes on when one is there again.
    wait_for_done(folder / "state", 1)
    back = run_script("crash_return", blender, shot)
    assert back["jobs"] == jobs
    assert set(back["was"]) <= {"queued", "running"}
    assert back["now"] == ["done", "done"]
    assert back["applied"] == [True, True]
    plates, backgrounds = back["plates"], back["backgrounds"]
    assert set(plates) == {"Wide", "Dolly"}
    for found in (plates, backgrounds):
        for camera, file in found.items():
            assert Path(file).name == f"{camera}.mp4"
            assert Path(file).is_relative_to(folder / "syncam")
    # Each target keeps the clip of its own job, and each camera its own.
    shown = [*plates.values(), *backgrounds.values()]
    assert len({Path(file).read_bytes() for file in shown}) == 4


def wait_for_done(state_dir: Path, count: int, limit_s: float = 120.0) -> None:
    """Wait until the engine says that so many jobs are done."""
    client = EngineClient(state_dir=state_dir)
    deadline_s, told = time.monotonic() + limit_s, None
    try:
        while time.monotonic() < deadline_s:
            client.ask_status()
            for event in client.wait(0.5):
                if isinstance(getattr(event, "body", None), EngineStatus):
                    told = event.body
            if told is not None and told.done >= count:
                return
            time.sleep(0.2)
    finally:
        client.close()
    pytest.fail(f"the engine did not finish {count} jobs: {told}")


def test_remote_engine_from_its_address_and_key(blender):
    folder, _ = blender
    # Bound to every address, it gives out no paths: its clips are fetched, as from afar.
    with LocalEngine("--bind", "tcp://0.0.0.0:*", pipeline=STUB) as engine:
        info = read_engine_info(engine.state_dir)
        address = info["remote"][0].replace("0.0.0.0", "127.0.0.1")
        config = engine.environment["SYNCAM_CONFIG_DIR"]
        told = run_script(
            "remote", blender, folder / "shot.blend", address, info["remote_key"], config
        )
    assert "render-box:7788" in told["no_address"]
    assert "is not an engine's address" in told["no_address"]
    assert told["refused_state"] == "refused"
    assert "does not know this machine's key" in told["refused"]
    assert told["finished"] == ["FINISHED"]
    assert told["state"] == "ready"
    assert address in told["sentence"]
    assert told["is_streamed"]
    assert told["landed"] == told["digests"]
    assert len(set(told["digests"])) == 2
    assert all(Path(path).is_relative_to(folder / "syncam") for path in told["locals"])
    assert told["plates"] == dict(zip(["Wide", "Dolly"], told["locals"], strict=True))
    assert "another machine" in told["cannot_stop"]
    assert not (folder / "state" / "engine.json").exists(), "no local engine was started"


def test_example_of_a_batch_of_shots(blender):
    """As `python examples/batch_of_shots.py shots.json` runs it, where nothing is enabled yet."""
    folder, environment = blender
    shutil.copy(PLAZA, folder / "zweite 'ä'.blend")
    shots = {
        "shot.blend": "a man walks a dog in a plaza",
        "missing.blend": "nothing is there",
        "zweite 'ä'.blend": "a fox",
    }
    (folder / "shots.json").write_text(json.dumps(shots))
    del environment["PYTHONPATH"]
    done = subprocess.run(
        [str(BPY), str(ROOT / "examples" / "batch_of_shots.py"), "shots.json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    environment["PYTHONPATH"] = str(ROOT)
    print(done.stdout[-3000:], done.stderr[-3000:])
    assert done.returncode == 1, "one shot of three could not be made"
    for name in ("shot.blend", "zweite 'ä'.blend"):
        assert f"{name}: done" in done.stdout
    said = [line for line in done.stderr.splitlines() if line.startswith("missing.blend: ")]
    assert len(said) == 1
    assert "Traceback" not in done.stderr
    for name in ("shot.blend", "zweite 'ä'.blend"):
        seen = run([BPY, "-c", SHOW, name], folder, environment)
        kept = answer_of(seen)
        assert set(kept["plates"]) == {"Wide", "Tracked", "Rolled", "Dolly"}
        assert all(Path(path).is_file() for path in kept["plates"].values())
        assert kept["strips"] == 5


SHOW = """
import sys, bpy
from tests.blender_addon.scripts.common import plates_of, tell
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
edit = next(s for s in bpy.data.scenes if s.get("syncam_edit"))
tell(plates=plates_of(bpy.context.scene), strips=len(edit.sequence_editor.strips))
"""


def mount_command() -> list[str] | None:
    """How small file systems can be mounted for one process alone, or None where they cannot."""
    for options in ((), ("--user", "--map-root-user")):
        command = ["unshare", *options, "--mount", "--propagation", "private"]
        if shutil.which("unshare"):
            trial = [*command, "mount", "-t", "tmpfs", "none", "/mnt"]
            if subprocess.run(trial, capture_output=True).returncode == 0:
                return command
    return None


def test_full_disks_and_read_only_folders_are_said_and_lose_nothing(blender):
    folder, environment = blender
    command = mount_command()
    if command is None:
        pytest.skip("FULL DISKS ARE NOT TESTED WITH BLENDER: no right to mount a small one")
    for name in ("full", "read_only", "small"):
        (folder / name).mkdir()
    script = f"""
set -e
mount -t tmpfs -o size=4m,mode=700 none {folder}/full
mount -t tmpfs -o size=2m,mode=700 none {folder}/read_only
mount -t tmpfs -o size=60m,mode=700 none {folder}/small
cp {PLAZA} {folder}/full/shot.blend
cp {PLAZA} {folder}/read_only/shot.blend
mount -o remount,ro {folder}/read_only
exec {BPY} -m {SCRIPTS}.disks {folder} {folder}/full {folder}/read_only {folder}/small
"""
    told = answer_of(run([*command, "sh", "-c", script], folder, environment))
    for name in ("full", "read_only"):
        here = told[name]
        assert here["applied"], name
        assert here["is_there"], name
        assert not here["beside"], name
        assert here["plates"], name
        assert here["left"] == []
        assert f"{folder}/{name} cannot be written, so the clips are in " in here["notice"]
    jobs = told["jobs_full"]
    assert "No space left on device" in jobs["during"]
    assert (jobs["state"], jobs["applied"]) == ("done", True), "a job goes on without its file"
    assert "No space left on device" in jobs["refused"]
    assert jobs["none_more"], "what cannot be written down is not sent"
    assert "disk" in told["engine_full"].lower()
    assert "MiB" in told["engine_full"]
    assert told["engine_state"] in ("ready", "loading")


def write_stand_in_for_torch(folder: Path) -> None:
    """A wheel called torch that leads to this environment's own packages.

    pip then resolves and installs the engine as it would elsewhere, with neither the network nor
    the gigabytes.
    """
    folder.mkdir()
    pin = install_engine.torch_pin(ROOT).removeprefix("torch==")
    lead = {"syncam_stand_in.pth": (sysconfig.get_path("purelib") + "\n").encode()}
    name, data = package.pure_wheel("torch", "A stand-in", lead, version=f"{pin}+cpu")
    (folder / name).write_bytes(data)


def test_from_the_zip_alone_to_a_first_clip(blender):
    """The Install button in an extension that was installed from its zip, with the real model."""
    folder, environment = blender
    if sys.version_info[:2] != (3, 11):
        pytest.skip("INSTALLING THE ENGINE IS NOT TESTED: bpy 5.0 has another Python than this one")
    if shutil.disk_usage(folder).free < 7e9:
        pytest.skip("INSTALLING THE ENGINE IS NOT TESTED: less than 7 GB are free")
    try:
        wheels = ROOT / "build" / "blender-wheels"
        archive = package.build_zips(folder, wheels=wheels, platforms=["linux-x64"])[0]
    except SynCamError as error:
        pytest.skip(f"INSTALLING THE ENGINE IS NOT TESTED: {error}")
    write_stand_in_for_torch(folder / "wheels")
    # A machine without a GPU and without an engine: neither a driver's tool nor `syncam` is found.
    tools = folder / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tools / "nvidia-smi").chmod(0o755)
    environment = {
        **environment,
        "PATH": f"{tools}:/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "wheels"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    for name in ("PYTHONPATH", "SYNCAM_ENGINE_PYTHON"):
        environment.pop(name, None)
    program = folder / "install.py"
    shutil.copy(Path(__file__).with_name("scripts") / "install.py", program)
    output = run([BPY, program, archive, folder / "shot.blend"], folder, environment)
    told = answer_of(output)
    assert told["before"] == "not found"
    assert str(ROOT) not in told["link"]
    assert "there is no network; connect and try again" in told["offline"]
    assert told["offline_state"] == "engine.install"
    assert told["installed"] == ["FINISHED"], told["log"]
    assert "STEP 4/4" in told["log"]
    for step in ("Making the engine's own Python", "Fetching PyTorch", "Installing the engine"):
        assert f"Info: {step}" in output, "each step is said while it is done"
    assert told["generated"] == ["FINISHED"]
    assert (told["model"], told["device"]) == ("preview", "cpu")
    assert told["applied"]
    assert told["clip_bytes"] > 1000
    assert (folder / "state" / "engine" / "bin" / "python").exists()
