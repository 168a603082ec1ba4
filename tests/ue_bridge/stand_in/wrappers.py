# SPDX-License-Identifier: Apache-2.0
"""The hand-written types of the stand-in: names, texts, arrays, delegates, classes, enums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence
from typing import Any


class WrapperBase:
    """Root of the wrapped types: no attributes beside the generated ones."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not isinstance(getattr(type(self), name, None), property):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


class Name(WrapperBase):
    """An FName: compares without case, also with str; is not a str."""

    def __init__(self, value: Any = "None") -> None:
        self._text = str(value)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Name({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Name, str)) and str(self).lower() == str(other).lower()

    def __hash__(self) -> int:
        return hash(self._text.lower())

    def is_none(self) -> bool:
        return self._text.lower() == "none"


class Text(WrapperBase):
    """An FText: str(text) gives the words; is not a str."""

    def __init__(self, value: Any = "") -> None:
        self._text = str(value)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Text({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def is_empty(self) -> bool:
        return not self._text


class Array(WrapperBase, MutableSequence):
    """A TArray: a sequence of one type, not a list."""

    def __init__(self, type: Any, _values: Iterable = ()) -> None:
        self._type, self._items = type, list(_values)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._items[index] = value

    def __delitem__(self, index: Any) -> None:
        del self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def insert(self, index: int, value: Any) -> None:
        self._items.insert(index, value)

    def copy(self) -> Array:
        return Array(self._type, self._items)

    def __eq__(self, other: object) -> bool:
        return (
            list(self) == list(other) if isinstance(other, (Array, list, tuple)) else NotImplemented
        )

    __hash__ = None


class MulticastDelegate(WrapperBase):
    """A dynamic multicast delegate; `broadcast` calls the callables in their order."""

    def __init__(self) -> None:
        self._callables: list[Callable] = []

    def is_bound(self) -> bool:
        return bool(self._callables)

    def add_callable(self, callable: Callable) -> None:
        self._callables.append(callable)

    def add_callable_unique(self, callable: Callable) -> None:
        if callable not in self._callables:
            self._callables.append(callable)

    def remove_callable(self, callable: Callable) -> None:
        if callable in self._callables:
            self._callables.remove(callable)

    def contains_callable(self, callable: Callable) -> bool:
        return callable in self._callables

    def clear(self) -> None:
        self._callables.clear()

    def broadcast(self, *args: Any) -> None:
        for call in list(self._callables):
            call(*args)


class Class(WrapperBase):
    """A UClass: what `X.static_class()` and `object.get_class()` return."""

    def __init__(self, python_type: type) -> None:
        self._python_type = python_type

    def get_name(self) -> str:
        return self._python_type.__name__

    def get_path_name(self) -> str:
        return f"/Script/{getattr(self._python_type, '_module', 'Engine')}.{self.get_name()}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Class) and other._python_type is self._python_type

    def __hash__(self) -> int:
        return hash(self._python_type)


class EnumBase(WrapperBase):
    """An enum member: compares by identity; `name` and `value` as in the API."""

    def __init__(self, name: str, value: int) -> None:
        self._name, self._value = name, value

    @property
    def name(self) -> str:
        return self._name

    @property
    def value(self) -> int:
        return self._value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self._name}: {self._value}>"


class ScopedEditorTransaction:
    """A transaction: a context manager."""

    def __init__(self, desc: Any) -> None:
        self.desc = desc

    def __enter__(self) -> ScopedEditorTransaction:
        return self

    def __exit__(self, type: Any, value: Any, traceback: Any) -> bool:
        return False

    def cancel(self) -> None:
        return None


class ObjectIterator:
    """Iterates the living objects of a class; each module has a subclass with its own editor."""

    def __init__(self, type: Any = None) -> None:
        self._type = type

    def __iter__(self) -> Any:
        editor = self._gen.module._editor
        living = [made for ref in editor.objects if (made := ref()) is not None]
        return iter([made for made in living if isinstance(made, self._type)])
