# SPDX-License-Identifier: Apache-2.0
"""From a YAML file, with overrides from the command line, to a checked `TrainConfig`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.registry import named
from syncam_engine.training.config import TrainConfig, config_fault
from syncam_engine.training.registry import SECTIONS


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML config; `overrides` are FIELD=VALUE, dotted. Raises `SynCamError`."""
    try:
        document = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SynCamError(
            "config.missing", f"The training config {path} cannot be read: {error.strerror}."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _not_yaml(str(path), error) from error
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise SynCamError(
                "config.override", f"{override!r} is not FIELD=VALUE.", value=override
            )
        try:
            _set(document, name, yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise _not_yaml(f"The value of {override!r}", error) from error
    return config_from_dict(TrainConfig, document, "")


def write_config(config: TrainConfig, path: Path) -> None:
    """Write a config, overrides and defaults included, so that `read_config` gives it again."""
    partial = path.with_name(f".{path.name}.partial")
    text = yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)
    partial.write_text(text, "utf-8")
    os.replace(partial, path)


def differing_fields(one: TrainConfig, other: TrainConfig) -> list[str]:
    """The fields of two configs that differ, by their dotted names."""
    found, others = [], _plain(other)
    for name, value in _plain(one).items():
        there = others.get(name)
        if isinstance(value, dict) and isinstance(there, dict):
            found += [f"{name}.{key}" for key in value if value[key] != there.get(key)]
        elif value != there:
            found.append(name)
    return found


def _plain(config: TrainConfig) -> dict[str, Any]:
    """A config as its YAML file has it: a section of its kind's own under the kind's name."""
    plain = asdict(config)
    if (section := plain.pop("section")) is not None:
        plain[config.kind] = section
    return json.loads(json.dumps(plain))  # tuples as lists, which YAML has


def _not_yaml(what: str, error: Exception) -> SynCamError:
    said = " ".join(str(error).split())
    return SynCamError("config.yaml", f"{what} is not valid YAML: {said}", value=what)


def _set(document: Any, name: str, value: Any) -> None:
    """Set a dotted field of plain data. Raises `SynCamError` for a place that is none."""
    *outer, last = name.split(".")
    place: Any = document
    try:
        for part in outer:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[int(last) if isinstance(place, list) else last] = value
    except (IndexError, ValueError, TypeError, AttributeError):
        raise SynCamError(
            "config.field", f"The training config has no field {name}.", value=name
        ) from None


def config_from_dict(cls: type, document: Any, where: str) -> Any:
    """Build a config dataclass from plain data; unknown and missing fields are named."""
    if not isinstance(document, dict):
        raise config_fault(where.rstrip(".") or "file", document, "a mapping of fields")
    sections = _sections() if cls is TrainConfig else {}
    known = [f.name for f in fields(cls) if f.metadata.get("in_yaml", True)] + list(sections)
    for name in document:
        if name not in known:
            raise SynCamError(
                "config.field",
                f"The training config has no field {where}{name}; "
                f"{cls.__name__} has {', '.join(known)}.",
                value=name,
            )
    hints = {**get_type_hints(cls), **sections}
    values = {
        name: convert(hints[name], value, f"{where}{name}") for name, value in document.items()
    }
    given = {name: values.pop(name) for name in sections if name in values}
    if document.get("kind") in given:  # those of other kinds are checked, and not used
        values["section"] = given[document["kind"]]
    try:
        return cls(**values)
    except TypeError as error:
        missing = str(error).split(":")[-1].strip()
        raise SynCamError(
            "config.field", f"The training config lacks {where}{missing}.", value=missing
        ) from error


def _sections() -> dict[str, type]:
    """Return the sections that kinds of training have beside the common ones."""
    return {kind: named(section) for kind, section in SECTIONS.items()}


def convert(hint: Any, value: Any, where: str) -> Any:
    """Plain data as a field of this type. Raises `SynCamError` naming the field `where`."""
    origin = get_origin(hint)
    if is_dataclass(hint):
        return config_from_dict(hint, value, f"{where}.")
    if origin is list and isinstance(value, list):
        (item,) = get_args(hint)
        return [convert(item, v, f"{where}[{i}]") for i, v in enumerate(value)]
    if origin is tuple and isinstance(value, list | tuple):
        items = get_args(hint)
        if items[-1] is Ellipsis:
            items = items[:1] * len(value)
        if value and len(items) == len(value):
            return tuple(convert(h, v, where) for h, v in zip(items, value, strict=True))
    if origin is Literal and value in get_args(hint):
        return value
    if origin is Literal:
        raise config_fault(where, value, "one of " + ", ".join(map(repr, get_args(hint))))
    if origin in (Union, UnionType):
        return value
    accept: dict[Any, Callable[[Any], bool]] = {
        int: lambda v: isinstance(v, int) and not isinstance(v, bool),
        float: lambda v: (
            isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)
        ),
        str: lambda v: isinstance(v, str),
        bool: lambda v: isinstance(v, bool),
    }
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 1e-4 as text.
        try:
            value = float(value)
        except ValueError:
            raise config_fault(where, value, "a number") from None
    if hint in accept and accept[hint](value):
        return hint(value)
    if origin is dict and isinstance(value, dict):
        return value
    if hint is float and isinstance(value, float):
        raise config_fault(where, value, "a finite number")
    raise config_fault(where, value, f"of type {getattr(hint, '__name__', hint)}")
