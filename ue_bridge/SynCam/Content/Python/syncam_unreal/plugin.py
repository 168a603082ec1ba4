# SPDX-License-Identifier: Apache-2.0
"""Starts and stops SynCam in the editor: one instance, one ticker, clean on reload and shutdown."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

import unreal

from syncam_engine.link.client import EngineClient
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.launch import EngineLauncher

from . import compat, panel_menu, panel_widget
from .controller import Controller
from .panel_state import PanelFields, read_history
from .unreal_host import UnrealHost

DRAW_INTERVAL_S = 0.2

# importlib.reload keeps a module's names: start() finds the running instance and stops it.
running: Plugin | None = globals().get("running")


class Plugin:
    """The running bridge."""

    def __init__(self, *, state_dir: Path | None = None, dialogs: bool = True) -> None:
        self.host = UnrealHost(dialogs=dialogs)
        saved = self.host.load()
        fields = PanelFields.from_dict(saved.get("fields", {}))
        self.client = self._connect(fields.endpoint, state_dir, saved.get("client_id"))
        self.launcher = EngineLauncher(self.client, state_dir=state_dir)
        self.controller = Controller(
            self.host,
            self.client,
            self.launcher,
            fields=fields,
            history=read_history(saved.get("history")),
        )
        self.panel: panel_widget.PanelWidget | None = None
        self._undrawn_s = 0.0
        self._closed = False
        self._ticking = False
        level = unreal.get_editor_subsystem(unreal.LevelEditorSubsystem)
        self._map_changed = getattr(level, "on_map_changed", None)
        if self._map_changed is not None:
            self._map_changed.add_callable(self._on_map_changed)
        panel_menu.add_menus()
        self._shutdown = unreal.register_python_shutdown_callback(self.close)
        self._ticker = compat.Ticker(self.tick)

    def _connect(self, endpoint: str, state_dir: Path | None, client_id: object) -> EngineClient:
        """Return a client of the engine of the settings, or of this machine's if that is wrong."""
        options = {
            "state_dir": state_dir,
            "client_name": "Unreal " + ".".join(map(str, compat.engine_version())),
            "client_id": client_id if isinstance(client_id, str) and client_id else None,
        }
        try:
            return EngineClient(endpoint or None, **options)
        except SynCamError as error:
            self.host.log("error", f"{error.sentence} This machine's engine is used instead.")
            return EngineClient(None, **options)

    def tick(self, delta_s: float) -> None:
        """One editor frame. A fault of SynCam's own stops it, said once, and never the editor."""
        if self._ticking:
            return  # A dialog of our own is open: the editor ticks on beneath it.
        self._ticking = True
        try:
            self._tick(delta_s)
        except SynCamError as error:
            self.controller.status = error.sentence
            self.host.log("error", error.sentence)
            self.host.tell("The clips cannot be played", error.sentence)
        except Exception as error:  # noqa: BLE001 - an editor callback must not raise every frame
            self._ticker.stop()
            self.host.log("error", traceback.format_exc())
            self.host.tell(
                "SynCam stopped",
                f"SynCam stopped: {error}. The Output Log says more; "
                "Tools > SynCam > Reload starts it again.",
            )
        finally:
            self._ticking = False

    def _tick(self, delta_s: float) -> None:
        self.controller.tick()
        self.host.tick(delta_s)
        self._undrawn_s += delta_s
        if self.panel is not None and self._undrawn_s >= DRAW_INTERVAL_S:
            self._undrawn_s = 0.0
            if self.panel.is_open():
                self.panel.draw(self.controller.view())
            else:
                self.panel = None
        elif self._undrawn_s >= DRAW_INTERVAL_S:
            self._undrawn_s = 0.0
            self.launcher.status()  # Starting the engine advances here when no panel is drawn.

    def open_panel(self) -> None:
        """Open the panel, or say that the menus do its work."""
        self.panel = panel_widget.open_panel(self.controller)
        if self.panel is None:
            self.host.log("warning", "This editor gives no way to fill a panel; use the menus.")
            panel_menu.show_status(self.controller)
        else:
            self.panel.draw(self.controller.view())

    def _on_map_changed(self, *_flags: Any) -> None:
        self.controller.level_changed()
        self.host.forget_level()

    def close(self) -> None:
        """Stop everything that the editor calls; twice is the same as once."""
        if self._closed:
            return
        self._closed = True
        self._ticker.stop()
        if self.panel is not None and self.panel.is_open():
            self.panel.read_fields()
        if self._map_changed is not None:
            self._map_changed.remove_callable(self._on_map_changed)
        self.host.forget_level()
        self.controller.close()
        panel_menu.remove_menus()
        unreal.unregister_python_shutdown_callback(self._shutdown)


def start(**options: Any) -> Plugin | None:
    """Start SynCam, stopping the instance that runs; None, and why in the log, where it cannot."""
    global running
    stop()
    try:
        compat.check_engine()
        running = Plugin(**options)
    except SynCamError as error:
        unreal.log_error(f"SynCam: {error.sentence} {error.fix or ''}".rstrip())
        return None
    return running


def stop() -> None:
    """Stop the instance that runs, if one does."""
    global running
    if running is not None:
        running.close()
        running = None


def reload() -> Plugin | None:
    """Stop, load every file of the bridge again, start."""
    stop()
    for name in [n for n in sys.modules if n.startswith("syncam_unreal.")]:
        del sys.modules[name]
    return importlib.import_module("syncam_unreal.plugin").start()


def run(command: str) -> None:
    """What a menu entry calls."""
    if command == "reload":
        reload()
        return
    instance = running or start()
    if instance is None:
        return
    controller = instance.controller
    if command == "panel":
        instance.open_panel()
    elif command == "generate":
        panel_menu.generate(controller)
    elif command == "status":
        panel_menu.show_status(controller)
    elif command == "self_test":
        from . import self_test

        report = self_test.run(instance.host)
        instance.host.tell("Self-test", f"The report is in {report}")
    else:
        getattr(controller, command)()
