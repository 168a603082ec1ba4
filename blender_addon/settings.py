# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist sets, kept in the scene: the rig, the request, and where results go."""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from syncam_engine.link.errors import SynCamError

from . import cameras, compat

MODES = (
    ("TEXT", "Text", "From the prompt alone"),
    (
        "PREVIZ",
        "Previz",
        "Each view starts from its own camera's viewport render, noised to a strength",
    ),
    ("REFERENCE", "Reference", "The anchor's view is a given clip; the others follow it"),
)
FIT_RULES = (
    ("CROP", "Crop", "Fill the model's picture; the camera's edges are lost"),
    ("LETTERBOX", "Letterbox", "Show the camera's whole picture between bars"),
)
TARGETS = (
    ("PLATES", "Plates", "A screen in front of each camera that fills its frame", "IMAGE_PLANE", 1),
    ("BACKGROUNDS", "Backgrounds", "The background image of each camera", "CAMERA_DATA", 2),
    (
        "SEQUENCER",
        "Sequencer",
        "Strips in sync under one multicam strip, in a scene of their own",
        "SEQ_SEQUENCER",
        4,
    ),
    ("MATERIAL", "Material", "The materials of objects chosen in the rig", "MATERIAL", 8),
)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a keyword of an operator that is out of its range: Blender itself would take the
    nearest value without a word. Raises SynCamError."""
    if low <= value <= high:
        return
    nearest = low if not value > high else high
    raise SynCamError(
        "keyword.range",
        f"The keyword {name!r} is {value}; it must be {low} to {high}, and {nearest} is the "
        "nearest.",
        value=repr(value),
        nearest=nearest,
    )


def _known_presets(_self, _context, _text) -> list[str]:
    from . import session

    return [preset.name for preset in session.get().presets()]


def _preset_sizes(self, _context, _text) -> list[str]:
    from . import session

    envelope = session.get().envelope_or_none(self.preset)
    return [f"{w}x{h}" for w, h in envelope.sizes] if envelope else ["160x96"]


def _preset_changed(self, _context) -> None:
    """Set what a newly chosen preset is made for: its size, length, steps, guidance and previz."""
    from . import session

    told = session.get().presets()
    own = next((info.defaults for info in told if info.name == self.preset), {})
    if "width" in own and "height" in own:
        self.size = f"{own['width']}x{own['height']}"
    for name, key in (
        ("frames", "frames"),
        ("steps", "steps"),
        ("guidance", "guidance_scale"),
        ("previz_strength", "previz_strength"),
    ):
        if key in own:
            setattr(self, name, own[key])


def _plate_distance(self) -> float:
    return self.plate_distance_m / self.id_data.unit_settings.scale_length


def _set_plate_distance(self, units: float) -> None:
    self.plate_distance_m = units * self.id_data.unit_settings.scale_length


def _is_mesh(_self, thing: bpy.types.Object) -> bool:
    return thing.type == "MESH"


class RigCamera(bpy.types.PropertyGroup):
    """A camera of the scene in the rig's list."""

    camera: PointerProperty(type=bpy.types.Object)
    use: BoolProperty(name="Use", description="Generate a clip for this camera", default=True)
    screen: PointerProperty(
        name="Screen",
        description="An object whose material shows this camera's clip",
        type=bpy.types.Object,
        poll=_is_mesh,
    )


