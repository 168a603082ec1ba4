# SPDX-License-Identifier: Apache-2.0
"""Builds a training scene in the project from a plan: sequences with spawnable cameras and
characters, and a Movie Render Queue configuration; says what it placed.

One sequence a batch of cameras, each with all subjects, so that every batch shows the same moments.
The level itself is not changed: everything is a spawnable. Called without a screen.
"""

from __future__ import annotations

from typing import Any

import unreal

from syncam_engine.link import rig_json
from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError

from . import actors, camera_reading, compat, conventions
from .lens import Lens
from .render_config import export_config
from .rig_placing import set_lens

FORMAT, VERSION = "syncam-unreal-scene", 1


def build(plan: dict[str, Any]) -> dict[str, Any]:
    """Build the plan's assets; return the report (engine, batches, cameras, center_m).

    Raises SynCamError; assets of the scene that were made so far are then removed.
    """
    check_plan(plan)
    level = unreal.get_editor_subsystem(unreal.LevelEditorSubsystem)
    if not level.load_level(plan["map"]):
        raise SynCamError(
            "unreal.map", f"The level '{plan['map']}' cannot be loaded.", value=plan["map"]
        )
    subjects = [load_subject(subject) for subject in plan["subjects"]]
    package = plan["package"]
    if unreal.EditorAssetLibrary.does_directory_exist(package):
        unreal.EditorAssetLibrary.delete_directory(package)
    try:
        return _build_assets(plan, subjects)
    except BaseException:
        unreal.EditorAssetLibrary.delete_directory(package)
        raise


def check_plan(plan: dict[str, Any]) -> None:
    """Raise SynCamError for a plan of another version, an engine or project that lacks a part."""
    compat.check_engine()
    if (plan.get("format"), plan.get("version")) != (FORMAT, VERSION):
        raise SynCamError(
            "unreal.plan",
            f"The plan is {plan.get('format')!r} version {plan.get('version')!r}; this plugin "
            f"reads {FORMAT!r} version {VERSION}.",
            fix="Install the plugin and the engine of one version",
        )
    if not hasattr(unreal, "MoviePipelineQueue"):
        raise SynCamError(
            "unreal.plugin",
            "The plugin 'Movie Render Queue' is not enabled in this project.",
            value="MovieRenderPipeline",
            fix="Enable Movie Render Queue",
        )


def load_subject(subject: dict[str, Any]) -> tuple[dict[str, Any], Any, Any]:
    """Return (subject, mesh, animation). Raises SynCamError for missing or unmatched assets."""
    mesh = _load(subject["mesh"], unreal.SkeletalMesh, "skeletal mesh")
    animation = _load(subject["animation"], unreal.AnimSequence, "animation sequence")
    skeleton = mesh.get_editor_property("skeleton")
    if animation.get_editor_property("skeleton") != skeleton:
        raise SynCamError(
            "unreal.skeleton",
            f"The animation '{subject['animation']}' is for another skeleton than the mesh "
            f"'{subject['mesh']}'.",
            value=[subject["mesh"], subject["animation"]],
            fix="Retarget the animation",
        )
    return subject, mesh, animation


def _load(path: str, kind: type, said: str) -> unreal.Object:
    found = unreal.load_asset(path) if unreal.EditorAssetLibrary.does_asset_exist(path) else None
    if not isinstance(found, kind):
        raise SynCamError("unreal.asset", f"There is no {said} at '{path}'.", value=path)
    return found


def _build_assets(plan: dict[str, Any], subjects: list) -> dict[str, Any]:
    units = camera_reading.world_to_meters()
    rig = rig_json.rig_from_dict(plan["rig"])
    cameras = {camera.name: camera for camera in rig.cameras}
    config = export_config(plan)
    batches, described = [], []
    for index, names in enumerate(plan["batches"]):
        sequence = make_sequence(plan, f"Batch{index}")
        for subject in subjects:
            add_subject(sequence, plan, *subject, units)
        bindings = {}
        for name in names:
            bindings[name], rows = add_camera(sequence, plan, cameras[name], units)
            described.append({"name": name, "file_name": name, "matrix_cm": rows})
        cut = sequence.add_track(unreal.MovieSceneCameraCutTrack).add_section()
        cut.set_range(0, plan["frames"])
        cut.set_camera_binding_id(sequence.get_binding_id(bindings[names[0]]))
        called = names_in_queue(sequence, bindings)
        for camera in described:
            camera["file_name"] = called.get(camera["name"], camera["file_name"])
        if not unreal.EditorAssetLibrary.save_loaded_asset(sequence):
            raise SynCamError(
                "unreal.asset_save", f"The sequence of {plan['scene']} cannot be saved."
            )
        path = sequence.get_path_name().split(".")[0]
        batches.append({"sequence": path, "config": config, "cameras": names})
    return {
        "engine": unreal.SystemLibrary.get_engine_version(),
        "world_to_meters": units,
        "center_m": list(conventions.point_to_m(plan["center_uu"], units)),
        "batches": batches,
        "cameras": described,
    }


def make_sequence(plan: dict[str, Any], name: str) -> unreal.LevelSequence:
    """Return an empty sequence of the plan's length, one display frame a picture."""
    sequence = unreal.AssetToolsHelpers.get_asset_tools().create_asset(
        name, plan["package"], unreal.LevelSequence, unreal.LevelSequenceFactoryNew()
    )
    if sequence is None:
        raise SynCamError(
            "unreal.asset_make",
            f"The editor did not make a sequence in '{plan['package']}'; the Content folder may "
            "be read-only.",
            value=plan["package"],
            fix="Make the Content folder writable",
        )
    sequence.set_display_rate(unreal.FrameRate(plan["fps"], 1))
    sequence.set_playback_start(0)
    sequence.set_playback_end(plan["frames"])
    return sequence


