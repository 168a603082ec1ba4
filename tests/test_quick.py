# SPDX-License-Identifier: Apache-2.0
"""`--quick` leaves out what has the marker and fails what should have it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import multiprocessing, os, subprocess, sys, threading
import pytest

def nothing():
    pass

def start():
    subprocess.run([sys.executable, "-c", ""], check=False)

@pytest.mark.processes
def test_marked():
    start()

def test_plain():
    pass

def test_subprocess():
    start()

def test_swallowed():
    try:
        start()
    except BaseException:
        pass

def test_fork():
    if os.fork() == 0:
        os._exit(0)

@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_multiprocessing(how):
    multiprocessing.get_context(how).Process(target=nothing).start()

@pytest.fixture
def engine():
    start()

def test_fixture(engine):
    pass
"""


@pytest.mark.processes
def test_a_process_without_the_marker_fails_and_one_with_it_is_left_out(tmp_path):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text(TESTS, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = processes\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--quick", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "5 failed, 1 passed, 1 deselected, 1 error" in done.stdout, done.stdout + done.stderr
    assert "PASSED test_it.py::test_plain" in done.stdout
    assert "test_swallowed starts a process (subprocess.Popen): mark it with" in done.stdout
    assert "test_fixture starts a process" in done.stdout
