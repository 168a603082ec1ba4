# SPDX-License-Identifier: Apache-2.0
"""A job's clips onto planes in the level: files, media assets, material instances, actors.

A take has one set of assets, `/Game/SynCam/<take>/{MS,MP,MT,MI}_<camera>`, which later jobs update;
the clips have new file names each time, because a file that a player holds open cannot be written
over on Windows. Work is a generator, one camera a step; what a failed run made is taken back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import unreal

from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig

from . import actors, camera_reading, materials, plates, preconditions
from .assets import AssetMaker, asset_name, asset_names

PLANE_MESH = "/Engine/BasicShapes/Plane"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One camera's file on this machine."""

    camera: str
    path: Path
    width_px: int
    height_px: int
    frames: int = 0
    fps: tuple[int, int] = (15, 1)


@dataclass(kw_only=True)
class Take:
    """What to show: a job's clips on the cameras that they were made for."""

    name: str
    job_id: str
    rig: Rig
    clips: list[Clip]
    fit_rule: str = "crop"
    distance_m: float = 1.0
    style: str = "plane"
    """plane, or media plate."""
    media_track: bool = False
    """Add Media Tracks to the open sequence too."""
    first_frame: int = 0
    """Where the Media Tracks begin, in display frames."""


@dataclass(kw_only=True)
class Shown:
    """What a take made. Holds the players, which the editor would let go."""

    take: str
    players: dict[str, unreal.MediaPlayer] = field(default_factory=dict)
    sources: dict[str, unreal.FileMediaSource] = field(default_factory=dict)
    textures: dict[str, unreal.MediaTexture] = field(default_factory=dict)
    plates: dict[str, unreal.Actor] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    old_files: list[Path] = field(default_factory=list)
    old_plates: list[unreal.Actor] = field(default_factory=list)
    """Of the take, but of the other style."""


def show_take(take: Take, shown: Shown) -> Iterator[float]:
    """Bring a take's clips into the level, one camera a step; yields the part done.

    Fills `shown`. Raises SynCamError and leaves nothing of this run behind.
    """
    preconditions.check_ready()
    check_style(take.style)
    sequence = sequence_for_tracks() if take.media_track else None
    maker = AssetMaker()
    cameras = {camera.name: camera for camera in take.rig.cameras}
    names = asset_names(clip.camera for clip in take.clips)
    try:
        for index, clip in enumerate(take.clips):
            _show_clip(maker, take, cameras[clip.camera], clip, names[clip.camera], shown)
            yield (index + 1) / len(take.clips)
        if sequence is not None:
            _add_media_tracks(maker, take, shown, sequence)
        for actor in shown.old_plates:
            actors.remove(actor)
    except BaseException:
        maker.undo()
        raise


def check_style(style: str) -> None:
    """Raise SynCamError where this project cannot show clips in this style."""
    if style == "media plate" and not hasattr(unreal, "MediaPlate"):
        raise SynCamError(
            "unreal.plugin",
            "The plugin 'Media Plate' is not enabled in this project.",
            value="MediaPlate",
            fix="Enable Media Plate, or show the clips on planes",
        )


def _show_clip(
    maker: AssetMaker, take: Take, camera: Camera, clip: Clip, name: str, shown: Shown
) -> None:
    folder = f"{materials.FOLDER}/{asset_name(take.name)}"
    target = clip_file(take, clip, name)
    _copy(clip.path, target, maker)
    crop = plates.plate_crop_of(camera, clip.width_px, clip.height_px, take.fit_rule)

    source = maker.get_or_make(
        f"{folder}/MS_{name}", unreal.FileMediaSource, unreal.FileMediaSourceFactoryNew()
    )
    player = maker.get_or_make(
        f"{folder}/MP_{name}", unreal.MediaPlayer, unreal.MediaPlayerFactoryNew()
    )
    texture = maker.get_or_make(
        f"{folder}/MT_{name}", unreal.MediaTexture, unreal.MediaTextureFactoryNew()
    )
    before = source.file_path
    old = Path(before).name
    if before:
        maker.on_undo(lambda: _point_back(source, before))
    source.set_file_path(str(target))
    player.set_editor_property("play_on_open", False)
    player.set_editor_property("loop", True)
    materials.configure_texture(texture, player)
    instance = materials.plate_instance(maker, f"{folder}/MI_{name}", texture, crop)
    for asset in (source, player, texture, instance):
        maker.save(asset)
    actor = _place(maker, take, camera, clip, plate_tag(take.name, name), instance, shown)
    if take.style == "media plate":
        player = actor.media_plate_component.get_media_player()
    shown.players[clip.camera] = player
    shown.sources[clip.camera], shown.textures[clip.camera] = source, texture
    shown.plates[clip.camera], shown.files[clip.camera] = actor, target
    if old and old != target.name:
        shown.old_files.append(target.with_name(old))


def _point_back(source: unreal.FileMediaSource, path: str) -> None:
    source.set_file_path(path)
    unreal.EditorAssetLibrary.save_loaded_asset(source)


def clip_file(take: Take, clip: Clip, name: str) -> Path:
    """Return where a clip lies in the project: a new name for each job."""
    folder = preconditions.content_dir() / "Movies" / "SynCam" / asset_name(take.name)
    return folder / f"{name}_{take.job_id[:8]}{clip.path.suffix or '.mp4'}"


