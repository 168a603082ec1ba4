# SPDX-License-Identifier: Apache-2.0
"""The panel as an Editor Utility Widget, by the route that this engine allows.

1. 5.7: the widget tree is authored from Python and saved with the asset.
2. Older: an Editor Utility Widget with its one default panel is made on first run, and the panel is
   filled each time it opens; what is put into it at run time is not saved.
Where neither gives a panel the menus of `panel_menu.py` do the same work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import unreal

from . import compat, panel_layout, preconditions
from .assets import AssetMaker
from .controller import Controller
from .panel_state import PanelView

FOLDER = "/Game/SynCam"


class PanelWidget:
    """An open panel: draws views, hands clicks and fields to the controller.

    The instance holds its widgets and callables: the editor would let them go.
    """

    def __init__(self, controller: Controller, widgets: dict[str, unreal.Widget], tab: str) -> None:
        self.controller, self.tab = controller, tab
        self._widgets = widgets
        self._calls: list[Callable[[], None]] = []
        self._drawn: PanelView | None = None
        self._listed: dict[str, str] = {}
        self._folder = preconditions.saved_dir() / "SynCam"
        self._preview: unreal.Object | None = None
        self._pictures_shown = 0
        for item in panel_layout.ITEMS:
            self._prepare(item, widgets[item.name])

    def _prepare(self, item: panel_layout.Item, widget: Any) -> None:
        if item.text:
            widget.set_text(item.text)
        if item.kind == "TextBlock":
            widget.set_auto_wrap_text(True)
        for option in item.options:
            widget.add_option(option)
        if item.field:
            self._set_field(widget, item, getattr(self.controller.fields, item.field))
            if item.hint:
                widget.set_hint_text(item.hint)
        if item.action:
            call = self._click_of(item)
            self._calls.append(call)
            widget.on_clicked.add_callable(call)

    def _click_of(self, item: panel_layout.Item) -> Callable[[], None]:
        def clicked() -> None:
            self.read_fields()
            action = getattr(self.controller, item.action)
            if item.of_job:
                action(self._chosen_job())
            else:
                action()

        return clicked

    def _chosen_job(self) -> str:
        return self._listed.get(str(self._widgets["History"].get_selected_option()), "")

    def read_fields(self) -> None:
        """Bring what stands in the widgets into the controller's fields."""
        for item in panel_layout.ITEMS:
            if item.field:
                widget = self._widgets[item.name]
                combo = item.kind == "ComboBoxString"
                value = widget.get_selected_option() if combo else widget.get_text()
                setattr(self.controller.fields, item.field, str(value))

    def _set_field(self, widget: Any, item: panel_layout.Item, value: str) -> None:
        if item.kind == "ComboBoxString":
            widget.set_selected_option(value)
        else:
            widget.set_text(value)

    def draw(self, view: PanelView) -> None:
        """Show a view; widgets whose part of it is unchanged are left alone."""
        for item in panel_layout.ITEMS:
            if item.shows and self._changed(view, item.shows):
                self._show(item, getattr(view, item.shows))
            if item.enabled and self._changed(view, item.enabled):
                self._widgets[item.name].set_is_enabled(getattr(view, item.enabled))
        self._drawn = view

    def _changed(self, view: PanelView, name: str) -> bool:
        return self._drawn is None or getattr(view, name) != getattr(self._drawn, name)

    def _show(self, item: panel_layout.Item, value: Any) -> None:
        widget = self._widgets[item.name]
        if item.kind == "ProgressBar":
            widget.set_percent(value)
        elif item.kind == "Image":
            self._show_preview(widget)
        elif item.kind == "ComboBoxString":
            self._show_history(widget, dict(value))
        else:
            widget.set_text(value)

    def _show_history(self, widget: unreal.ComboBoxString, labels: dict[str, str]) -> None:
        """List the jobs; the one that is chosen stays so when its label, or another's, changes."""
        chosen = self._chosen_job()
        widget.clear_options()
        for label in labels.values():
            widget.add_option(label)
        self._listed = {label: job_id for job_id, label in labels.items()}
        widget.set_selected_option(labels.get(chosen, next(iter(labels.values()), "")))

    def _show_preview(self, widget: unreal.Image) -> None:
        """Put the job's newest previews into the picture, by a file that the editor reads."""
        png = self.controller.preview_png()
        if not png:
            return
        # Two files in turn: the editor may still hold the one that is shown.
        self._pictures_shown += 1
        path = self._folder / f"preview{self._pictures_shown % 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        world = unreal.get_editor_subsystem(unreal.UnrealEditorSubsystem).get_editor_world()
        texture = unreal.RenderingLibrary.import_file_as_texture2d(world, str(path))
        if texture is not None:
            self._preview = texture
            widget.set_brush_from_texture(texture, True)

    def is_open(self) -> bool:
        """Return whether the tab still exists; a closed one takes its widgets with it."""
        subsystem = unreal.get_editor_subsystem(unreal.EditorUtilitySubsystem)
        return subsystem.does_tab_exist(self.tab)

    def close(self) -> None:
        unreal.get_editor_subsystem(unreal.EditorUtilitySubsystem).close_tab_by_id(self.tab)


