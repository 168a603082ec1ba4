# SPDX-License-Identifier: Apache-2.0
"""A rig: the ordered cameras of one shot, seen from one anchor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from syncam_engine.link import poses
from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.poses import Matrix4, Vector3


def check_names(names: Sequence[object]) -> None:
    """Raise SynCamError ("rig.names") where two cameras have one name."""
    for index, name in enumerate(names):
        if name in names[:index]:
            raise SynCamError(
                "rig.names",
                f"Two cameras are named {name!r}; every camera of a rig needs its own name.",
                value=name,
                fix="Rename one of them",
            )


def frames_shown(frames: int, source_fps: Fraction, fps: Fraction, *, first: int = 0) -> list[int]:
    """Return which frame of a source each picture of a clip shows: the one nearest to its time.

    Half a frame rounds up, so that a picture never shows what came before its own time.
    """
    return [int(source_fps / fps * k + Fraction(1, 2)) for k in range(first, first + frames)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """Cameras of one moment. Raises SynCamError ("rig.*") for an impossible one."""

    cameras: tuple[Camera, ...]
    anchor: int = 0
    """Index of the camera whose frame the network's world is."""
    fps: Fraction = Fraction(15)
    """Frames a second of the poses, where cameras move."""
    source: str = ""
    """Where it was read: a scene's or file's name."""
    source_unit: str = "metre"
    """The unit of the scene it came from, for people; the poses are metres."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cameras", tuple(self.cameras))
        if not self.cameras:
            raise SynCamError(
                "rig.empty",
                "The rig has no camera; it needs at least one.",
                value=0,
                nearest=1,
                fix="Add a camera to the scene",
            )
        check_names([camera.name for camera in self.cameras])
        if not isinstance(self.anchor, int) or not 0 <= self.anchor < len(self.cameras):
            raise SynCamError(
                "rig.anchor",
                f"The anchor is camera {self.anchor!r} of {len(self.cameras)}; "
                f"it must be 0 to {len(self.cameras) - 1}.",
                value=self.anchor,
                nearest=0,
            )
        counts = {camera.frame_count for camera in self.cameras if camera.frame_count > 1}
        if len(counts) > 1:
            raise SynCamError(
                "rig.frames",
                f"The cameras have poses for {', '.join(map(str, sorted(counts)))} frames; "
                "all moving cameras of a rig need one count.",
                value=sorted(counts),
                nearest=min(counts),
            )
        fps = Fraction(self.fps)
        if not 0 < fps <= 1000:
            raise SynCamError(
                "rig.fps",
                f"The rig has {float(fps):g} frames a second; it must be 0 to 1000.",
                value=float(fps),
                nearest=15,
            )
        object.__setattr__(self, "fps", fps)

    @property
    def frame_count(self) -> int:
        """The number of frames that its poses cover; 1 when nothing moves."""
        return max(camera.frame_count for camera in self.cameras)

    @property
    def is_moving(self) -> bool:
        return any(camera.is_moving for camera in self.cameras)

    @property
    def anchor_camera(self) -> Camera:
        return self.cameras[self.anchor]

    def relative_c2w_cv_m(self, frame: int = 0) -> list[Matrix4]:
        """Return each camera's 4x4 pose in the anchor's frame at the same instant, in rig order.

        The anchor's own is the identity. A moving anchor's motion vanishes here by design: this is
        how the method was trained.
        """
        anchor = self.anchor_camera.c2w_cv_m_at(frame)
        return [poses.relative_c2w(anchor, camera.c2w_cv_m_at(frame)) for camera in self.cameras]

    def centre_m(self, frame: int = 0) -> Vector3 | None:
        """Return the point that the cameras look at together; None when there is none."""
        return poses.nearest_point_to_axes_m([c.c2w_cv_m_at(frame) for c in self.cameras])

    def with_anchor_first(self) -> Rig:
        """Return the same rig with the anchor as camera 0, the others in their order."""
        order = [self.anchor, *(i for i in range(len(self.cameras)) if i != self.anchor)]
        return replace(self, cameras=tuple(self.cameras[i] for i in order), anchor=0)

    def subset(self, names: Iterable[str]) -> Rig:
        """Return the cameras of these names, in that order; the anchor stays if it is one."""
        by_name = {camera.name: camera for camera in self.cameras}
        wanted = list(names)
        for name in wanted:
            if name not in by_name:
                raise SynCamError(
                    "rig.camera_unknown",
                    f"The rig has no camera {name!r}; it has {', '.join(map(repr, by_name))}.",
                    value=name,
                )
        anchor = self.anchor_camera.name
        cameras = tuple(by_name[name] for name in wanted)
        return replace(
            self, cameras=cameras, anchor=wanted.index(anchor) if anchor in wanted else 0
        )

    def for_clip(self, frames: int, fps: Fraction) -> Rig:
        """Return the rig with one pose for each picture of a clip, taken at the picture's time.

        A rig that stands, has just as many poses, or ends before the clip stays as it is.
        """
        if self.frame_count in (1, frames) or frames < 1 or fps <= 0:
            return self
        if frames_shown(1, self.fps, fps, first=frames - 1)[0] >= self.frame_count:
            return self
        return replace(self.at_frames(frames_shown(frames, self.fps, fps)), fps=fps)

    def at_frames(self, frames: Iterable[int]) -> Rig:
        """Return the rig with poses at these frames only; static cameras stay as they are.

        A frame past the end holds the last pose.
        """
        wanted = list(frames)

        def take(matrix, count):
            if isinstance(matrix[0][0], tuple):
                return tuple(matrix[min(k, count - 1)] for k in wanted)
            return matrix

        return replace(
            self,
            cameras=tuple(
                replace(c, K=take(c.K, c.frame_count), c2w_cv_m=take(c.c2w_cv_m, c.frame_count))
                for c in self.cameras
            ),
        )
