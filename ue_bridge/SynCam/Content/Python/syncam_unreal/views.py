# SPDX-License-Identifier: Apache-2.0
"""What cameras see of the level, rendered by the editor into clips for the engine (previz).

Each camera has a transient SceneCapture2D while it lasts, set to the camera's fitted `K` and pose:
the pictures are what the model is told. One picture a step, so that the editor goes on; planes of
earlier jobs are hidden. Actors, render targets and files are gone at the end, however it ends.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Generator, Sequence
from fractions import Fraction
from pathlib import Path

import unreal

from syncam_engine.link import png
from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.poses import Matrix3
from syncam_engine.link.rig import Rig

from . import actors, camera_reading, compat, conventions, preconditions
from .level_cameras import LevelScope, find_cameras
from .sequence_cameras import SequenceScope, camera_components, check_open, opened
from .undo import Undo

WARM_UP_PICTURES = 8
"""Not kept: exposure, streaming and lighting settle in them."""
LEFT_OUT = ("DepthOfField", "MotionBlur")
"""Show flags of what would blur a picture that says where things are."""
SRGB_GAMMA = 2.2
"""At this display gamma the engine's tone mapper writes the sRGB curve; the target's own is 1."""

Views = Generator[int, None, list[bytes]]


def render_views(
    cameras: Sequence[Camera],
    components: Sequence[unreal.CameraComponent],
    show: Callable[[int], None],
    pictures: int,
    fps: Fraction,
) -> Views:
    """Yield how many pictures are made, after each; return one clip a camera.

    `cameras` are fitted to the clips' size, `components` are theirs (for their post processing),
    `show(k)` brings the scene to the moment of picture k. Raises SynCamError where the level, a
    camera or the editor fails it.
    """
    undo = Undo()
    with tempfile.TemporaryDirectory(prefix="syncam-views-") as folder:
        try:
            captures = [
                Capture(camera, component, undo)
                for camera, component in zip(cameras, components, strict=True)
            ]
            files: list[list[bytes]] = [[] for _ in captures]
            made = 0
            for k in range(pictures):
                for capture, row in zip(captures, files, strict=True):
                    for _ in range(0 if k else WARM_UP_PICTURES):
                        show(k)
                        capture.draw(k)
                        yield made
                    # Again each time: between two steps the user may have moved the playhead.
                    show(k)
                    capture.draw(k)
                    row.append(capture.export(Path(folder)))
                    made += 1
                    yield made
            clips = []
            while files:
                clips.append(png.clip(files.pop(0), fps))
                yield made
            return clips
        finally:
            undo.undo()


class Capture:
    """One camera's SceneCapture2D and its render target; what it makes is put on `undo`."""

    def __init__(self, camera: Camera, component: unreal.CameraComponent, undo: Undo) -> None:
        self.camera, self.component = camera, component
        self._units = camera_reading.world_to_meters()
        self._world = unreal.get_editor_subsystem(unreal.UnrealEditorSubsystem).get_editor_world()
        self.actor = actors.spawn(
            unreal.SceneCapture2D,
            unreal.Vector(0.0, 0.0, 0.0),
            said=f"a capture of camera {camera.name!r}",
            transient=True,
        )
        undo.on_undo(lambda: actors.remove(self.actor))
        target = unreal.RenderingLibrary.create_render_target2d(
            self._world,
            camera.width_px,
            camera.height_px,
            unreal.TextureRenderTargetFormat.RTF_RGBA8,
        )
        if target is None:
            raise self._failed("the editor made no render target")
        undo.on_undo(lambda: unreal.RenderingLibrary.release_render_target2d(target))
        target.set_editor_property("target_gamma", SRGB_GAMMA)
        self.target = target
        self.eye = self.actor.capture_component2d
        for name, value in {
            "texture_target": target,
            "capture_source": unreal.SceneCaptureSource.SCS_FINAL_COLOR_LDR,
            "capture_every_frame": False,
            "capture_on_movement": False,
            # Exposure and lighting go on from picture to picture.
            "always_persist_rendering_state": True,
            # The first picture is a cut: exposure begins where it belongs.
            "camera_cut_this_frame": True,
            "override_custom_near_clipping_plane": True,
            "custom_near_clipping_plane": camera.near_m * self._units,
            "hidden_actors": actors.plates(),
            "show_flag_settings": [
                unreal.EngineShowFlagsSetting(show_flag_name=name, enabled=False)
                for name in LEFT_OUT
            ],
        }.items():
            self.eye.set_editor_property(name, value)

    def draw(self, k: int) -> None:
        """Render what the camera sees at picture k into the target.

        Plain attributes, no editor properties: an edit registers the component anew, and what it
        remembers of earlier pictures would be lost.
        """
        if not compat.is_alive(self.actor) or not compat.is_alive(self.component):
            raise SynCamError(
                "unreal.camera_gone",
                f"Camera {self.camera.name!r} was deleted, or its level was closed, while its view "
                "was rendered.",
                fix="Refresh the cameras",
            )
        location, (roll, pitch, yaw) = conventions.unreal_placement(
            self.camera.c2w_cv_m_at(k), self._units
        )
        turned = unreal.Rotator(roll=roll, pitch=pitch, yaw=yaw)
        self.actor.set_actor_location_and_rotation(unreal.Vector(*location), turned, False, True)
        self._set_lens(self.camera.K_at(k))
        self.eye.post_process_settings = self.component.post_process_settings
        self.eye.post_process_blend_weight = self.component.post_process_blend_weight
        self.eye.capture_scene()

    def _set_lens(self, K: Matrix3) -> None:
        """A plain angle where the lens is centred; else a projection matrix, with an angle that
        covers it, because the engine culls by the angle."""
        width, height = self.camera.width_px, self.camera.height_px
        side = max(K[0][2], width - K[0][2]) / K[0][0]
        rise = max(K[1][2], height - K[1][2]) / K[1][1]
        half = math.atan(max(side, rise * width / height))
        self.eye.fov_angle = math.degrees(2.0 * half)
        shift = (2.0 * K[0][2] / width - 1.0, 1.0 - 2.0 * K[1][2] / height)
        off_centre = max(map(abs, shift)) > 1e-6 or abs(K[0][0] - K[1][1]) > 1e-6 * K[0][0]
        self.eye.use_custom_projection_matrix = off_centre
        if off_centre:
            near = self.camera.near_m * self._units
            # Rows by the engine's row vectors; depth reversed, the far plane at infinity.
            self.eye.custom_projection_matrix = unreal.Matrix(
                unreal.Plane(2.0 * K[0][0] / width, 0.0, 0.0, 0.0),
                unreal.Plane(0.0, 2.0 * K[1][1] / height, 0.0, 0.0),
                unreal.Plane(*shift, 0.0, 1.0),
                unreal.Plane(0.0, 0.0, near, 0.0),
            )

    def export(self, folder: Path) -> bytes:
        """Return the target as a PNG file's bytes, by a file that the editor writes."""
        path = folder / "view.png"
        unreal.RenderingLibrary.export_render_target(
            self._world, self.target, str(folder), path.name
        )
        try:
            picture = path.read_bytes()
            path.unlink()
            size = png.size_of(picture)
        except OSError as error:
            raise self._failed(f"the editor wrote no picture ({error.strerror})") from None
        except ValueError as error:
            raise self._failed(str(error)) from None
        if size != (self.camera.width_px, self.camera.height_px):
            raise self._failed(f"it is {size[0]}x{size[1]}")
        return picture

    def _failed(self, why: str) -> SynCamError:
        return SynCamError(
            "unreal.view",
            f"The view of camera {self.camera.name!r} was not rendered: {why}.",
            fix="Give clips of your own",
        )


