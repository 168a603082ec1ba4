# SPDX-License-Identifier: Apache-2.0
"""Logging, ticks, dialogs, menus, Editor Utility Widgets, Python-made classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .generator import BEHAVIOURS as B
from .world import editor_of, types_of


def _log(level: str) -> Any:
    return lambda module, arg: module._editor.log.append((level, str(arg)))


for _name, _level in (("log", "log"), ("log_warning", "warning"), ("log_error", "error")):
    B.function(_name)(_log(_level))


def _register(table: str) -> Any:
    def call(module, callable, **_kwargs):
        handle = module._editor.new_handle()
        getattr(module._editor, table)[handle] = callable
        return handle

    return call


def _unregister(table: str) -> Any:
    return lambda module, handle: getattr(module._editor, table).pop(handle, None) and None


B.function("register_slate_post_tick_callback")(_register("slate_ticks"))
B.function("unregister_slate_post_tick_callback")(_unregister("slate_ticks"))
B.function("register_ticker_callback")(_register("tickers"))
B.function("unregister_ticker_callback")(_unregister("tickers"))
B.function("register_python_shutdown_callback")(_register("shutdown_callbacks"))
B.function("unregister_python_shutdown_callback")(_unregister("shutdown_callbacks"))
B.function("get_interpreter_executable_path")(lambda module: "/opt/UnrealEngine/python3")


@B.function("is_editor")
def _is_editor(module):
    return True


@B.function("new_object")
def _new_object(module, type, outer, name, base_type):
    return type(outer, str(name) or "None")


@B.method("EditorDialog", "show_message")
def _show_message(cls, title, message, message_type, default_value, message_category):
    editor = editor_of(cls)
    editor.dialogs.append((str(title), str(message)))
    for _ in range(editor.__dict__.get("ticks_under_dialogs", 0)):
        editor.tick()  # Slate goes on under a modal dialog.
    return getattr(types_of(cls)["AppReturnType"], editor.dialog_answer)


@B.method("EditorDialog", "show_object_details_view")
def _show_object_details_view(cls, title, out_object, options):
    editor = editor_of(cls)
    editor.dialogs.append((str(title), type(out_object).__name__))
    for name, value in editor.__dict__.get("dialog_fields", {}).items():
        out_object.set_editor_property(name, value)
    return editor.dialog_answer == "OK"


# Menus ----------------------------------------------------------------------------------------


@B.method("ToolMenus", "get")
def _menus_get(cls):
    editor = editor_of(cls)
    if editor.menus.get("") is None:
        editor.menus[""] = types_of(cls)["ToolMenus"]()
    return editor.menus[""]


@B.method("ToolMenus", "extend_menu")
def _extend_menu(self, name):
    menus = editor_of(self).menus
    if str(name) not in menus:
        made = types_of(self)["ToolMenu"]()
        made._values["menu_name"] = name
        made._entries, made._sections, made._owners = {}, [], {}
        menus[str(name)] = made
    return menus[str(name)]


@B.method("ToolMenus", "find_menu")
def _find_menu(self, name):
    return editor_of(self).menus.get(str(name))


@B.method("ToolMenus", "refresh_all_widgets")
def _refresh_all_widgets(self):
    editor_of(self).commands.append("refresh_menus")


@B.method("ToolMenus", "unregister_owner_by_name")
def _unregister_owner_by_name(self, owner_name):
    editor = editor_of(self)
    for key, menu in list(editor.menus.items()):
        if key and str(menu.__dict__.get("_owner", "")) == str(owner_name):
            del editor.menus[key]


@B.method("ToolMenus", "remove_menu")
def _remove_menu(self, menu_name):
    editor_of(self).menus.pop(str(menu_name), None)


@B.method("ToolMenu", "add_section")
def _add_section(self, section_name, label, insert_name, insert_type):
    self._sections.append(str(section_name))


@B.method("ToolMenu", "add_sub_menu")
def _add_sub_menu(self, owner, section_name, name, label, tool_tip):
    made = _extend_menu(_menus_get(types_of(self)["ToolMenus"]), f"{self.menu_name}.{name}")
    made._label, made._owner = str(label), str(owner)
    return made


@B.method("ToolMenu", "add_menu_entry")
def _add_menu_entry(self, section_name, args):
    self._entries[str(args.name)] = args


@B.method("ToolMenuEntry", "set_label")
def _set_label(self, label):
    self._label = str(label)


@B.method("ToolMenuEntry", "set_tool_tip")
def _set_tool_tip(self, tool_tip):
    self._tool_tip = str(tool_tip)


@B.method("ToolMenuEntry", "set_string_command")
def _set_string_command(self, type, custom_type, string):
    self._command = (type.name, string)


# Widgets --------------------------------------------------------------------------------------


@B.initialiser("PanelWidget")
def _panel_init(self):
    self._children = []


@B.method("PanelWidget", "add_child")
def _add_child(self, content):
    self._children.append(content)
    content._parent = self
    kind = "CanvasPanelSlot" if isinstance(self, types_of(self)["CanvasPanel"]) else "PanelSlot"
    content._values["slot"] = types_of(self)[kind](self)
    return content._values["slot"]


@B.method("Widget", "get_parent")
def _get_parent(self):
    return self.__dict__.get("_parent")


@B.method("CanvasPanelSlot", "set_anchors")
def _set_anchors(self, anchors):
    self._anchors = anchors


@B.method("CanvasPanelSlot", "set_offsets")
def _set_offsets(self, offset):
    self._offsets = offset


@B.method("PanelWidget", "clear_children")
def _clear_children(self):
    self._children.clear()


@B.method("PanelWidget", "get_all_children")
def _get_all_children(self):
    return list(self._children)


def _text_behaviours(owner: str) -> None:
    B.method(owner, "set_text")(
        lambda self, **values: self._values.__setitem__("text", next(iter(values.values())))
    )
    B.method(owner, "get_text")(lambda self: self._values.get("text", ""))


for _owner in ("TextBlock", "EditableTextBox", "MultiLineEditableTextBox"):
    _text_behaviours(_owner)
for _owner in ("EditableTextBox", "MultiLineEditableTextBox"):
    B.method(_owner, "set_hint_text")(lambda self, **_values: None)


@B.method("TextBlock", "set_auto_wrap_text")
def _set_auto_wrap_text(self, auto_text_wrap):
    self._wraps = auto_text_wrap


@B.method("ProgressBar", "set_percent")
def _set_percent(self, percent):
    self._values["percent"] = percent


@B.method("Widget", "set_is_enabled")
def _set_is_enabled(self, is_enabled):
    self._values["is_enabled"] = is_enabled


@B.method("Widget", "set_tool_tip_text")
def _set_tool_tip_text(self, tool_tip_text):
    self._values["tool_tip_text"] = tool_tip_text


@B.initialiser("ComboBoxString")
def _combo_init(self):
    self._options, self._selected = [], ""


@B.method("ComboBoxString", "add_option")
def _add_option(self, option):
    self._options.append(option)


@B.method("ComboBoxString", "clear_options")
def _clear_options(self):
    self._options.clear()


@B.method("ComboBoxString", "set_selected_option")
def _set_selected_option(self, option):
    self._selected = option


@B.method("ComboBoxString", "get_selected_option")
def _get_selected_option(self):
    return self._selected


@B.method("ComboBoxString", "get_option_count")
def _get_option_count(self):
    return len(self._options)


@B.initialiser("EditorUtilityWidgetBlueprint")
def _blueprint_init(self):
    """The factory compiles first and adds its root panel after: nothing of it is compiled yet."""
    self._design, self._compiled = [], []
    if editor_of(self).__dict__.get("euw_has_panel", True):
        tree = types_of(self)["WidgetTree"](self, "WidgetTree")
        root = types_of(self)["CanvasPanel"](tree, "CanvasPanel_7")
        self._design.append((type(root), "CanvasPanel_7", ""))
        self._source_panel = root


@B.method("BlueprintEditorLibrary", "compile_blueprint")
def _compile_blueprint(cls, blueprint):
    blueprint._compiled = list(blueprint._design)


@B.method("EditorUtilityLibrary", "add_source_widget")
def _add_source_widget(cls, widget_blueprint, widget_class, widget_name, widget_parent_name):
    names = [name for _kind, name, _parent in widget_blueprint._design]
    parent = str(widget_parent_name)
    is_root = parent in ("", "None")
    if str(widget_name) in names or (names if is_root else parent not in names):
        return None
    widget_blueprint._design.append((widget_class, str(widget_name), "" if is_root else parent))
    return widget_class(widget_blueprint, str(widget_name))


@B.method("EditorUtilityLibrary", "find_source_widget_by_name")
def _find_source_widget_by_name(cls, widget_blueprint, widget_name):
    for kind, name, _parent in widget_blueprint._design:
        if name == str(widget_name):
            made = kind(None, name)
            made._parent = made
            return made
    return None


def _instance_of(editor: Any, blueprint: Any) -> Any:
    """A widget holds copies of what was compiled, in a tree with a number of its own."""
    widget = editor.module._types["EditorUtilityWidget"]()
    tree = editor.module._types["WidgetTree"](widget, f"WidgetTree_{len(editor.tabs) + 31}")
    widget._design_instances = {}
    for kind, name, parent in blueprint._compiled:
        made = kind(tree, name)
        widget._design_instances[name] = made
        if parent:
            widget._design_instances[parent].add_child(made)
    return widget


@B.method("EditorUtilitySubsystem", "spawn_and_register_tab_and_get_id")
def _spawn_tab(self, blueprint):
    editor = editor_of(self)
    tab = f"{blueprint.get_path_name()}_ActiveTab"
    editor.tabs[tab] = (blueprint, _instance_of(editor, blueprint))
    return editor.tabs[tab][1], tab


@B.method("EditorUtilitySubsystem", "does_tab_exist")
def _does_tab_exist(self, new_tab_id):
    return str(new_tab_id) in editor_of(self).tabs


@B.method("EditorUtilitySubsystem", "close_tab_by_id")
def _close_tab_by_id(self, new_tab_id):
    return editor_of(self).tabs.pop(str(new_tab_id), None) is not None


@B.method("EditorUtilitySubsystem", "find_utility_widget_from_blueprint")
def _find_utility_widget(self, blueprint):
    return next((w for b, w in editor_of(self).tabs.values() if b is blueprint), None)


@B.method("EditorUtilityWidget", "find_child_widget_by_name")
def _find_child_widget_by_name(self, widget_name):
    return self._design_instances.get(str(widget_name))


@B.method("RenderingLibrary", "import_file_as_texture2d")
def _import_file_as_texture2d(cls, world_context_object, filename):
    data = Path(filename).read_bytes()
    if not data.startswith(b"\x89PNG"):
        return None
    made = cls._gen.type_named("Texture2D")(None, "Texture2D_0")
    made._bytes = data
    return made


@B.method("Image", "set_brush_from_texture")
def _set_brush_from_texture(self, texture, match_size):
    self._texture = texture


# Classes made in Python -----------------------------------------------------------------------


class _Property:
    def __init__(self, type_text: str) -> None:
        self.type_text = type_text


@B.function("uproperty")
def _uproperty(module, type, meta, getter, setter):
    return _Property({str: "str", int: "int", float: "float", bool: "bool"}[type])


@B.function("uclass")
def _uclass(module):
    def decorate(kind: type) -> type:
        entries = {}
        for name, value in list(vars(kind).items()):
            if isinstance(value, _Property):
                entries[name] = f"{value.type_text} RW"
                delattr(kind, name)
        kind._entry = {"editor_properties": entries}
        return kind

    return decorate
