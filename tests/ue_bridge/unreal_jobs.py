# SPDX-License-Identifier: Apache-2.0
"""A job of the bridge from the panel's fields to playing clips, in the editor's own frames."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from unreal_scenes import place_camera

LIMIT_S = 120.0


def tick_until(editor, condition, limit_s=LIMIT_S, why=lambda: ""):
    """Run the editor's frames until something is so; no callback may raise into the editor."""
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, why()
        editor.tick()
        assert editor.callback_errors == []
        time.sleep(0.003)


def place_rig(unreal, count=4):
    for index in range(count):
        place_camera(
            unreal, f"cam{'ABCDEF'[index]}", (-450, 90 * index, 150), (0, -8, -12 * index),
            width_mm=23.76, height_mm=14.256, focal_mm=24.0,
        )  # fmt: skip


def ready(plugin, editor):
    tick_until(editor, lambda: plugin.client.state == "ready", why=lambda: plugin.client.state)


def generate(plugin, editor, prompt, **fields):
    for name, value in {"prompt": prompt, "source": "all", "seed": "5", **fields}.items():
        setattr(plugin.controller.fields, name, value)
    plugin.controller.generate()
    assert plugin.controller._task, plugin.controller.status
    tick_until(editor, lambda: not plugin.controller._task)
    assert plugin.controller.history, plugin.controller.status
    return plugin.controller.history[0]


def playing(plugin, take="Take1"):
    playback = plugin.host.playbacks.get(take)
    return playback is not None and playback.state == "playing"


def texture_digests(editor, plugin, take="Take1"):
    """Follow each plane of the take from its material to the bytes that its player plays."""
    found = {}
    for camera, plate in plugin.host.playbacks[take].shown.plates.items():
        instance = plate.static_mesh_component.get_material(0)
        texture = instance._textures["MediaTexture"]
        player = texture.get_media_player()
        assert player.is_playing()
        found[camera] = hashlib.sha256(Path(player.get_url()).read_bytes()).hexdigest()
    return found
