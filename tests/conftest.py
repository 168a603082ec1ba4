# SPDX-License-Identifier: Apache-2.0
"""`pytest --quick`: only what needs no second process, and so neither Blender nor Ray.

A test that starts a process has the marker `processes` and is left out. The others are held to it:
under --quick, starting a process inside a test fails that test.
"""

from __future__ import annotations

import multiprocessing.process
import sys
import tempfile
from pathlib import Path

import pytest

STARTS = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "subprocess.Popen",
}
"""Python's own audit events for the ways to start a process."""


class Guard:
    """Makes starting a process fail while a test runs, in whatever thread it is tried."""

    def __init__(self):
        self.test: str | None = None
        self.tried: list[str] = []

    def refuse(self, what: str) -> None:
        if self.test is None:
            return
        self.tried.append(what)
        pytest.fail(self.sentence(what))

    def sentence(self, what: str) -> str:
        return (
            f"{self.test} starts a process ({what}): mark it with pytest.mark.processes, so that "
            "--quick leaves it out."
        )

    def install(self) -> None:
        def audit(event: str, arguments: tuple) -> None:
            if event in STARTS:
                self.refuse(event)

        def start(process) -> None:
            # Spawned children are announced by no audit event.
            self.refuse("multiprocessing")
            start_unguarded(process)

        start_unguarded = multiprocessing.process.BaseProcess.start
        multiprocessing.process.BaseProcess.start = start
        sys.addaudithook(audit)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.test = item.nodeid
        try:
            return (yield)
        finally:
            self.test = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        """Fail also where the refusal was caught on its way, or came in another thread."""
        self.tried.clear()
        result = yield
        if self.tried:
            pytest.fail(self.sentence(self.tried[0]))
        return result


@pytest.fixture
def short_tmp():
    """A folder for sockets, whose paths must be short."""
    with tempfile.TemporaryDirectory(prefix="sc-", dir="/tmp") as name:
        yield Path(name)


def pytest_addoption(parser):
    parser.addoption(
        "--quick", action="store_true", help="leave out the tests that start processes"
    )


def pytest_configure(config):
    if config.getoption("--quick"):
        guard = Guard()
        guard.install()
        config.pluginmanager.register(guard)


def pytest_collection_modifyitems(config, items):
    if config.getoption("--quick"):
        slow = [item for item in items if item.get_closest_marker("processes")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("processes")]
