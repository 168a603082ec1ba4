# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders all cameras of one instant in one call and reads every pass back as arrays."""

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from render_rigs.blender import devices, passes
from render_rigs.exr import read_exr


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    engine: str = "cycles"
    samples: int = 8
    denoise: bool = True
    passes: tuple[str, ...] = ("rgb",)
    bounces: int = 4
    threads: int = 0
    """0: all cores."""
    seed: int = 0
    device: str = "cpu"


def configure(settings: RenderSettings) -> None:
    """Set the engine up: persistent data, multiview, uncompressed EXR with all passes."""
    scene = bpy.context.scene
    render = scene.render
    render.engine = {
        "cycles": "CYCLES",
        "workbench": "BLENDER_WORKBENCH",
        "eevee": "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT",
    }[settings.engine]
    render.use_persistent_data = True
    if settings.threads:
        render.threads_mode, render.threads = "FIXED", settings.threads
    render.film_transparent = False
    render.use_compositing = render.use_sequencer = False
    image = render.image_settings
    if hasattr(image, "media_type"):
        image.media_type = "MULTI_LAYER_IMAGE"
    image.file_format = "OPEN_EXR_MULTILAYER"
    image.color_depth, image.exr_codec = "32", "NONE"
    image.views_format = "MULTIVIEW"
    if hasattr(image, "use_exr_interleave"):  # 5.0 writes a part for each pass unless told
        image.use_exr_interleave = True
    layer = scene.view_layers[0]
    layer.use_pass_z = "depth" in settings.passes
    layer.use_pass_normal = "normal" in settings.passes
    layer.use_pass_object_index = "mask" in settings.passes
    layer.use_pass_vector = "flow" in settings.passes
    if "albedo" in settings.passes:
        layer.aovs.add().name = passes.ALBEDO
    if settings.engine == "cycles":
        _cycles(scene, settings)
    elif settings.engine == "workbench":
        shading = scene.display.shading
        shading.light, shading.color_type = "STUDIO", "VERTEX"
        shading.show_shadows, shading.show_cavity = True, True
        scene.display.render_aa = "8"
    else:
        scene.eevee.taa_render_samples = settings.samples


def _cycles(scene, settings: RenderSettings) -> None:
    cycles = scene.cycles
    cycles.device = "CPU" if settings.device == "cpu" or not devices.gpus() else "GPU"
    if cycles.device == "GPU":  # a new file forgets the preferences
        devices.use("gpu")
    cycles.samples = settings.samples
    cycles.use_adaptive_sampling = False
    cycles.seed = settings.seed
    cycles.use_denoising = settings.denoise
    if settings.denoise:
        cycles.denoiser = "OPENIMAGEDENOISE"
        cycles.denoising_prefilter = "NONE"
        cycles.denoising_quality = "FAST"
        cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.max_bounces = settings.bounces
    cycles.diffuse_bounces = min(2, settings.bounces)
    cycles.glossy_bounces = min(2, settings.bounces)
    cycles.transmission_bounces = cycles.transparent_max_bounces = 2
    cycles.sample_clamp_indirect = 4.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 1.2
    cycles.tile_size = 2048
    cycles.use_light_tree = False  # a sun, a sky and a few lamps: the tree costs more than it saves


def render_frame(frame: int, scratch: Path) -> dict[str, dict[str, np.ndarray]]:
    """Render every view at a frame: {"c01": {"Combined": [H,W,4], "Depth": [H,W], ...}}."""
    scene = bpy.context.scene
    scene.frame_set(frame)
    path = Path(scratch) / "frame.exr"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return split_views(read_exr(path))


def split_views(channels: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Sort "ViewLayer.Combined.c01.R" channels by view and pass; components in file order."""
    views: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for name, plane in channels.items():
        parts = name.split(".")
        if len(parts) < 4:
            continue
        view = views.setdefault(parts[-2], {})
        view.setdefault(parts[-3], {})[parts[-1]] = plane
    return {
        view: {name: _stack(parts) for name, parts in found.items()}
        for view, found in views.items()
    }


def _stack(parts: dict[str, np.ndarray]) -> np.ndarray:
    for order in ("RGBA", "RGB", "XYZW", "XYZ"):
        if len(parts) == len(order) and set(parts) == set(order):
            return np.stack([parts[c] for c in order], -1).astype(np.float32)
    return next(iter(parts.values())).astype(np.float32)


def passes_of(
    view: dict[str, np.ndarray], exposure: float, wanted, far_m: float
) -> dict[str, np.ndarray]:
    """Blender's passes by the project's names; "rgb" is sRGB uint8."""
    return {
        "rgb": tone_map(view["Combined"][..., :3], exposure),
        **passes.named(view, wanted, far_m),
    }


def tone_map(linear: np.ndarray, exposure: float) -> np.ndarray:
    """Linear RGB [...,3] to sRGB uint8: plain below 0.6, a soft shoulder to white above."""
    x = np.maximum(linear * exposure, 0)
    return passes.srgb_bytes(np.where(x < 0.6, x, 0.6 + 0.4 * (1 - np.exp(-(x - 0.6) / 0.4))))


def auto_exposure(pictures: list[np.ndarray], key: float) -> float:
    """One exposure for a whole scene from the linear pictures of its first instant."""
    rgb = np.concatenate([p[..., :3].reshape(-1, 3) for p in pictures])
    luminance = rgb @ np.array([0.2126, 0.7152, 0.0722])
    middle = np.median(luminance) * 0.6 + luminance.mean() * 0.4
    bright = np.quantile(luminance, 0.95)  # dark asphalt must not burn out all that is pale
    return float(np.clip(min(key / max(middle, 1e-4), 1.05 / max(bright, 1e-4)), 0.2, 6.0))
