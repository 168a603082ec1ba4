# SPDX-License-Identifier: Apache-2.0
"""The extension's zips: what is in them, that Blender's own check passes, that one installs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from syncam_engine.link.environments import find_bpy_python
from syncam_engine.link.errors import SynCamError
from syncam_engine.packaging import blender as package
from syncam_engine.packaging.wheels import WheelLock

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fake_wheels(tmp_path, monkeypatch):
    """Locks over wheels that hold nothing, so that no network is needed."""
    locks = []
    for python in ("3.11", "3.13"):
        tag = f"cp{python.replace('.', '')}"
        folder = tmp_path / "wheels" / python
        folder.mkdir(parents=True)
        wheels = {}
        for platform, tail in (("linux-x64", "linux_x86_64"), ("windows-x64", "win_amd64")):
            name = f"pyzmq-1.0-{tag}-{tag}-{tail}.whl"
            (folder / name).write_bytes(f"{python} {platform}".encode())
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            wheels[platform] = {name: digest}
        platforms = {"linux-x64": ["linux_x86_64"], "windows-x64": ["win_amd64"]}
        locks.append(
            WheelLock(packages={"pyzmq": "1.0"}, python=python, platforms=platforms, wheels=wheels)
        )
    monkeypatch.setattr(package, "read_locks", lambda: locks)
    return tmp_path / "wheels"


def test_each_zip_has_its_platforms_wheels_and_no_others(tmp_path, fake_wheels):
    paths = package.build_zips(tmp_path / "dist", wheels=fake_wheels)
    assert [path.name for path in paths] == [
        "syncam-0.1.0-linux-x64.zip",
        "syncam-0.1.0-windows-x64.zip",
    ]
    with zipfile.ZipFile(paths[1]) as archive:
        names = archive.namelist()
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
    assert manifest["platforms"] == ["windows-x64"]
    assert all(text for text in manifest["permissions"].values())
    carried = [name for name in names if name.startswith("wheels/")]
    assert sorted(manifest["wheels"]) == sorted(f"./{name}" for name in carried)
    assert {name.split("-")[2] for name in carried if "pyzmq" in name} == {"cp311", "cp313"}
    assert not [name for name in carried if "linux" in name]
    assert not [name for name in names if "numpy" in name or "torch" in name]
    assert any(name.startswith("engine/syncam-") for name in names)
    assert "__init__.py" in names


def test_locks_cover_three_platforms_and_both_pythons():
    locks = package.read_locks()
    assert {lock.python for lock in locks} == {"3.11", "3.13"}
    for lock in locks:
        assert set(lock.wheels) == {"windows-x64", "macos-arm64", "linux-x64"}
        assert set(lock.packages) == {"pyzmq", "msgpack", "msgspec"}
        for platform, names in lock.wheels.items():
            assert {name.partition("-")[0] for name in names} == set(lock.packages), platform


def test_same_sources_give_the_same_bytes(tmp_path, fake_wheels):
    one = package.build_zips(tmp_path / "a", wheels=fake_wheels, platforms=["linux-x64"])[0]
    two = package.build_zips(tmp_path / "b", wheels=fake_wheels, platforms=["linux-x64"])[0]
    assert one.read_bytes() == two.read_bytes()


def test_unknown_platform_is_one_sentence(tmp_path, fake_wheels):
    with pytest.raises(SynCamError, match="no platform 'beos'"):
        package.build_zips(tmp_path, wheels=fake_wheels, platforms=["beos"])


def test_wheel_that_is_not_the_locked_one_is_refused(tmp_path, fake_wheels):
    next((fake_wheels / "3.11").glob("*linux*")).write_bytes(b"changed")
    with pytest.raises(SynCamError, match="not the locked one"):
        package.build_zips(tmp_path, wheels=fake_wheels)


@pytest.mark.processes
def test_link_wheel_is_enough_for_a_host(tmp_path):
    """Imported from the wheel alone: no torch, no numpy, nothing else of the engine."""
    name, data = package.link_wheel()
    (tmp_path / name).write_bytes(data)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import syncam_engine.link.client as c, syncam_engine.link.launch; "
        "assert c.__file__.startswith(sys.argv[1]), c.__file__; "
        "assert not {'torch', 'numpy', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=True, cwd=tmp_path)


@pytest.mark.processes
def test_engine_wheel_is_a_wheel_that_pip_takes(tmp_path):
    name, data = package.engine_wheel()
    (tmp_path / name).write_bytes(data)
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(tmp_path / name)], check=True)
    assert (target / "syncam_engine" / "cli.py").is_file()
    assert (target / "syncam_engine" / "weights").is_dir()
    assert not (target / "syncam_engine" / "devtools").exists()
    script = (
        # A clone that is installed for editing would lend the wheel what it lacks.
        "import sys; "
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]; "
        "import syncam_engine.cli as c; print(c.__file__); c.main(['bench', 'wire'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(str(target))
    assert done.stderr == (
        "syncam: This engine came without the developers' tools that bench and soak need.\n"
        "  fix: Run it from a clone of SynCam\n"
    )


INSTALL = """
import pathlib, sys, bpy
archive = sys.argv[-1]
bpy.context.preferences.system.use_online_access = True
print(bpy.ops.extensions.package_install_files(
    filepath=archive, repo="user_default", enable_on_install=True, overwrite=True))
assert "bl_ext.user_default.syncam" in bpy.context.preferences.addons.keys()
import bl_ext.user_default.syncam.session as session
assert bpy.ops.syncam.generate.poll()
import zmq, msgspec
home = bpy.utils.user_resource("EXTENSIONS")
wheels = {p.name.partition("-")[0] for p in pathlib.Path(home).rglob("*.dist-info")}
assert {"pyzmq", "msgpack", "msgspec", "syncam_link"} <= wheels, wheels
print("INSTALLED", sorted(wheels))
bpy.ops.preferences.addon_disable(module="bl_ext.user_default.syncam")
"""


@pytest.mark.processes
def test_blender_validates_and_installs_the_zip(tmp_path):
    python = find_bpy_python("5.0")
    if python is None:
        pytest.skip("THE ZIP IS NOT INSTALLED IN THIS RUN: no environment with bpy 5.0")
    try:
        wheels = ROOT / "build" / "blender-wheels"
        archive = package.build_zips(tmp_path, wheels=wheels, platforms=["linux-x64"])[0]
    except SynCamError as error:
        pytest.skip(f"THE ZIP IS NOT INSTALLED IN THIS RUN: {error}")
    tool = next(python.parents[1].glob("lib/*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli"))
    checked = subprocess.run(
        [str(python), str(tool / "blender_ext.py"), "validate", str(archive)],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    script = tmp_path / "install.py"
    script.write_text(INSTALL)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["BLENDER_USER_RESOURCES"] = str(tmp_path / "blender")
    done = subprocess.run(
        [str(python), str(script), str(archive)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "INSTALLED" in done.stdout, done.stdout + done.stderr
