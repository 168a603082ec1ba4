# SPDX-License-Identifier: Apache-2.0
"""Types of a stand-in `unreal` module, generated from a table of the real API.

Every class, method, argument name, default, enum value and writability comes from the table; what a
method *does* comes from functions registered in `Behaviours` by the other files of this package. A
name that the table lacks raises AttributeError, a method without behaviour NotImplementedError, an
argument of the wrong type TypeError, a write to a read-only property AttributeError.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .objects import ObjectBase, StructBase, get_value, require_alive, set_value
from .wrappers import (
    Array,
    Class,
    EnumBase,
    MulticastDelegate,
    Name,
    ObjectIterator,
    ScopedEditorTransaction,
    Text,
    WrapperBase,
)


class Behaviours:
    """What the generated members do: filled once by the behaviour files."""

    def __init__(self) -> None:
        self.methods: dict[tuple[str, str], Callable] = {}
        self.functions: dict[str, Callable] = {}
        self.getters: dict[tuple[str, str], Callable] = {}
        self.setters: dict[tuple[str, str], Callable] = {}
        self.initialisers: dict[str, Callable] = {}

    def method(self, owner: str, name: str) -> Callable:
        return lambda f: self.methods.setdefault((owner, name), f)

    def function(self, name: str) -> Callable:
        return lambda f: self.functions.setdefault(name, f)

    def getter(self, owner: str, name: str) -> Callable:
        return lambda f: self.getters.setdefault((owner, name), f)

    def setter(self, owner: str, name: str) -> Callable:
        return lambda f: self.setters.setdefault((owner, name), f)

    def initialiser(self, owner: str) -> Callable:
        return lambda f: self.initialisers.setdefault(owner, f)


BEHAVIOURS = Behaviours()


SCALARS = {
    "float": (float, 0.0),
    "double": (float, 0.0),
    "int": (int, 0),
    "int32": (int, 0),
    "uint8": (int, 0),
    "int64": (int, 0),
    "bool": (bool, False),
    "str": (str, ""),
}
OPAQUE = {"object", "Any", "Callable", "TracebackType", "Mapping"}


class Generator:
    """Builds the module's types from a table (see surface/README.md for its form)."""

    def __init__(self, table: dict, behaviours: Behaviours = BEHAVIOURS) -> None:
        self.table = table
        self.behaviours = behaviours
        self.types: dict[str, type] = {
            "_WrapperBase": WrapperBase,
            "Name": Name,
            "Text": Text,
            "Array": Array,
            "Class": Class,
            "EnumBase": EnumBase,
            "MulticastDelegateBase": MulticastDelegate,
            "object": object,
            "StructBase": StructBase,
            "_ObjectBase": ObjectBase,
            "ScopedEditorTransaction": ScopedEditorTransaction,
            "ObjectIterator": type("ObjectIterator", (ObjectIterator,), {"_gen": self}),
        }
        self.opaque: dict[str, type] = {}
        self.module: Any = None
        for name in table["classes"]:
            self.type_named(name)

    def type_named(self, name: str) -> type:
        """Return the generated type; a name that only types mention becomes an opaque object."""
        if name in self.types:
            return self.types[name]
        entry = self.table["classes"].get(name)
        if entry is None:
            if name not in self.opaque:
                base = self.type_named("Object")
                self.opaque[name] = type(name, (base,), {"_entry": {}, "_module": "Engine"})
            return self.opaque[name]
        bases = tuple(self.type_named(b) for b in entry["bases"])
        made = {"enum": self._make_enum, "struct": self._make_struct}.get(
            entry["kind"], self._make_class
        )
        self.types[name] = made(name, bases, entry)
        return self.types[name]

    def _make_enum(self, name: str, bases: tuple, entry: dict) -> type:
        made = type(name, bases, {"_entry": entry})
        for member, value in entry["enum_values"].items():
            setattr(made, member, made(member, value))
        return made

    def _make_struct(self, name: str, bases: tuple, entry: dict) -> type:
        made = type(name, bases, self._namespace(name, entry))
        fields = {}
        for base in reversed(made.__mro__):
            own = base.__dict__.get("_entry", {})
            for kind in ("properties", "editor_properties"):
                for field, text in own.get(kind, {}).items():
                    fields.setdefault(field, text.split(" ")[0])
        made._fields = fields
        return made

    def _make_class(self, name: str, bases: tuple, entry: dict) -> type:
        return type(name, bases, self._namespace(name, entry))

    def _namespace(self, name: str, entry: dict) -> dict:
        space: dict[str, Any] = {
            "_entry": entry,
            "_module": entry.get("module", "Engine"),
            "_gen": self,
        }
        for member, text in entry.get("methods", {}).items():
            space[member] = make_method(self, name, member, text)
        for member, text in entry.get("properties", {}).items():
            type_text, _, _ = text.partition(" (get only)")
            space[member] = make_property(self, name, member, type_text, " (get only)" in text)
        for member in ("__eq__", "__ne__"):
            space.pop(member, None)
        if "__init__" in space and name not in ("StructBase", "_ObjectBase", "_WrapperBase"):
            space["_init_signature"] = parse_signature(entry["methods"]["__init__"])
        space.pop("__init__", None)
        return space

    def bind(self, definition: ast.FunctionDef, where: str, args: tuple, kwargs: dict) -> dict:
        return bind(self, definition, where, args, kwargs)

    # Conversion of values ------------------------------------------------------------------

    def default(self, annotation: str, member: str = "") -> Any:
        """Return a fresh default of a type."""
        base = annotation.split("[")[0]
        if base in SCALARS:
            return SCALARS[base][1]
        if base in ("Array", "Set"):
            return Array(annotation[6:-1])
        if base == "Map":
            return {}
        if base == "Name":
            return Name()
        if base == "Text":
            return Text()
        if base not in self.table["classes"] and member.startswith("on_"):
            return MulticastDelegate()
        kind = self.table["classes"].get(base, {}).get("kind")
        if kind == "struct":
            return self.type_named(base)()
        if kind == "enum":
            made = self.type_named(base)
            return getattr(made, next(iter(self.table["classes"][base]["enum_values"])))
        return None

    def coerce(self, annotation: ast.expr | str | None, value: Any, where: str) -> Any:
        """Return `value` as the API would take it, or raise TypeError naming the place."""
        if annotation is None:
            return value
        if isinstance(annotation, str):
            annotation = ast.parse(
                annotation.split(" ")[0] if "(" in annotation else annotation, mode="eval"
            ).body
        if isinstance(annotation, ast.Constant):
            return value
        if isinstance(annotation, ast.Subscript):
            return self._coerce_generic(annotation, value, where)
        name = annotation.id if isinstance(annotation, ast.Name) else ast.unparse(annotation)
        wrong = TypeError(f"{where}: cannot take {type(value).__name__} {value!r} as {name}")
        if name in OPAQUE or name.startswith("_") or name == "None":
            return value
        if name in SCALARS:
            return _scalar(SCALARS[name][0], value, wrong)
        if name == "Name":
            return value if isinstance(value, Name) else Name(_scalar(str, value, wrong))
        if name == "Text":
            return value if isinstance(value, Text) else Text(_scalar(str, value, wrong))
        if name in ("Class", "type"):
            python_type = value._python_type if isinstance(value, Class) else value
            if value is not None and not isinstance(python_type, type):
                raise wrong
            return python_type
        return self._coerce_named(name, value, wrong)

    def _coerce_named(self, name: str, value: Any, wrong: TypeError) -> Any:
        made = self.type_named(name)
        if isinstance(value, MulticastDelegate):
            return value
        kind = self.table["classes"].get(name, {}).get("kind")
        if kind == "struct":
            if isinstance(value, made):
                return value.copy()
            if isinstance(value, Mapping):
                return made(**value)
            if isinstance(value, (list, tuple)):
                return made(*value)
            raise wrong
        if kind == "enum":
            if type(value) is not made:
                raise wrong
            return value
        if value is not None and not isinstance(value, made):
            raise wrong
        return value

    def _coerce_generic(self, annotation: ast.Subscript, value: Any, where: str) -> Any:
        outer = ast.unparse(annotation.value)
        inner = annotation.slice
        if outer in ("Optional", "Union"):
            options = [inner] if outer == "Optional" else list(inner.elts)
            if value is None:
                return None
            for option in options:
                try:
                    return self.coerce(option, value, where)
                except TypeError:
                    continue
            raise TypeError(f"{where}: cannot take {value!r} as {ast.unparse(annotation)}")
        if outer in ("Array", "Set", "Iterable"):
            if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
                raise TypeError(f"{where}: cannot take {value!r} as {ast.unparse(annotation)}")
            return Array(ast.unparse(inner), [self.coerce(inner, item, where) for item in value])
        if outer == "Map":
            key, item = inner.elts
            return {
                self.coerce(key, k, where): self.coerce(item, v, where) for k, v in value.items()
            }
        if outer == "Tuple":
            return tuple(self.coerce(e, v, where) for e, v in zip(inner.elts, value, strict=True))
        if outer == "type":
            return self.coerce("Class", value, where)
        return value

    def default_of(self, node: ast.expr, annotation: ast.expr | None, where: str) -> Any:
        """Evaluate a default of the table in the module's terms."""
        text = ast.unparse(node)
        if text == "...":
            return None
        if text.endswith(".static_class()"):
            return self.type_named(text.removesuffix(".static_class()"))
        head = text.split(".")[0]
        if (
            "." in text
            and (head in self.table["classes"] or not text[0].isdigit())
            and text[0].isupper()
        ):
            return getattr(self.type_named(head), text.split(".")[1], None)
        value = self._literal(node)
        if annotation is None or value is None:
            return value
        if ast.unparse(annotation).split("[")[0] in self.table["classes"] or not isinstance(
            value, list
        ):
            return self.coerce(annotation, value, where)
        return value if ast.unparse(annotation)[:5] not in ("Array",) else Array("object", value)

    def _literal(self, node: ast.expr) -> Any:
        if isinstance(node, ast.List):
            return [self._literal(e) for e in node.elts]
        if isinstance(node, ast.Attribute):
            return getattr(self.type_named(ast.unparse(node.value)), node.attr, None)
        return ast.literal_eval(node)


