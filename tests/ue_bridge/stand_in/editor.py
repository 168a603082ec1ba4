# SPDX-License-Identifier: Apache-2.0
"""The editor behind the stand-in: what is loaded, selected, logged, ticking. Tests drive it.

`Editor` is not part of the `unreal` API: the API's behaviours read and change it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Editor:
    """One editor session with one world."""

    def __init__(self, module: Any, version: str, project_dir: Path) -> None:
        self.module = module
        self.version = version
        self.project_dir = Path(project_dir)
        self.log: list[tuple[str, str]] = []
        self.dialogs: list[tuple[str, str]] = []
        self.dialog_answer = "OK"
        self.slate_ticks: dict[int, Callable] = {}
        self.tickers: dict[int, Callable] = {}
        self.shutdown_callbacks: dict[int, Callable] = {}
        self.callback_errors: list[BaseException] = []
        self.assets: dict[str, Any] = {}
        self.saved: set[str] = set()
        self.read_only_content = False
        self.actors: list[Any] = []
        self.unloaded_actors: list[str] = []
        self.selected: list[Any] = []
        self.pie = False
        self.keep_script_alive = False
        self.quit_requested = False
        self.sequence_root: Any = None
        self.frame = 0.0
        self.spawned: dict[tuple, Any] = {}
        self.players: list[Any] = []
        self.queue_suffix = ""
        """What Movie Render Queue puts behind the names of spawnable cameras."""
        self.render_targets: list[Any] = []
        """Those that were made and not released."""
        self.exported: list[Path] = []
        self.export_fails = False
        self.objects: list[Any] = []
        """Weak references to every object, for ObjectIterator."""
        self.subsystems: dict[type, Any] = {}
        self.menus: dict[str, Any] = {}
        self.tabs: dict[str, Any] = {}
        self.commands: list[str] = []
        self._counters: dict[str, itertools.count] = {}
        self._handles = itertools.count(1)
        self.world_to_meters = 100.0
        self.world: Any = None
        self.world_settings: Any = None

    # Names, handles, the clock ---------------------------------------------------------------

    def unique_object_name(self, kind: str) -> str:
        return f"{kind}_{next(self._counters.setdefault(kind, itertools.count()))}"

    def new_handle(self) -> int:
        return next(self._handles)

    def tick(self, delta_s: float = 1.0 / 30.0) -> None:
        """Run one editor frame: media, tickers (5.7), Slate callbacks. Errors are logged."""
        for player in list(self.players):
            player._advance(delta_s)
        for handle, call in list(self.tickers.items()):
            if self._guarded(call, delta_s) is False:
                self.tickers.pop(handle, None)
        for call in list(self.slate_ticks.values()):
            self._guarded(call, delta_s)

    def _guarded(self, call: Callable, *args: Any) -> Any:
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 - the editor logs whatever a callback raises
            self.callback_errors.append(error)
            self.log.append(("error", repr(error)))
            return None

    def shut_down(self) -> None:
        for call in list(self.shutdown_callbacks.values()):
            self._guarded(call)

    # The level ---------------------------------------------------------------------------------

    def open_level(self, package: str = "/Game/Maps/Stage", *, partitioned: bool = False) -> None:
        """Replace the world; every actor of the old one is destroyed."""
        for actor in self.actors:
            destroy(actor)
        self.actors, self.selected, self.spawned = [], [], {}
        if self.world is not None:
            destroy(self.world)
            destroy(self.world_settings)
        kind = self.module._types["World"]
        name = package.rsplit("/", 1)[1]
        self.world = kind(None, name)
        self.world._package = package
        self.world_settings = self.module._types["WorldSettings"](self.world, "WorldSettings")
        self.world_settings._values["world_to_meters"] = self.world_to_meters
        self.world_settings._partitioned = partitioned
        if not package.startswith("/Temp/"):
            self.saved.add(package)

    def add_actor(self, actor: Any, label: str | None = None) -> Any:
        actor._outer = self.persistent_level()
        actor._label = label or self.unique_label(type(actor).__name__)
        self.actors.append(actor)
        return actor

    def persistent_level(self) -> Any:
        if self.world.__dict__.get("_level") is None:
            self.world._level = self.module._types["Level"](self.world, "PersistentLevel")
        return self.world._level

    def unique_label(self, stem: str) -> str:
        taken = {a._label for a in self.actors}
        if stem not in taken:
            return stem
        return next(f"{stem}{i}" for i in itertools.count(2) if f"{stem}{i}" not in taken)

    def remove_actor(self, actor: Any) -> bool:
        if actor not in self.actors:
            return False
        self.actors.remove(actor)
        if actor in self.selected:
            self.selected.remove(actor)
        destroy(actor)
        return True

    def errors(self) -> list[str]:
        return [text for level, text in self.log if level == "error"]


def destroy(thing: Any) -> None:
    """Mark a UObject and its components as gone: any later use raises."""
    for component in thing.__dict__.get("_components", []):
        component._destroyed = True
    thing._destroyed = True
