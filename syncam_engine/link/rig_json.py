# SPDX-License-Identifier: Apache-2.0
"""Rig files: JSON that a person can read, with the conventions written into it.

{"format": "syncam-rig", "version": 1, "conventions": "...", "anchor": "camA", "fps": [15, 1],
 "source": "shot.blend", "source_unit": "metre",
 "cameras": [{"name", "width_px", "height_px", "K", "c2w_cv_m", "near_m", "far_m"}]}

`K` is 3x3 or one a frame, `c2w_cv_m` 4x4 or one a frame; `fps` may be a plain number. Unknown
fields are ignored. The `scene.json` of `syncam render` is read as the rig of its cameras.
"""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from syncam_engine.link import json_text
from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig, check_names

FORMAT = "syncam-rig"
VERSION = 1
SCENE_FORMAT = "syncam-scene"
SCENE_VERSION = 1
CONVENTIONS = (
    "K in pixels, origin at the image's top-left corner; c2w_cv_m is camera-to-world, row-major, "
    "camera axes x right, y down, z forward, world right-handed, Z up, metres"
)


def rig_to_dict(rig: Rig) -> dict[str, Any]:
    """Return the rig as plain data, the same for files and for the wire."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "conventions": CONVENTIONS,
        "anchor": rig.anchor_camera.name,
        "fps": [rig.fps.numerator, rig.fps.denominator],
        "source": rig.source,
        "source_unit": rig.source_unit,
        "cameras": [
            {
                "name": camera.name,
                "width_px": camera.width_px,
                "height_px": camera.height_px,
                "K": camera.K,
                "c2w_cv_m": camera.c2w_cv_m,
                "near_m": camera.near_m,
                "far_m": camera.far_m,
            }
            for camera in rig.cameras
        ],
    }


def rig_from_dict(data: Any) -> Rig:
    """Return the rig of plain data. Raises SynCamError ("rig.format", "camera.*", "rig.*")."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise SynCamError(
            "rig.format",
            f"The rig's format is {found!r}; it must be {FORMAT!r}.",
            value=found,
            nearest=FORMAT,
        )
    if data.get("version") != VERSION:
        raise SynCamError(
            "rig.version",
            f"The rig file is of version {data.get('version')!r}; "
            f"this SynCam reads version {VERSION}.",
            value=data.get("version"),
            nearest=VERSION,
            fix="Export the rig again",
        )
    try:
        names = [item["name"] for item in data["cameras"]]
        check_names(names)  # before their cameras: an error could not say which of the two
        cameras = [
            Camera(
                name=item["name"],
                width_px=item["width_px"],
                height_px=item["height_px"],
                K=item["K"],
                c2w_cv_m=item["c2w_cv_m"],
                near_m=float(item.get("near_m", 0.1)),
                far_m=float(item.get("far_m", 1000.0)),
            )
            for item in data["cameras"]
        ]
        anchor = data.get("anchor", names[0] if names else "")
        if cameras and anchor not in names:
            raise SynCamError(
                "rig.anchor",
                f"The rig's anchor {anchor!r} is none of its cameras: "
                f"{', '.join(map(repr, names))}.",
                value=anchor,
                nearest=names[0],
            )
        return Rig(
            cameras=tuple(cameras),
            anchor=names.index(anchor) if cameras else 0,
            fps=_fps(data.get("fps", 15)),
            source=str(data.get("source", "")),
            source_unit=str(data.get("source_unit", "metre")),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        detail = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise SynCamError(
            "rig.format", f"The rig cannot be read: {detail}.", value=detail
        ) from None


def _fps(value: Any) -> Fraction:
    """The rate of [numerator, denominator] or of a plain number."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return Fraction(str(value))
        numerator, denominator = value
        return Fraction(numerator, denominator)
    except (TypeError, ValueError, ArithmeticError):
        raise SynCamError(
            "rig.fps",
            f"The rig's fps is {value!r}; it must be a number of frames a second, or "
            "[numerator, denominator].",
            value=repr(value),
            nearest=15,
        ) from None


def _rig_of_scene(scene: dict[str, Any]) -> dict[str, Any]:
    """The rig, as plain data, of a scene that `syncam render` wrote; the first camera is its
    anchor. Raises SynCamError ("rig.format", "rig.version")."""
    if scene.get("version") != SCENE_VERSION:
        raise SynCamError(
            "rig.version",
            f"The rendered scene is of version {scene.get('version')!r}; "
            f"this SynCam reads version {SCENE_VERSION}.",
            value=scene.get("version"),
            nearest=SCENE_VERSION,
            fix="Render the scene again",
        )
    try:
        size = {"width_px": scene["width_px"], "height_px": scene["height_px"]}
        cameras = [{**size, **camera} for camera in scene["cameras"]]
        fps, number = scene["fps"], scene["scene"]
    except (KeyError, TypeError) as error:
        detail = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise SynCamError(
            "rig.format", f"The rendered scene cannot be read as a rig: {detail}.", value=detail
        ) from None
    return {
        "format": FORMAT,
        "version": VERSION,
        "fps": fps,
        "source": f"rendered scene {number}",
        "cameras": cameras,
    }


def dumps(rig: Rig) -> str:
    """Return the rig as JSON text, indented so that it diffs well."""
    return json.dumps(rig_to_dict(rig), indent=1) + "\n"


def loads(text: str | bytes) -> Rig:
    """Return the rig of JSON text: a rig file's, or a rendered scene's. Raises SynCamError."""
    try:
        data = json_text.loads(text)
    except ValueError as error:
        raise SynCamError(
            "rig.format", f"The rig is not JSON: {error}.", value=str(error)
        ) from None
    if isinstance(data, dict) and data.get("format") == SCENE_FORMAT:
        data = _rig_of_scene(data)
    return rig_from_dict(data)


def write_rig(rig: Rig, path: str | os.PathLike[str]) -> Path:
    """Write a rig file whole or not at all; return its path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.write_text(dumps(rig), encoding="utf-8")
    os.replace(partial, target)
    return target


def read_rig(path: str | os.PathLike[str]) -> Rig:
    """Read a rig file. Raises SynCamError that names the file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SynCamError(
            "rig.file",
            f"The rig file {os.fspath(path)!r} cannot be read: {reason}.",
            value=os.fspath(path),
        ) from None
    try:
        return loads(text)
    except SynCamError as error:
        raise SynCamError(
            error.code,
            f"{os.fspath(path)}: {error.sentence}",
            value=error.value,
            nearest=error.nearest,
            fix=error.fix,
        ) from None