def _scalar(wanted: type, value: Any, wrong: TypeError) -> Any:
    if wanted is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong
        return float(value)
    if wanted is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong
        return value
    if wanted is str:
        if not isinstance(value, (str, Name, Text)):
            raise wrong
        return str(value)
    if not isinstance(value, bool):
        raise wrong
    return value


def parse_signature(text: str) -> ast.FunctionDef:
    """Return the parsed form of a table's signature, '@classmethod (cls, a: int=0) -> bool'."""
    return ast.parse(f"def f{text.removeprefix('@classmethod ')}: ...").body[0]


def bind(
    gen: Generator, definition: ast.FunctionDef, where: str, args: tuple, kwargs: dict
) -> dict:
    """Return argument values by name, as the call would bind them. Raises TypeError."""
    parameters = [p for p in definition.args.args if p.arg != "cls"]
    defaults = definition.args.defaults
    first = len(parameters) - len(defaults)
    values: dict[str, Any] = {}
    if len(args) > len(parameters):
        raise TypeError(f"{where} takes {len(parameters)} arguments, got {len(args)}")
    for parameter, value in zip(parameters, args, strict=False):
        values[parameter.arg] = gen.coerce(parameter.annotation, value, f"{where}({parameter.arg})")
    known = {p.arg: p for p in parameters}
    for name, value in kwargs.items():
        if name not in known or name in values:
            raise TypeError(f"{where} has no free argument {name!r}; it has {list(known)}")
        values[name] = gen.coerce(known[name].annotation, value, f"{where}({name})")
    for index, parameter in enumerate(parameters):
        if parameter.arg not in values:
            if index < first:
                raise TypeError(f"{where} misses the argument {parameter.arg!r}")
            values[parameter.arg] = gen.default_of(
                defaults[index - first], parameter.annotation, f"{where}({parameter.arg})"
            )
    return values


