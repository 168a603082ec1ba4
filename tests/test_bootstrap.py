# SPDX-License-Identifier: Apache-2.0
"""The set-up's own promises, without setting anything up."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def bootstrap():
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bootstrap"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bootstrap"]


class FailedPip:
    def __init__(self, output):
        self.stdout = output.splitlines(keepends=True)

    def wait(self):
        return 1


def test_it_stands_on_the_standard_library_alone():
    tree = ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"))
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    assert modules <= sys.stdlib_module_names


@pytest.mark.processes
def test_another_python_is_told_which_one_to_use(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "PYTHON", (3, 7))
    monkeypatch.setattr(bootstrap.sys, "argv", ["bootstrap.py", "test"])
    with pytest.raises(bootstrap.SetupError, match=r"needs Python 3\.7 .* this is 3\.\d+: install"):
        bootstrap.main()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching", "no network"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk .* is full"),
        ("Looking\nERROR: No matching distribution found for bpy==9", "No matching distribution"),
    ],
)
def test_a_failed_installation_is_one_sentence(bootstrap, monkeypatch, tmp_path, output, said):
    environment = bootstrap.Environment(label="engine", folder=tmp_path, installs=())
    monkeypatch.setattr(bootstrap.subprocess, "Popen", lambda *a, **k: FailedPip(output))
    with pytest.raises(bootstrap.SetupError, match=said) as caught:
        bootstrap.pip_install(environment, ["bpy==9"])
    assert "\n" not in str(caught.value)
    assert output in environment.log.read_text(encoding="utf-8")


def test_missing_libraries_are_named_with_the_command(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "missing_libraries", lambda: {"libEGL.so.1": "libegl1"})
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: "/usr/bin/apt-get")
    monkeypatch.setattr(bootstrap.os, "geteuid", lambda: 1000, raising=False)
    with pytest.raises(bootstrap.SetupError, match="sudo apt-get install -y libegl1"):
        bootstrap.provide_libraries()
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    with pytest.raises(bootstrap.SetupError, match=r"libEGL\.so\.1"):
        bootstrap.provide_libraries()


def test_a_set_up_is_done_again_when_what_it_depends_on_changed(bootstrap, tmp_path, monkeypatch):
    environment = bootstrap.Environment(label="x", folder=tmp_path, installs=(("msgpack",),))
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    assert not environment.is_ready()
    environment.stamp.write_text(environment.fingerprint(), encoding="utf-8")
    assert environment.is_ready()
    other = bootstrap.Environment(label="x", folder=tmp_path, installs=(("msgpack", "numpy"),))
    assert not other.is_ready()


def test_a_failure_in_one_environment_ends_the_set_up_with_its_sentence(
    bootstrap, monkeypatch, tmp_path, capsys
):
    def set_up(environment, python):
        if environment.label == "bad":
            raise bootstrap.SetupError("bad could not be installed.")

    monkeypatch.setattr(bootstrap, "set_up", set_up)
    environments = [
        bootstrap.Environment(label=label, folder=tmp_path / label, installs=())
        for label in ("good", "bad")
    ]
    with pytest.raises(bootstrap.SetupError, match="bad could not be installed"):
        bootstrap.set_up_all(environments, [sys.executable])
    assert "good: ready" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (["test", "--quick", "-x"], {"engine"}),
        (["test"], {"engine", "5.0", "4.5", "4.2"}),
        (["setup"], {"engine", "5.0"}),
    ],
)
def test_the_quick_tests_need_the_engines_environment_alone(bootstrap, monkeypatch, words, labels):
    asked, tested = [], []
    monkeypatch.setattr(bootstrap, "right_python", lambda: [sys.executable])
    monkeypatch.setattr(bootstrap, "set_up_all", lambda environments, _: asked.extend(environments))
    monkeypatch.setattr(bootstrap, "run_tests", lambda engine, extra: tested.append(extra) or 0)
    monkeypatch.setattr(bootstrap.sys, "argv", ["bootstrap.py", *words])
    monkeypatch.setattr(bootstrap.os, "chdir", lambda folder: None)
    assert bootstrap.main() == 0
    found = {environment.label.split()[1] for environment in asked[1:]} | {
        asked[0].label.split()[0]
    }
    assert found == labels
    assert tested == ([words[1:]] if words[0] == "test" else [])


@pytest.mark.processes
@pytest.mark.parametrize(("words", "said"), [(["--help"], "demo"), (["demo", "--help"], "--seed")])
def test_the_command_line_explains_itself(words, said):
    done = subprocess.run(
        [sys.executable, str(ROOT / "bootstrap.py"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert said in done.stdout