def add_camera(
    sequence: unreal.LevelSequence, plan: dict[str, Any], camera: Camera, units: float
) -> tuple[unreal.MovieSceneBindingProxy, list[list[float]]]:
    """Add a spawnable camera; return its binding and the 4 rows (forward, right, up, origin in cm)
    of the transform that the engine gave it."""
    location, (roll, pitch, yaw) = conventions.unreal_placement(camera.c2w_cv_m_at(0), units)
    at = unreal.Vector(*(a + b for a, b in zip(location, plan["center_uu"], strict=True)))
    turned = unreal.Rotator(roll=roll, pitch=pitch, yaw=yaw)
    actor = actors.spawn(unreal.CineCameraActor, at, turned, said=f"camera {camera.name!r}")
    try:
        actor.set_actor_label(camera.name)
        set_lens(actor.get_cine_camera_component(), plan_lens(plan))
        rows = rows_cm(actor.get_cine_camera_component(), units)
        binding = sequence.add_spawnable_from_instance(actor)
    finally:
        actors.remove(actor)
    binding.set_display_name(camera.name)
    # Where a spawnable appears is a matter of its template; a transform track leaves no doubt.
    channels = _transform_channels(binding, plan["frames"])
    numbers = (at.x, at.y, at.z, roll, pitch, yaw, 1.0, 1.0, 1.0)
    for channel, value in zip(channels, numbers, strict=True):
        channel.set_default(value)
    return binding, rows


def plan_lens(plan: dict[str, Any]) -> Lens:
    """Return the one lens of the scene."""
    numbers = plan["lens"]
    return Lens(
        sensor_width_mm=numbers["sensor_width_mm"],
        sensor_height_mm=numbers["sensor_height_mm"],
        focal_length_mm=numbers["focal_mm"],
    )


def rows_cm(component: unreal.CineCameraComponent, units: float) -> list[list[float]]:
    """Return the component's world transform as Unreal's row vectors, the origin in centimetres."""
    placed = component.get_world_transform()
    q, at = placed.rotation, placed.translation
    axes = conventions.axes_of_quaternion((q.x, q.y, q.z, q.w))
    origin = [value * 100.0 / units for value in (at.x, at.y, at.z)]
    return [[*axis, 0.0] for axis in axes] + [[*origin, 1.0]]


def add_subject(
    sequence: unreal.LevelSequence,
    plan: dict[str, Any],
    subject: dict[str, Any],
    mesh: unreal.SkeletalMesh,
    animation: unreal.AnimSequence,
    units: float,
) -> None:
    """Add a spawnable character that walks its keys and plays its animation."""
    actor = actors.subsystem().spawn_actor_from_object(mesh, unreal.Vector(0.0, 0.0, 0.0))
    if actor is None:
        raise SynCamError("unreal.spawn", f"The editor did not place the mesh '{subject['mesh']}'.")
    try:
        actor.set_actor_label(subject["name"])
        binding = sequence.add_spawnable_from_instance(actor)
    finally:
        actors.remove(actor)
    binding.set_display_name(subject["name"])
    channels = _transform_channels(binding, plan["frames"])
    linear = unreal.MovieSceneKeyInterpolation.LINEAR
    cx, cy, _ = plan["center_uu"]
    for frame, x_m, y_m, heading_deg in subject["keys"]:
        dx, dy, _ = conventions.point_to_uu((x_m, y_m, 0.0), units)
        # Y turns round, so headings do too; the mesh's own front is its yaw offset away.
        yaw = -heading_deg + subject["yaw_offset_deg"]
        for index, value in ((0, cx + dx), (1, cy + dy), (5, yaw)):
            channels[index].add_key(unreal.FrameNumber(frame), value, interpolation=linear)
    channels[2].set_default(plan["ground_uu"])
    for index in (6, 7, 8):
        channels[index].set_default(subject["scale"])
    section = binding.add_track(unreal.MovieSceneSkeletalAnimationTrack).add_section()
    section.set_range(0, plan["frames"])
    params = section.params
    params.animation = animation
    section.set_editor_property("params", params)


def _transform_channels(
    binding: unreal.MovieSceneBindingProxy, frames: int
) -> list[unreal.MovieSceneScriptingDoubleChannel]:
    """Return the nine channels: location, rotation (roll, pitch, yaw), scale."""
    tracks = binding.find_tracks_by_type(unreal.MovieScene3DTransformTrack)
    track = tracks[0] if len(tracks) else binding.add_track(unreal.MovieScene3DTransformTrack)
    sections = track.get_sections()
    section = sections[0] if len(sections) else track.add_section()
    section.set_range(0, frames)
    return list(section.get_all_channels())[:9]


def names_in_queue(
    sequence: unreal.LevelSequence, bindings: dict[str, unreal.MovieSceneBindingProxy]
) -> dict[str, str]:
    """Return what Movie Render Queue calls each camera in file names, where it says."""
    job = unreal.MoviePipelineQueue().allocate_new_job(unreal.MoviePipelineExecutorJob)
    job.set_editor_property("sequence", unreal.SoftObjectPath(sequence.get_path_name()))
    if not unreal.MoviePipelineLibrary.update_job_shot_list_from_sequence(sequence, job):
        return {}
    called = {
        camera.binding_id.to_string(): str(camera.name)
        for shot in job.shot_info
        for camera in shot.sidecar_cameras
    }
    ids = {name: binding.get_id().to_string() for name, binding in bindings.items()}
    return {name: called[key] for name, key in ids.items() if called.get(key)}
