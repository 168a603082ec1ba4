# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests that run in a Python with bpy; the add-on is enabled once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session", autouse=True)
def addon(tmp_path_factory):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module="blender_addon")
    import blender_addon
    from blender_addon import session

    empty = tmp_path_factory.mktemp("empty") / "empty.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(empty), copy=True)
    yield empty
    stop_engine(session.get())
    bpy.ops.preferences.addon_disable(module="blender_addon")
    assert blender_addon is not None


def stop_engine(state) -> None:
    if state.launcher is not None:
        state.launcher.stop()


@pytest.fixture
def scene(addon):
    """An empty, unsaved scene."""
    bpy.ops.wm.open_mainfile(filepath=str(addon))
    # An opened file has a path; a new one has none.
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 320, 192
    scene.render.fps = 24
    from blender_addon import session

    session.get().error = None
    return scene


@pytest.fixture
def plaza(addon, tmp_path):
    """The demo scene, saved in a folder of its own."""
    bpy.ops.wm.open_mainfile(filepath=str(ROOT / "examples" / "plaza.blend"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    from blender_addon import session

    session.get().error = None
    return bpy.context.scene


@pytest.fixture
def state():
    from blender_addon import session

    return session.get()


def add_camera(scene, name="Camera", location=(0.0, -6.0, 1.5), rotation=(1.4, 0.0, 0.0)):
    thing = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    thing.location, thing.rotation_euler = location, rotation
    scene.collection.objects.link(thing)
    return thing


def tick_until(state, condition, limit_s=150.0):
    """Tick as the timer does until `condition()` holds."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        state.tick()
        assert time.monotonic() < deadline_s, f"not within {limit_s} s: {state.engine}"
        time.sleep(0.005)


def sentence_of(excinfo) -> str:
    """The sentence that an operator reported; Blender raises it in scripts."""
    return str(excinfo.value).removeprefix("Error: ").strip()


class other_engine:
    """Another state folder for a while, so that the shared engine is not seen."""

    def __init__(self, state, monkeypatch, tmp_path):
        self.state, self.monkeypatch, self.folder = state, monkeypatch, tmp_path / "other"

    def __enter__(self):
        self.kept = os.environ["SYNCAM_STATE_DIR"]
        self.launcher = self.state.launcher
        client = self.state.client
        self.is_running = client is not None and client.state in ("ready", "loading")
        self.state.disconnect()
        self.monkeypatch.setenv("SYNCAM_STATE_DIR", str(self.folder))

    def __exit__(self, *_):
        if self.state.launcher is not None:
            self.state.launcher.stop()
        self.state.disconnect()
        self.monkeypatch.setenv("SYNCAM_STATE_DIR", self.kept)
        self.monkeypatch.undo()
        self.state.error = None
        self.state.connect()
        if self.is_running:
            # Its launcher's clock began when it started the engine: to it, a new client that has
            # not heard from an engine so old never will.
            tick_until(self.state, lambda: self.state.client.hello is not None)
        if self.launcher is not None:
            # It started the shared engine, and ends it after the last test.
            self.launcher.client = self.state.client
            self.state.launcher = self.launcher
