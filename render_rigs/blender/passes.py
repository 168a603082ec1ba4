# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's passes by the project's names, and which engine has which."""

import numpy as np

ALBEDO = "albedo"
"""The shader output (AOV) that every material writes its own colour to."""
ENGINE_PASSES = {
    "cycles": ("rgb", "depth", "normal", "mask", "flow", "albedo"),
    "eevee": ("rgb", "depth", "normal", "albedo"),
    "workbench": ("rgb", "depth"),
}


def check_passes(engine: str, passes) -> None:
    """Raise ValueError naming the first pass that an engine cannot give."""
    for name in passes:
        if name not in ENGINE_PASSES["cycles"]:
            raise ValueError(f"unknown pass {name!r}: one of {', '.join(ENGINE_PASSES['cycles'])}")
        if name not in ENGINE_PASSES[engine]:
            raise ValueError(
                f"the {engine} engine has no {name} pass "
                f"(it has {', '.join(ENGINE_PASSES[engine])}); cycles has it"
            )


def named(view: dict[str, np.ndarray], passes, far_m: float) -> dict[str, np.ndarray]:
    """The asked passes of one view of one frame, as `film.PASS_FILES` describes them."""
    out = {}
    depth = view.get("Depth", view.get("Z"))
    # Where nothing is, Cycles writes 1e10 and EEVEE the camera's far end.
    empty = None if depth is None else depth > 0.999 * far_m
    if "depth" in passes:
        out["depth"] = np.where(empty, np.inf, depth).astype(np.float32)
    if "normal" in passes:
        normal = view["Normal"]
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        out["normal"] = (normal / np.maximum(length, 1e-6)).astype(np.float16)
    if "mask" in passes:
        index = view.get("Object Index", view.get("IndexOB"))
        out["mask"] = np.rint(index).astype(np.uint8)
    if "flow" in passes:
        # Blender's vector pass: XY looks back, ZW on, both against the motion, Y up.
        vector = view["Vector"]
        out["flow"] = (vector[..., 2:4] * np.array([-1.0, 1.0])).astype(np.float32)
    if "albedo" in passes:
        out["albedo"] = srgb_bytes(view[ALBEDO][..., :3])
    return out


def srgb_bytes(linear: np.ndarray) -> np.ndarray:
    """Linear colours to sRGB uint8; what is outside 0 to 1 is clipped."""
    linear = np.clip(linear, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (srgb * 255 + 0.5).astype(np.uint8)