def level_views(scope: LevelScope, rig: Rig, wanted: Sequence[int]) -> Views:
    """Render the level as it stands: one picture a camera, held by the engine for a clip's length.

    `rig` is of all cameras in scope, fitted; `wanted` are the indices of those to render.
    """
    components = _components_of(rig, find_cameras(scope), wanted)

    def show(_k: int) -> None:
        preconditions.check_not_playing()

    cameras = [rig.cameras[index] for index in wanted]
    return (yield from render_views(cameras, components, show, 1, rig.fps))


def sequence_views(
    sequence: unreal.LevelSequence,
    scope: SequenceScope,
    rig: Rig,
    wanted: Sequence[int],
    frames: Sequence[float],
) -> Views:
    """Render the evaluated sequence at these display frames, one for each picture of the rig.

    The playhead comes back to where it was.
    """

    def show(k: int) -> None:
        preconditions.check_not_playing()
        check_open(sequence)
        compat.set_playhead(frames[k])

    with opened(sequence):
        show(0)
        components = _components_of(rig, camera_components(sequence, scope.which), wanted)
        cameras = [rig.cameras[index] for index in wanted]
        return (yield from render_views(cameras, components, show, len(frames), rig.fps))


def _components_of(
    rig: Rig, found: list[unreal.CameraComponent], wanted: Sequence[int]
) -> list[unreal.CameraComponent]:
    """Return the components of the wanted cameras; they must be those that the rig was read of."""
    if camera_reading.names_of(found) != [camera.name for camera in rig.cameras]:
        raise SynCamError(
            "unreal.cameras_changed",
            "Cameras were added, renamed or taken away between reading them and rendering views.",
            fix="Generate again",
        )
    return [found[index] for index in wanted]