def open_panel(controller: Controller) -> PanelWidget | None:
    """Open the panel; None where this editor gives no way to fill one."""
    opened = _open_authored(controller) if compat.has_widget_authoring() else None
    return opened or _open_filled(controller)


def _blueprint(name: str) -> unreal.EditorUtilityWidgetBlueprint:
    maker = AssetMaker()
    factory = unreal.EditorUtilityWidgetBlueprintFactory()
    factory.set_editor_property("parent_class", unreal.EditorUtilityWidget)
    return maker.get_or_make(f"{FOLDER}/{name}", unreal.EditorUtilityWidgetBlueprint, factory)


def _spawn(blueprint: unreal.EditorUtilityWidgetBlueprint) -> tuple:
    """Return (widget, tab id). Compiled first: the factory adds its root after its own compile, and
    an instance has only what was compiled."""
    unreal.BlueprintEditorLibrary.compile_blueprint(blueprint)
    unreal.EditorAssetLibrary.save_loaded_asset(blueprint)
    subsystem = unreal.get_editor_subsystem(unreal.EditorUtilitySubsystem)
    return subsystem.spawn_and_register_tab_and_get_id(blueprint)


def _open_authored(controller: Controller) -> PanelWidget | None:
    """Route 1: the tree is part of the asset; built where a widget of the layout is missing."""
    blueprint = _blueprint(f"EUW_SynCam_{panel_layout.VERSION}")
    library = unreal.EditorUtilityLibrary
    for item in panel_layout.ITEMS:
        if library.find_source_widget_by_name(blueprint, item.name) is not None:
            continue
        kind = getattr(unreal, item.kind)
        made = library.add_source_widget(blueprint, kind, item.name, item.parent)
        root = _root_panel(blueprint, unreal.EditorUtilityWidgetBlueprint)
        if made is None and not item.parent and root is not None:
            # The factory gave the asset a root of its own: ours goes into it.
            library.add_source_widget(blueprint, kind, item.name, root.get_name())
    widget, tab = _spawn(blueprint)
    found = {item.name: widget.find_child_widget_by_name(item.name) for item in panel_layout.ITEMS}
    if any(part is None for part in found.values()):
        unreal.get_editor_subsystem(unreal.EditorUtilitySubsystem).close_tab_by_id(tab)
        return None
    _fill_canvas(found["Root"].slot)
    return PanelWidget(controller, found, str(tab))


def _open_filled(controller: Controller) -> PanelWidget | None:
    """Route 2: find the asset's one panel and fill it now."""
    widget, tab = _spawn(_blueprint("EUW_SynCam_Panel"))
    panel = _root_panel(widget, unreal.EditorUtilityWidget) or _panel_named_root(widget)
    if panel is None:
        unreal.get_editor_subsystem(unreal.EditorUtilitySubsystem).close_tab_by_id(tab)
        return None
    panel.clear_children()
    made: dict[str, unreal.Widget] = {}
    for item in panel_layout.ITEMS:
        part = unreal.new_object(
            getattr(unreal, item.kind), outer=widget, name=f"SynCam{item.name}"
        )
        made[item.name] = part
        slot = (made[item.parent] if item.parent else panel).add_child(part)
        if not item.parent:
            _fill_canvas(slot)
    return PanelWidget(controller, made, str(tab))


def _root_panel(owner: unreal.Object, kind: type) -> unreal.PanelWidget | None:
    """Return the panel without a parent inside `owner`. A widget's tree is closed to Python, so it
    is looked for among all panels."""
    for panel in unreal.ObjectIterator(unreal.PanelWidget):
        if panel.get_typed_outer(kind) == owner and panel.get_parent() is None:
            return panel
    return None


def _panel_named_root(widget: unreal.EditorUtilityWidget) -> unreal.PanelWidget | None:
    """Return the panel of an asset that somebody made by hand: a variable called Root."""
    try:
        found = widget.get_editor_property("Root")
    except Exception:  # noqa: BLE001 - the editor raises plain Exception for a property it lacks
        return None
    return found if isinstance(found, unreal.PanelWidget) else None


def _fill_canvas(slot: unreal.PanelSlot) -> None:
    """Let a child of a canvas take the whole of it; its own default is 100 x 30."""
    if isinstance(slot, unreal.CanvasPanelSlot):
        slot.set_anchors(unreal.Anchors([0.0, 0.0], [1.0, 1.0]))
        slot.set_offsets(unreal.Margin(0.0, 0.0, 0.0, 0.0))
