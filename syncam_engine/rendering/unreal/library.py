# SPDX-License-Identifier: Apache-2.0
"""The user's own Unreal content for rigs: levels with room in them, characters with animations.

{"locations": [{"map": "/Game/Maps/Plaza", "center_uu": [1200, -300, 110], "walk_radius_m": 2.5,
                "radius_m": [3.5, 9], "caption": "a sunny plaza"}],
 "subjects":  [{"mesh": "/Game/Hero/SKM_Hero", "caption": "a grey robot", "yaw_offset_deg": -90,
                "animations": [{"path": "/Game/Hero/Walk", "speed_m_s": 1.4, "caption": "walks"}]}]}

`center_uu` is in the level's own units, slightly above the ground; `ground_uu` is the height of the
floor there (default: 100 units lower). A skeletal mesh that faces its own +Y, as Epic's mannequins
do, has a yaw offset of -90 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.hemisphere import RADIUS_M


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place in a level where a rig has room."""

    map: str
    center_uu: tuple[float, float, float]
    ground_uu: float
    walk_radius_m: float = 2.5
    radius_m: tuple[float, float] = RADIUS_M
    caption: str = "a place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Animation:
    path: str
    speed_m_s: float = 0.0
    """How fast the feet carry the body; 0 stays in place."""
    caption: str = "moves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    mesh: str
    animations: tuple[Animation, ...]
    caption: str = "a figure"
    yaw_offset_deg: float = -90.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    locations: tuple[Location, ...]
    subjects: tuple[Subject, ...]


def read_library(path: str | Path) -> Library:
    """Read a library file. Raises SynCamError ("unreal.library") that names the entry and field."""
    path = Path(path)
    try:
        data = json_text.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _error(path, f"is not JSON: {error}") from None
    locations = tuple(
        _location(path, i, item) for i, item in enumerate(_list(path, data, "locations"))
    )
    subjects = tuple(
        _subject(path, i, item) for i, item in enumerate(_list(path, data, "subjects"))
    )
    return Library(locations=locations, subjects=subjects)


def _error(path: Path, said: str, value: Any = None) -> SynCamError:
    return SynCamError("unreal.library", f"The Unreal library '{path}' {said}.", value=value)


def _list(path: Path, data: Any, name: str) -> list[Any]:
    items = data.get(name) if isinstance(data, dict) else None
    if not isinstance(items, list) or not items:
        raise _error(path, f"has no list of {name}; it needs at least one", items)
    return items


def _asset(path: Path, where: str, item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value.startswith("/"):
        raise _error(path, f"has {where}.{name} {value!r}; it must be a path like /Game/X/Y", value)
    return value.split(".")[0]


def _number(path: Path, where: str, item: dict[str, Any], name: str, default: float) -> float:
    value = item.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _error(path, f"has {where}.{name} {value!r}; it must be a number", value)
    return float(value)


def _numbers(path: Path, where: str, item: Any, name: str, default: Any, count: int) -> tuple:
    value = item.get(name, default)
    ok = isinstance(value, (list, tuple)) and len(value) == count
    if not ok or any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in value):
        raise _error(path, f"has {where}.{name} {value!r}; it must be {count} numbers", value)
    return tuple(float(x) for x in value)


def _location(path: Path, index: int, item: Any) -> Location:
    where = f"locations[{index}]"
    if not isinstance(item, dict):
        raise _error(path, f"has {where} that is not an object", item)
    center = _numbers(path, where, item, "center_uu", None, 3)
    radius = _numbers(path, where, item, "radius_m", RADIUS_M, 2)
    if not 0.0 < radius[0] <= radius[1]:
        raise _error(path, f"has {where}.radius_m {list(radius)}; it must be 0 < low <= high")
    return Location(
        map=_asset(path, where, item, "map"),
        center_uu=center,
        ground_uu=_number(path, where, item, "ground_uu", center[2] - 100.0),
        walk_radius_m=_number(path, where, item, "walk_radius_m", 2.5),
        radius_m=radius,
        caption=str(item.get("caption", "a place")),
    )


def _subject(path: Path, index: int, item: Any) -> Subject:
    where = f"subjects[{index}]"
    if not isinstance(item, dict):
        raise _error(path, f"has {where} that is not an object", item)
    animations = []
    for k, each in enumerate(_list(path, item, "animations")):
        place = f"{where}.animations[{k}]"
        if not isinstance(each, dict):
            raise _error(path, f"has {place} that is not an object", each)
        animations.append(
            Animation(
                path=_asset(path, place, each, "path"),
                speed_m_s=_number(path, place, each, "speed_m_s", 0.0),
                caption=str(each.get("caption", "moves")),
            )
        )
    return Subject(
        mesh=_asset(path, where, item, "mesh"),
        animations=tuple(animations),
        caption=str(item.get("caption", "a figure")),
        yaw_offset_deg=_number(path, where, item, "yaw_offset_deg", -90.0),
        scale=_number(path, where, item, "scale", 1.0),
    )
