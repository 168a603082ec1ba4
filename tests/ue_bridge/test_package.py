# SPDX-License-Identifier: Apache-2.0
"""The packaged plugin: what is in the zip, what is not, and that it stands without the clone."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import stand_in

from syncam_engine import __version__
from syncam_engine.link.errors import SynCamError
from syncam_engine.packaging import unreal, wheels

HERE = Path(__file__).resolve().parent


def fake_wheel(folder, name, files):
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def lock(tmp_path):
    """A lock over small wheels made here; nothing is fetched."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    made = {}
    for platform, tag in (("Win64", "win_amd64"), ("Linux", "linux"), ("MacIntel", "mac")):
        name = f"pyzmq-1.0-cp311-cp311-{tag}.whl"
        files = {"zmq_fake/__init__.py": f"PLATFORM = {platform!r}\n", "x.data/scripts/z": "no"}
        made[platform] = {name: fake_wheel(folder, name, files)}
    return wheels.WheelLock(
        packages={"pyzmq": "1.0"}, python="3.11", platforms={p: [p] for p in made}, wheels=made
    )


def test_the_zip(tmp_path, lock):
    path = unreal.build_zip(tmp_path / "dist", wheels=tmp_path / "wheels", lock=lock)
    assert path.name == f"SynCam-{__version__}-unreal.zip"
    again = unreal.build_zip(tmp_path / "again", wheels=tmp_path / "wheels", lock=lock)
    assert path.read_bytes() == again.read_bytes(), "the same sources give the same bytes"
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        descriptor = json.loads(archive.read("SynCam/SynCam.uplugin"))
    assert {
        "SynCam/SynCam.uplugin", "SynCam/LICENSE.txt", "SynCam/Resources/Icon128.png",
        "SynCam/Content/Python/init_unreal.py", "SynCam/Content/Python/syncam_rig_build.py",
        "SynCam/Content/Python/syncam_unreal/plugin.py",
        "SynCam/Content/Python/Lib/site-packages/syncam_engine/link/client.py",
        "SynCam/Content/Python/Linux/Lib/site-packages/zmq_fake/__init__.py",
        "SynCam/Content/Python/MacIntel/Lib/site-packages/zmq_fake/__init__.py",
    } <= names  # fmt: skip
    assert not [
        n for n in names if "devtools" in n or "__pycache__" in n or ".data/" in n or "numpy" in n
    ]
    assert not [
        n for n in names if "/syncam_engine/" in n and "/link/" not in n and "__init__" not in n
    ]
    assert descriptor["FileVersion"] == 3
    assert descriptor["CanContainContent"] is True
    assert descriptor["Modules"] == [], "content only: nothing to compile"
    assert not [n for n in names if n.endswith((".cpp", ".dll", ".uasset"))]


def test_descriptor_says_what_the_lock_says():
    descriptor = json.loads((unreal.PLUGIN / "SynCam.uplugin").read_text("utf-8"))
    lock = wheels.read_lock(unreal.LOCK)
    assert descriptor["PythonRequirements"] == unreal.python_requirements(lock)
    assert descriptor["VersionName"] == __version__
    assert {row["Platform"] for row in descriptor["PythonRequirements"]} == {
        "Win64", "Linux", "Mac",
    }  # fmt: skip
    for row in descriptor["PythonRequirements"]:
        for line in row["Requirements"]:
            assert "==" in line
            assert "--hash=sha256:" in line, "the editor's pip checks hashes strictly"
    assert set(lock.packages) == {"pyzmq", "msgpack", "msgspec"}, "the host needs no more"
    listed = {plugin["Name"] for plugin in descriptor["Plugins"]}
    assert {"PythonScriptPlugin", "SequencerScripting", "EditorScriptingUtilities"} <= listed
    table = stand_in.load_table("5.5")
    used = {c.get("plugin") for c in table["classes"].values()} - {None}
    named = listed | {"UnrealEd", "MediaAssets", "Blutility", "ImgMedia"}
    assert used <= named, f"plugins whose classes the bridge uses: {used - named}"


def test_wheels_that_are_not_the_locked_ones_are_refused(tmp_path, lock, monkeypatch):
    folder = tmp_path / "wheels"
    victim = next(folder.glob("*win_amd64.whl"))
    victim.write_bytes(b"something else")
    with pytest.raises(SynCamError, match="not the locked one"):
        unreal.build_zip(tmp_path / "dist", wheels=folder, lock=lock)
    assert not list((tmp_path / "dist").glob("*")), "not half a zip"
    victim.unlink()
    calls = []

    def no_network(command, **_options):
        calls.append(command)
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution\n")

    monkeypatch.setattr(wheels.subprocess, "run", no_network)
    with pytest.raises(SynCamError, match="No matching distribution"):
        unreal.build_zip(tmp_path / "dist", wheels=folder, lock=lock)
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "pyzmq==1.0" in calls[0]
    assert not [word for word in calls[0] if "://" in word], "pip's own configuration says whence"
    evil = fake_wheel(folder, victim.name, {"../../outside.py": "x"})
    bad = wheels.WheelLock(
        packages=lock.packages, python="3.11", platforms=lock.platforms,
        wheels={"Win64": {victim.name: evil}},
    )  # fmt: skip
    with pytest.raises(SynCamError, match="outside"):
        unreal.build_zip(tmp_path / "dist", wheels=folder, lock=bad)


@pytest.mark.processes
def test_it_stands_without_the_clone(tmp_path, lock):
    """Unpacked elsewhere, in an isolated Python: starts on the stand-in, no torch, no numpy."""
    path = unreal.build_zip(tmp_path / "dist", carry_wheels=False, lock=lock)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "Plugins")
    content = tmp_path / "Plugins" / "SynCam" / "Content" / "Python"
    site = Path(sys.modules["zmq"].__file__).parents[1] if "zmq" in sys.modules else None
    if site is None:
        import zmq

        site = Path(zmq.__file__).parents[1]
    # Only the three host packages are offered, as the editor would have them.
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for item in site.iterdir():
        if item.name.split("-")[0].split(".")[0] in ("zmq", "msgpack", "msgspec", "pyzmq"):
            (shelf / item.name).symlink_to(item)
    script = f"""
import sys, runpy
sys.path[:0] = [{str(shelf)!r}, {str(HERE)!r}]
import stand_in
module = stand_in.make_unreal("5.5", {str(tmp_path / "Project")!r})
stand_in.install(module)
runpy.run_path({str(content / "init_unreal.py")!r})
module._editor.tick()
from syncam_unreal import plugin
import syncam_engine.link.client as client
assert plugin.running is not None, module._editor.log
assert {str(tmp_path)!r} in client.__file__, client.__file__
assert not {{"torch", "numpy"}} & set(sys.modules)
plugin.stop()
print("started")
"""
    environment = {"SYNCAM_STATE_DIR": str(tmp_path / "s"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True,
        env=environment, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "started", done.stderr


def test_the_command(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    unreal.configure(parser)
    assert unreal.build(parser.parse_args(["--out", str(tmp_path), "--no-wheels"])) == 0
    assert "Plugins" in capsys.readouterr().out
    assert list(tmp_path.glob("*.zip"))