def make_method(gen: Generator, owner: str, name: str, text: str) -> Any:
    definition = parse_signature(text)
    where = f"{owner}.{name}"
    static = text.startswith("@classmethod")
    returns_class = definition.returns is not None and ast.unparse(definition.returns) == "Class"

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not static:
            require_alive(self)
        values = bind(gen, definition, where, args, kwargs)
        behaviour = gen.behaviours.methods.get((owner, name))
        if behaviour is None:
            raise NotImplementedError(f"the stand-in has no behaviour for {where}")
        result = gen.coerce(definition.returns, behaviour(self, **values), f"{where} ->")
        return Class(result) if isinstance(result, type) and returns_class else result

    call.__name__, call.__qualname__ = name, where
    call.__signature__ = signature_of(gen, definition)
    call._definition = definition
    return classmethod(call) if static else call


def make_function(gen: Generator, name: str, text: str) -> Callable:
    definition = parse_signature(text)

    def call(*args: Any, **kwargs: Any) -> Any:
        values = bind(gen, definition, name, args, kwargs)
        behaviour = gen.behaviours.functions.get(name)
        if behaviour is None:
            raise NotImplementedError(f"the stand-in has no behaviour for {name}")
        return behaviour(gen.module, **values)

    call.__name__ = name
    call.__signature__ = signature_of(gen, definition)
    return call


def signature_of(gen: Generator, definition: ast.FunctionDef) -> inspect.Signature:
    """Return the Python signature (without self and cls); defaults as their text in the table."""
    parameters = [p for p in definition.args.args if p.arg != "cls"]
    first = len(parameters) - len(definition.args.defaults)
    return inspect.Signature(
        [
            inspect.Parameter(
                p.arg,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty
                if i < first
                else ast.unparse(definition.args.defaults[i - first]),
                annotation=ast.unparse(p.annotation) if p.annotation else inspect.Parameter.empty,
            )
            for i, p in enumerate(parameters)
        ]
    )


def make_property(
    gen: Generator, owner: str, name: str, type_text: str, read_only: bool
) -> property:
    def read(self: Any) -> Any:
        require_alive(self)
        return get_value(self, name, type_text)

    def write(self: Any, value: Any) -> None:
        require_alive(self)
        set_value(self, name, type_text, value)

    return property(read, None if read_only else write, doc=f"{owner}.{name}: {type_text}")
