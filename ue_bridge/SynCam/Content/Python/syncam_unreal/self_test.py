# SPDX-License-Identifier: Apache-2.0
"""What only a real editor can show, asked of the editor it runs in: Tools > SynCam > Self-test.

Each check compares the engine's own answer with what the bridge assumes, and is written to
Saved/SynCam/self_test.md with the versions. Actors and assets that it makes are removed again.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import unreal

from syncam_engine.link.fit import fit_camera

from . import actors, camera_reading, compat, conventions, lens, preconditions, views

FOLDER = "/Game/SynCam/SelfTest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`ok` None: nothing to compare, the value is for the record."""

    check: str
    ok: bool | None
    expected: str
    found: str


def run(host: Any = None) -> Path:
    """Run every check and write the report; return its path. A check that raises is a finding."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check()
        except Exception as error:  # noqa: BLE001 - the editor raises what it likes; that is the finding
            name = check.__name__.strip("_")
            findings.append(Finding(check=name, ok=False, expected="no error", found=f"{error!r}"))
    path = preconditions.saved_dir() / "SynCam" / "self_test.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_report(findings), "utf-8")
    data = {
        "engine": unreal.SystemLibrary.get_engine_version(),
        "findings": [asdict(f) for f in findings],
    }
    path.with_suffix(".json").write_text(json.dumps(data, indent=1), "utf-8")
    if host is not None:
        wrong = sum(finding.ok is False for finding in findings)
        host.log(
            "log" if not wrong else "warning", f"Self-test: {wrong} of {len(findings)} differ."
        )
    return path


def _report(findings: list[Finding]) -> str:
    lines = [
        "# SynCam self-test",
        "",
        f"Unreal {unreal.SystemLibrary.get_engine_version()}, Python {platform.python_version()}, "
        f"{platform.platform()}",
        "",
        "| check | | expected | found |",
        "|---|---|---|---|",
    ]
    marks = {True: "as expected", False: "DIFFERS", None: "for the record"}
    for f in findings:
        lines.append(f"| {f.check} | {marks[f.ok]} | {f.expected} | {f.found} |")
    return "\n".join(lines) + "\n"


def _close(name: str, expected: list[float], found: list[float], tolerance: float) -> Finding:
    ok = all(abs(a - b) <= tolerance for a, b in zip(expected, found, strict=True))
    text = [", ".join(f"{x:.5f}" for x in values) for values in (expected, found)]
    return Finding(check=name, ok=ok, expected=text[0], found=text[1])


def _with_camera(use: Callable[[unreal.CineCameraActor], list[Finding]]) -> list[Finding]:
    """Run `use` on a camera of odd numbers, which is destroyed again."""
    actor = actors.spawn(
        unreal.CineCameraActor,
        unreal.Vector(120.0, -340.0, 56.0),
        unreal.Rotator(roll=11.0, pitch=-23.0, yaw=131.0),
        said="a camera",
    )
    try:
        camera = actor.get_cine_camera_component()
        film = camera.filmback
        film.sensor_width, film.sensor_height = 30.0, 17.0
        if hasattr(film, "sensor_horizontal_offset"):
            film.sensor_horizontal_offset, film.sensor_vertical_offset = 1.5, 0.7
        camera.set_editor_property("filmback", film)
        glass = camera.lens_settings
        glass.squeeze_factor = 1.33
        camera.set_editor_property("lens_settings", glass)
        camera.set_editor_property("current_focal_length", 28.0)
        return use(actor)
    finally:
        actors.remove(actor)


def _axes() -> list[Finding]:
    def use(actor: unreal.CineCameraActor) -> list[Finding]:
        camera = actor.get_cine_camera_component()
        turned = camera.get_world_transform().rotation
        forward, right, up = conventions.axes_of_quaternion(
            (turned.x, turned.y, turned.z, turned.w)
        )
        found = []
        for name, ours, theirs in (
            ("forward axis", forward, turned.get_axis_x()),
            ("right axis", right, turned.get_axis_y()),
            ("up axis", up, turned.get_axis_z()),
        ):
            found.append(_close(name, list(ours), [theirs.x, theirs.y, theirs.z], 1e-5))
        return found

    return _with_camera(use)


def _lens() -> list[Finding]:
    def use(actor: unreal.CineCameraActor) -> list[Finding]:
        camera = actor.get_cine_camera_component()
        seen = camera_reading.read_lens(camera)
        findings = [
            _close(
                "horizontal angle of view with squeeze",
                [lens.fov_x_deg(seen)],
                [camera.get_horizontal_field_of_view()],
                1e-3,
            )
        ]
        matrix = camera.get_camera_view(0.0).calculate_projection_matrix()
        K = lens.intrinsics_of(seen, 1000, 500)
        # The engine's projection: clip x = M00 x + M20 z, and clip w = z.
        expected = [1.0 - K[0][2] / 500.0, K[1][2] / 250.0 - 1.0]
        found = [-matrix.z_plane.x, -matrix.z_plane.y]
        findings.append(_close("principal point by sensor offset (x, y)", expected, found, 1e-4))
        findings.append(
            _close("focal length over width", [K[0][0] / 500.0], [matrix.x_plane.x], 1e-4)
        )
        crop = camera.crop_settings
        crop.aspect_ratio = 1.2
        camera.set_editor_property("crop_settings", crop)
        cropped = camera_reading.read_lens(camera)
        findings.append(
            _close(
                "horizontal angle of view with plate crop",
                [lens.fov_x_deg(cropped)],
                [camera.get_horizontal_field_of_view()],
                1e-3,
            )
        )
        width_mm, height_mm = lens.used_sensor_mm(cropped)
        findings.append(
            _close(
                "projection offset with plate crop (x, y)",
                [2 * cropped.offset_x_mm / width_mm, 2 * cropped.offset_y_mm / height_mm],
                [
                    camera.get_horizontal_projection_offset(),
                    camera.get_vertical_projection_offset(),
                ],
                1e-4,
            )
        )
        return findings

    return _with_camera(use)


def _features() -> list[Finding]:
    major, minor = compat.engine_version()
    known = compat.OLDEST <= (major, minor) <= compat.NEWEST
    findings = [
        Finding(check="engine version", ok=known, expected="5.4 to 5.7", found=f"{major}.{minor}")
    ]
    for name, here in (
        ("widget trees from Python", compat.has_widget_authoring()),
        ("core ticker", hasattr(unreal, "register_ticker_callback")),
        ("Media Plate", hasattr(unreal, "MediaPlate")),
        ("Media Compositing", hasattr(unreal, "MovieSceneMediaTrack")),
        ("Movie Render Queue", hasattr(unreal, "MoviePipelineQueue")),
        ("World Partition descriptions", hasattr(unreal, "WorldPartitionBlueprintLibrary")),
        ("sensor offsets", hasattr(unreal.CameraFilmbackSettings(), "sensor_horizontal_offset")),
    ):
        findings.append(Finding(check=name, ok=None, expected="-", found="yes" if here else "no"))
    return findings


def _packages() -> list[Finding]:
    findings = []
    for name in ("zmq", "msgpack", "msgspec", "syncam_engine.link"):
        module = __import__(name, fromlist=["__file__"])
        findings.append(
            Finding(
                check=f"package {name}", ok=True, expected="imports", found=str(module.__file__)
            )
        )
    numpy = "numpy" in sys.modules
    text = "loaded by another plugin" if numpy else "not loaded"
    findings.append(Finding(check="numpy", ok=None, expected="-", found=text))
    return findings


def _view() -> list[Finding]:
    """A view as previz sends it, of a camera at odd numbers: whether it is right is for eyes."""

    def use(actor: unreal.CineCameraActor) -> list[Finding]:
        component = actor.get_cine_camera_component()
        reading = camera_reading.read_camera(component, camera_reading.world_to_meters())
        camera = fit_camera(camera_reading.make_camera("self-test", [reading]), 640, 384).camera
        steps = views.render_views([camera], [component], lambda _k: None, 1, Fraction(15))
        try:
            while True:
                next(steps)
        except StopIteration as done:
            (picture,) = done.value
        path = preconditions.saved_dir() / "SynCam" / "self_test_view.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        said = "the level, lit and coloured as a viewport shows it from there (alpha aside)"
        return [Finding(check="rendered view", ok=None, expected=said, found=str(path))]

    return _with_camera(use)


def _spawnable_names() -> list[Finding]:
    """What Movie Render Queue calls two spawnable cameras: the file names of rendered rigs."""
    if not hasattr(unreal, "MoviePipelineQueue"):
        return []
    tools = unreal.AssetToolsHelpers.get_asset_tools()
    path = f"{FOLDER}/SelfTestSequence"
    if unreal.EditorAssetLibrary.does_asset_exist(path):
        unreal.EditorAssetLibrary.delete_asset(path)
    sequence = tools.create_asset(
        "SelfTestSequence", FOLDER, unreal.LevelSequence, unreal.LevelSequenceFactoryNew()
    )
    names = ["cam01", "cam02"]
    try:
        for name in names:
            actor = actors.spawn(unreal.CineCameraActor, unreal.Vector(0, 0, 0), said="a camera")
            try:
                actor.set_actor_label(name)
                binding = sequence.add_spawnable_from_instance(actor)
                binding.set_display_name(name)
            finally:
                actors.remove(actor)
        cut = sequence.add_track(unreal.MovieSceneCameraCutTrack).add_section()
        cut.set_range(0, 1)
        cut.set_camera_binding_id(sequence.get_binding_id(binding))
        job = unreal.MoviePipelineQueue().allocate_new_job(unreal.MoviePipelineExecutorJob)
        unreal.MoviePipelineLibrary.update_job_shot_list_from_sequence(sequence, job)
        found = [str(c.name) for shot in job.shot_info for c in shot.sidecar_cameras]
    finally:
        unreal.EditorAssetLibrary.delete_asset(path)
    return [
        Finding(
            check="camera names of spawnables in Movie Render Queue",
            ok=sorted(found) == names,
            expected=", ".join(names),
            found=", ".join(found) or "none",
        )
    ]


CHECKS = (_features, _packages, _axes, _lens, _view, _spawnable_names)