class SynCamSettings(bpy.types.PropertyGroup):
    """`scene.syncam`."""

    rig: CollectionProperty(type=RigCamera)
    rig_index: IntProperty(default=0)
    anchor: PointerProperty(
        name="Anchor",
        description="The camera whose view is the others' reference; empty: the scene's camera",
        type=bpy.types.Object,
        poll=lambda _self, thing: thing.type == "CAMERA",
    )

    preset: StringProperty(
        name="Preset",
        description="The model",
        default="preview",
        search=_known_presets,
        update=_preset_changed,
    )
    prompt: StringProperty(
        name="Prompt",
        description="What happens in the scene, in a few words",
        default="",
        options={"TEXTEDIT_UPDATE"},
    )
    negative_prompt: StringProperty(
        name="Negative Prompt", description="What must not be seen", default=""
    )
    seed: IntProperty(
        name="Seed", description="The same seed gives the same clips", default=1, min=0
    )
    new_seed: BoolProperty(
        name="New Each Time", description="Draw a new seed for every run", default=False
    )
    variations: IntProperty(
        name="Variations", description="Jobs to send, each another draw", default=1, min=1, max=16
    )
    steps: IntProperty(
        name="Steps", description="Sampling steps: more is slower and cleaner", default=10, min=1
    )
    guidance: FloatProperty(
        name="Guidance",
        description="How strongly the prompt is followed",
        default=2.0,
        min=0.0,
        soft_max=15.0,
    )
    size: StringProperty(
        name="Size",
        description="WIDTHxHEIGHT of the pictures, one of the preset's",
        default="160x96",
        search=_preset_sizes,
    )
    frames: IntProperty(name="Pictures", description="Pictures in each clip", default=17, min=1)
    start_at: EnumProperty(
        name="From",
        description="The scene frame of the clip's first picture",
        items=(
            ("SCENE", "Scene Start", "The first frame of the scene's range"),
            ("CURRENT", "Current Frame", "The frame that is shown now"),
            ("FRAME", "Frame", "A frame of your choice"),
        ),
        default="SCENE",
    )
    frame_start: IntProperty(name="First Frame", default=1)
    frame_step: IntProperty(
        name="Every",
        description="Scene frames from one picture to the next; 0: as the preset's speed wants it",
        default=0,
        min=0,
        max=100,
    )
    fit_rule: EnumProperty(
        name="Fit",
        description="How a camera of another shape than the model's picture is fitted",
        items=FIT_RULES,
        default="CROP",
    )
    mode: EnumProperty(name="Mode", items=MODES, default="TEXT")
    previz_strength: FloatProperty(
        name="Strength",
        description="1 starts from noise alone, near 0 the viewport render stays as it is",
        default=0.4,
        min=0.05,
        max=1.0,
        subtype="FACTOR",
    )
    reference_source: EnumProperty(
        name="Reference",
        items=(
            ("FILE", "File", "A movie file"),
            ("IMAGE", "Image", "A picture or movie that is in this .blend"),
            ("VIEWPORT", "Viewport", "A viewport render of the anchor camera"),
        ),
        default="FILE",
    )
    reference_file: StringProperty(
        name="Movie", subtype="FILE_PATH", default="", options=compat.RELATIVE_PATHS
    )
    reference_image: PointerProperty(name="Image", type=bpy.types.Image)

    targets: EnumProperty(
        name="Put Results On", items=TARGETS, options={"ENUM_FLAG"}, default={"PLATES"}
    )
    plate_distance_m: FloatProperty(default=1.2, min=0.01, options={"HIDDEN"})
    plate_distance: FloatProperty(
        name="Plate Distance",
        description="From a camera to its plate",
        min=0.0,
        soft_min=0.01,
        subtype="DISTANCE",
        get=_plate_distance,
        set=_set_plate_distance,
    )
    """`plate_distance_m` in scene units."""


def sync_rig(scene: bpy.types.Scene) -> bool:
    """Bring the rig's list in line with the scene's cameras, keeping order and ticks."""
    settings = scene.syncam
    present = cameras.scene_cameras(scene)
    listed = [item.camera for item in settings.rig]
    if set(listed) == set(present) and len(listed) == len(present):
        return False
    for index in reversed(range(len(settings.rig))):
        if settings.rig[index].camera not in present or listed.index(listed[index]) != index:
            settings.rig.remove(index)
    kept = [item.camera for item in settings.rig]
    for thing in present:
        if thing not in kept:
            settings.rig.add().camera = thing
    settings.rig_index = min(settings.rig_index, max(0, len(settings.rig) - 1))
    return True


def used_cameras(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Return the ticked cameras in the list's order (cameras that it lacks are new: used)."""
    settings = scene.syncam
    present = cameras.scene_cameras(scene)
    listed = [item.camera for item in settings.rig]
    used = [i.camera for i in settings.rig if i.use and i.camera in present]
    return used + [thing for thing in present if thing not in listed]


def first_frame(scene: bpy.types.Scene) -> int:
    settings = scene.syncam
    if settings.start_at == "SCENE":
        return scene.frame_start
    return scene.frame_current if settings.start_at == "CURRENT" else settings.frame_start


def anchor_index(scene: bpy.types.Scene, used: list[bpy.types.Object]) -> int:
    """Return the anchor's place: the chosen one, else the camera that the scene looks through."""
    for thing in (scene.syncam.anchor, cameras.camera_at_frame(scene, first_frame(scene))):
        if thing in used:
            return used.index(thing)
    return 0


CLASSES = (RigCamera, SynCamSettings)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.syncam = PointerProperty(type=SynCamSettings)


def unregister() -> None:
    del bpy.types.Scene.syncam
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)


def screen_of(scene: bpy.types.Scene, camera: bpy.types.Object) -> bpy.types.Object | None:
    """Return the object whose material shows a camera's clip."""
    return next((item.screen for item in scene.syncam.rig if item.camera == camera), None)