def _copy(source: Path, target: Path, maker: AssetMaker) -> None:
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return  # The same job was shown before; a player may hold the file.
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SynCamError(
            "unreal.clip_copy",
            f"The clip '{source.name}' cannot be copied to '{target.parent}': {error.strerror}.",
            value=str(target),
        ) from None
    maker.on_undo(lambda: target.unlink(missing_ok=True))


def plate_tag(take: str, name: str) -> str:
    """Return the actor tag by which a plate is found again; `name` is its assets'."""
    return f"{actors.PLATE_TAG}{asset_name(take)}:{name}"


def _place(
    maker: AssetMaker,
    take: Take,
    camera: Camera,
    clip: Clip,
    tag: str,
    instance: unreal.MaterialInstanceConstant,
    shown: Shown,
) -> unreal.Actor:
    """Put the plane in front of the camera, or move the one that stands there."""
    kind = unreal.MediaPlate if take.style == "media plate" else unreal.StaticMeshActor
    standing = [plate for plate in actors.plates() if plate.actor_has_tag(tag)]
    actor = next((plate for plate in standing if isinstance(plate, kind)), None)
    shown.old_plates += [plate for plate in standing if not isinstance(plate, kind)]
    units_per_m = camera_reading.world_to_meters()
    followed = _camera_named(camera.name)
    if followed is not None and camera.is_moving:
        # It stands where the playhead has it: in front of that the plane is right at every frame.
        now = camera_reading.pose_of(followed.camera_component, units_per_m)
        camera = replace(camera, c2w_cv_m=now)
    plate = plates.plate_of(
        camera,
        (clip.width_px, clip.height_px),
        rule=take.fit_rule,
        distance_m=take.distance_m,
        world_to_meters=units_per_m,
    )
    at = unreal.Vector(*plate.location_uu)
    roll, pitch, yaw = plate.roll_pitch_yaw_deg
    turned = unreal.Rotator(roll=roll, pitch=pitch, yaw=yaw)
    with unreal.ScopedEditorTransaction("SynCam: show a clip"):
        if actor is None:
            actor = actors.spawn(kind, at, turned, said="a plane")
            maker.on_undo(lambda: actors.remove(actor))
            actor.set_actor_label(f"SynCam {take.name} {clip.camera}")
            actor.set_folder_path(f"SynCam/{take.name}")
            actor.set_editor_property("tags", [*actor.tags, tag])
        else:
            stood = actor.get_actor_transform()
            maker.on_undo(lambda: actor.set_actor_transform(stood, False, False))
        actor.set_actor_transform(
            unreal.Transform(at, turned, unreal.Vector(*plate.scale)), False, False
        )
        actor.set_actor_enable_collision(False)
        mesh = actor.static_mesh_component
        mesh.set_mobility(unreal.ComponentMobility.MOVABLE)
        if take.style != "media plate":
            mesh.set_static_mesh(unreal.load_asset(PLANE_MESH))
            mesh.set_material(0, instance)
        if followed is not None:
            keep = unreal.AttachmentRule.KEEP_WORLD
            actor.attach_to_actor(followed, "", keep, keep, keep)
    return actor


def _camera_named(name: str) -> unreal.CameraActor | None:
    """Return the level's camera of this name, where it has one alone: its plane goes with it."""
    named = [
        actor
        for actor in actors.subsystem().get_all_level_actors()
        if isinstance(actor, unreal.CameraActor)
        and name in (actor.get_actor_label(), f"{actor.get_actor_label()} [{actor.get_name()}]")
    ]
    return named[0] if len(named) == 1 else None


def sequence_for_tracks() -> unreal.LevelSequence:
    """Return the open sequence. Raises SynCamError where Media Tracks cannot be added to one."""
    sequence = unreal.LevelSequenceEditorBlueprintLibrary.get_current_level_sequence()
    if sequence is None or not hasattr(unreal, "MovieSceneMediaTrack"):
        missing = "no Level Sequence is open" if sequence is None else "Media Compositing is off"
        raise SynCamError(
            "unreal.media_track",
            f"Media Tracks cannot be added: {missing}.",
            fix="Open a sequence and enable the plugin Media Compositing",
        )
    return sequence


def _add_media_tracks(
    maker: AssetMaker, take: Take, shown: Shown, sequence: unreal.LevelSequence
) -> None:
    """Put a Media Track for each clip into the sequence: Sequencer's time drives it."""
    rate = sequence.get_display_rate()
    for clip in take.clips:
        label = f"SynCam {take.name} {clip.camera}"
        tracks = sequence.find_tracks_by_type(unreal.MovieSceneMediaTrack)
        track = next((t for t in tracks if str(t.get_display_name()) == label), None)
        if track is None:
            track = sequence.add_track(unreal.MovieSceneMediaTrack)
            track.set_display_name(label)
            maker.on_undo(lambda track=track: sequence.remove_track(track))
        sections = track.get_sections()
        section = sections[0] if len(sections) else track.add_section()
        seconds = clip.frames * clip.fps[1] / clip.fps[0]
        length = max(1, round(seconds * rate.numerator / rate.denominator))
        section.set_range(take.first_frame, take.first_frame + length)
        section.set_editor_property("media_source", shown.sources[clip.camera])
        section.set_editor_property("media_texture", shown.textures[clip.camera])
        section.set_editor_property("looping", False)
    unreal.LevelSequenceEditorBlueprintLibrary.refresh_current_level_sequence()
