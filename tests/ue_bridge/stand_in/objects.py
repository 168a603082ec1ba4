# SPDX-License-Identifier: Apache-2.0
"""Objects and structs: property storage, copies, editor properties, destroyed objects."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from .wrappers import Array, Class, Name, WrapperBase


def require_alive(self: Any) -> None:
    if not isinstance(self, type) and self.__dict__.get("_destroyed"):
        raise RuntimeError(f"{type(self).__name__}: the object has been destroyed")


def _hook(table: dict, kind: type, name: str) -> Callable | None:
    for base in kind.__mro__:
        if (base.__name__, name) in table:
            return table[(base.__name__, name)]
    return None


def get_value(self: Any, name: str, type_text: str) -> Any:
    """Read a property: structs and arrays come out as copies."""
    gen = type(self)._gen
    hook = _hook(gen.behaviours.getters, type(self), name)
    if hook is not None:
        return gen.coerce(type_text, hook(self), name)
    if name not in self._values:
        self._values[name] = gen.default(type_text, name)
    value = self._values[name]
    if isinstance(value, type):
        return Class(value)
    return value.copy() if isinstance(value, (StructBase, Array)) else value


def set_value(self: Any, name: str, type_text: str, value: Any) -> None:
    gen = type(self)._gen
    where = f"{type(self).__name__}.{name}"
    if type_text.startswith("type("):
        type_text = "Class"
    value = gen.coerce(type_text, value, where)
    hook = _hook(gen.behaviours.setters, type(self), name)
    if hook is not None:
        hook(self, value)
    else:
        self._values[name] = value


class EditorProperties:
    """get_/set_editor_property over the names that the table lists for the class and its bases."""

    def _editor_property(self, name: str) -> tuple[str, bool]:
        for base in type(self).__mro__:
            text = (
                getattr(base, "__dict__", {})
                .get("_entry", {})
                .get("editor_properties", {})
                .get(name)
            )
            if text is not None:
                type_text, _, access = text.rpartition(" ")
                return type_text, access == "RW"
        raise Exception(f"{type(self).__name__}: Failed to find property '{name}'")

    def get_editor_property(self, name: str) -> Any:
        require_alive(self)
        return get_value(self, str(name), self._editor_property(str(name))[0])

    def set_editor_property(self, name: str, value: Any, notify_mode: Any = None) -> None:
        require_alive(self)
        type_text, writable = self._editor_property(str(name))
        if not writable:
            raise Exception(f"{type(self).__name__}: property '{name}' is read-only")
        set_value(self, str(name), type_text, value)
        self.__dict__.get("_edited", lambda: None)()

    def set_editor_properties(self, properties: Mapping[str, Any]) -> None:
        for name, value in properties.items():
            self.set_editor_property(name, value)


class StructBase(EditorProperties, WrapperBase):
    """A struct: a value. Reading one gives a copy; write it back to its owner."""

    _fields: ClassVar[dict[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kind = type(self)
        object.__setattr__(self, "_values", {})
        if not hasattr(kind, "_init_signature"):
            if args or kwargs:
                raise TypeError(f"{kind.__name__} takes no arguments")
            return
        values = kind._gen.bind(kind._init_signature, kind.__name__, args, kwargs)
        hook = kind._gen.behaviours.initialisers.get(kind.__name__)
        if hook is not None:
            hook(self, **values)
        else:
            self._values.update(values)

    def copy(self) -> Any:
        made = type(self).__new__(type(self))
        for name, value in self.__dict__.items():
            object.__setattr__(made, name, value)
        values = {
            k: v.copy() if isinstance(v, (StructBase, Array)) else v
            for k, v in self._values.items()
        }
        object.__setattr__(made, "_values", values)
        return made

    __copy__ = copy

    def to_tuple(self) -> tuple:
        return tuple(get_value(self, name, text) for name, text in self._fields.items())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_tuple() == self.to_tuple()

    __hash__ = None

    def __repr__(self) -> str:
        return f"<Struct {type(self).__name__} {self.to_tuple()}>"


class ObjectBase(EditorProperties, WrapperBase):
    """A UObject: a reference; using one that was destroyed raises RuntimeError."""

    def __init__(self, outer: Any = None, name: Any = "None") -> None:
        kind = type(self)
        object.__setattr__(self, "_values", {})
        self._outer = outer
        self._destroyed = False
        editor = kind._gen.module._editor
        editor.objects.append(weakref.ref(self))
        text = str(name)
        self._name = text if text not in ("", "None") else editor.unique_object_name(kind.__name__)
        for base in reversed(kind.__mro__):
            hook = kind._gen.behaviours.initialisers.get(base.__name__)
            if hook is not None:
                hook(self)

    @classmethod
    def cast(cls, object: Any) -> Any:
        if not isinstance(object, cls):
            raise TypeError(f"cannot cast {type(object).__name__} to {cls.__name__}")
        return object

    @classmethod
    def static_class(cls) -> Class:
        return Class(cls)

    @classmethod
    def get_default_object(cls) -> Any:
        return cls()

    def get_class(self) -> Class:
        require_alive(self)
        return Class(type(self))

    def get_outer(self) -> Any:
        require_alive(self)
        return self._outer

    def get_typed_outer(self, type: Any) -> Any:
        wanted = type._python_type if isinstance(type, Class) else type
        outer = self._outer
        while outer is not None and not isinstance(outer, wanted):
            outer = outer._outer
        return outer

    def get_name(self) -> str:
        require_alive(self)
        return self._name

    def get_fname(self) -> Name:
        return Name(self.get_name())

    def get_path_name(self) -> str:
        require_alive(self)
        if self.__dict__.get("_package"):
            return f"{self._package}.{self._name}"
        outer = self._outer
        if outer is None:
            return f"/Engine/Transient.{self._name}"
        joint = ":" if outer.__dict__.get("_package") else "."
        return f"{outer.get_path_name()}{joint}{self._name}"

    def get_full_name(self) -> str:
        return f"{type(self).__name__} {self.get_path_name()}"

    def get_world(self) -> Any:
        require_alive(self)
        return type(self)._gen.module._editor.world

    def modify(self, always_mark_dirty: bool = True) -> bool:
        require_alive(self)
        return True

    def rename(self, name: Any = "None", outer: Any = None) -> bool:
        self._name, self._outer = str(name), outer or self._outer
        return True

    def __repr__(self) -> str:
        return f"<Object {self._name} Class {type(self).__name__}>"
