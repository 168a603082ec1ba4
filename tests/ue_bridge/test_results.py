# SPDX-License-Identifier: Apache-2.0
"""Clips on planes: assets, placement, updates, playing together, and nothing half-made left."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from unreal_scenes import make_sequence, move, place_ball, place_camera

from syncam_engine.link.errors import SynCamError


def make_clips(folder, names, size=(160, 96), content="clip"):
    from syncam_unreal.results import Clip

    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for index, name in enumerate(names):
        path = folder / f"{index}.mp4"
        path.write_bytes(f"{content} of {name}".encode())
        clips.append(Clip(camera=name, path=path, width_px=size[0], height_px=size[1], frames=17))
    return clips


def show(unreal, tmp_path, *, job="a1b2c3d4e5f6", content="clip", **options):
    from syncam_unreal.level_cameras import LevelScope, read_level_rig
    from syncam_unreal.results import Shown, Take, show_take

    rig = read_level_rig(LevelScope(which="all"))
    clips = make_clips(tmp_path / job, [c.name for c in rig.cameras], content=content)
    take = Take(name="Take 1", job_id=job, rig=rig, clips=clips, **options)
    shown = Shown(take=take.name)
    parts = list(show_take(take, shown))
    return take, shown, parts


def place_two(unreal):
    place_camera(
        unreal, "camA", (0, 0, 150), (0, -10, 0), width_mm=30.0, height_mm=20.0, focal_mm=24.0
    )
    place_camera(unreal, "Kamera ü", (300, 400, 180), (4, -20, -120), focal_mm=50.0)


def test_assets_of_a_take(unreal, editor, tmp_path):
    place_two(unreal)
    _, shown, parts = show(unreal, tmp_path)
    assert parts == [0.5, 1.0], "one camera a step"
    folder = "/Game/SynCam/Take_1_e4eee8ee"
    made = sorted(path for path in editor.assets if path.startswith(folder))
    assert [path.rsplit("/", 1)[1] for path in made if path.endswith("camA")] == [
        "MI_camA", "MP_camA", "MS_camA", "MT_camA",
    ]  # fmt: skip
    assert len(made) == 8
    assert set(made) <= editor.saved
    assert editor.errors() == []
    material = editor.assets["/Game/SynCam/M_SynCam_Plate"]
    assert material._compiled, "the sampler type matches the media texture"
    texture = shown.textures["camA"]
    assert texture.get_media_player() is shown.players["camA"]
    assert not texture._resource_stale, "update_resource was called last"
    assert shown.players["camA"].is_looping()
    assert texture.get_editor_property("new_style_output"), "sampled as Color by every player"
    sample = next(e for e in material._expressions if hasattr(type(e), "sampler_type"))
    assert sample.sampler_type == unreal.MaterialSamplerType.SAMPLERTYPE_COLOR
    instance = editor.assets[f"{folder}/MI_camA"]
    library = unreal.MaterialEditingLibrary
    assert (
        library.get_material_instance_texture_parameter_value(instance, "MediaTexture") is texture
    )
    plate = shown.plates["camA"]
    assert plate.static_mesh_component.get_material(0) is instance
    assert plate._folder == "SynCam/Take 1"
    source = shown.sources["camA"]
    assert source.file_path == "./Movies/SynCam/Take_1_e4eee8ee/camA_a1b2c3d4.mp4"


@pytest.mark.parametrize("rule", ["crop", "letterbox"])
def test_a_plate_fills_what_its_clip_shows(unreal, tmp_path, rule):
    """Corners of the plane, by the engine's own transforms, project onto the edges of the clip."""
    place_two(unreal)
    take, shown, _ = show(unreal, tmp_path, fit_rule=rule, distance_m=2.5)
    from syncam_unreal.plates import plate_crop_of

    from syncam_engine.link.fit import fit_camera

    for camera in take.rig.cameras:
        fitted = fit_camera(camera, 160, 96, rule).camera
        u0, v0, u1, v1 = plate_crop_of(camera, 160, 96, rule)
        transform = shown.plates[camera.name].get_actor_transform()
        for x, y, u, v in (
            (-50, -50, u0, v0),
            (50, -50, u1, v0),
            (50, 50, u1, v1),
            (-50, 50, u0, v1),
        ):
            corner = transform.transform_location(unreal.Vector(float(x), float(y), 0.0))
            got = fitted.project([corner.x / 100, -corner.y / 100, corner.z / 100])
            assert got[:2] == pytest.approx((u * 160, v * 96), abs=1e-6)
            assert got[2] == pytest.approx(2.5)
        normal = transform.transform_direction(unreal.Vector(0.0, 0.0, 1.0))
        forward = [row[2] for row in camera.c2w_cv_m[:3]]
        facing = normal.x * forward[0] - normal.y * forward[1] + normal.z * forward[2]
        assert facing == pytest.approx(-1.0), "the plane's lit side faces the camera"


def test_a_letterboxed_clip_is_cropped_in_its_material(unreal, editor, tmp_path):
    place_camera(unreal, "camA", width_mm=20.0, height_mm=20.0)
    _, shown, _ = show(unreal, tmp_path, fit_rule="letterbox")
    instance = shown.plates["camA"].static_mesh_component.get_material(0)
    scale, offset = instance._vectors["PlateScale"], instance._vectors["PlateOffset"]
    assert (scale.r, scale.g) == pytest.approx((96 / 160, 1.0))
    assert (offset.r, offset.g) == pytest.approx((0.2, 0.0))


def test_a_second_job_updates_what_is_there(unreal, editor, tmp_path):
    place_two(unreal)
    _, first, _ = show(unreal, tmp_path)
    assets, actors = set(editor.assets), len(editor.actors)
    from syncam_unreal.playback import Playback

    playback = Playback(first)
    tick_until(editor, playback)
    _, second, _ = show(unreal, tmp_path, job="ffff0000aaaa", content="another")
    assert set(editor.assets) == assets
    assert len(editor.actors) == actors
    assert second.files["camA"] != first.files["camA"], "a playing file is not written over"
    assert first.files["camA"].exists(), "not before its player has let go"
    playback = Playback(second)
    tick_until(editor, playback)
    assert not first.files["camA"].exists(), "the old clip is cleared away once the new one plays"
    urls = {player.get_url() for player in second.players.values()}
    assert urls == {str(path) for path in second.files.values()}


def tick_until(editor, playback, state="playing"):
    for _ in range(50):
        editor.tick()
        playback.tick(1 / 30)
        if playback.state == state:
            return
    raise AssertionError(playback.state)


def test_clips_start_together(unreal, editor, tmp_path):
    place_two(unreal)
    _, shown, _ = show(unreal, tmp_path)
    from syncam_unreal.playback import Playback

    playback = Playback(shown)
    assert playback.state == "opening"
    tick_until(editor, playback)
    for _ in range(7):
        editor.tick()
    times = {player._time_s for player in shown.players.values()}
    assert len(times) == 1
    assert times.pop() > 0.2
    playback.stop()
    assert all(player.is_closed() for player in shown.players.values())


def test_a_player_that_opened_early_is_rewound(unreal, editor, tmp_path):
    place_two(unreal)
    _, shown, _ = show(unreal, tmp_path)
    from syncam_unreal.playback import Playback

    shown.players["camA"].set_editor_property("play_on_open", True)
    playback = Playback(shown)
    shown.players["Kamera ü"]._left = 12
    tick_until(editor, playback)
    assert {player._time_s for player in shown.players.values()} == {0.0}


def test_a_clip_that_no_player_opens_is_said(unreal, editor, tmp_path):
    place_two(unreal)
    _, shown, _ = show(unreal, tmp_path)
    from syncam_unreal.playback import Playback

    shown.files["camA"].unlink()
    playback = Playback(shown)
    with pytest.raises(SynCamError) as caught:
        tick_until(editor, playback)
    assert caught.value.code == "unreal.media_open"
    assert "camA" in caught.value.sentence


def test_media_plates_play_on_their_own_player(unreal, editor, tmp_path):
    place_two(unreal)
    _, shown, _ = show(unreal, tmp_path, style="media plate")
    plate = shown.plates["camA"]
    assert isinstance(plate, unreal.MediaPlate)
    assert shown.players["camA"] is plate.media_plate_component.get_media_player()


def test_media_tracks_follow_the_sequence(unreal, editor, tmp_path):
    from unreal_scenes import make_sequence

    place_two(unreal)
    sequence = make_sequence(unreal, editor)
    unreal.LevelSequenceEditorBlueprintLibrary.open_level_sequence(sequence)
    show(unreal, tmp_path, media_track=True, first_frame=12)
    show(unreal, tmp_path, job="ffff0000aaaa", media_track=True, first_frame=12)
    tracks = sequence.find_tracks_by_type(unreal.MovieSceneMediaTrack)
    assert len(tracks) == 2, "one for each camera, updated by the second job"
    section = tracks[0].get_sections()[0]
    assert (section.get_start_frame(), section.get_end_frame()) == (12, 12 + 34)
    assert section.media_source.file_path.endswith("ffff0000.mp4")


def test_media_tracks_without_a_sequence_are_refused_first(unreal, editor, tmp_path):
    place_two(unreal)
    with pytest.raises(SynCamError, match="no Level Sequence is open"):
        show(unreal, tmp_path, media_track=True)
    assert editor.assets == {}


def test_plates_follow_their_camera(unreal, tmp_path):
    place_two(unreal)
    _, shown, _ = show(unreal, tmp_path)
    actor = next(a for a in unreal._editor.actors if a.get_actor_label() == "camA")
    before = shown.plates["camA"].get_actor_location()
    actor.set_actor_location_and_rotation(
        unreal.Vector(0, 1000, 150), actor.get_actor_rotation(), False, False
    )
    after = shown.plates["camA"].get_actor_location()
    assert (after.x, after.y, after.z) == pytest.approx((before.x, before.y + 1000, before.z))


def test_a_plate_of_a_moving_camera_fits_wherever_the_playhead_stands(unreal, editor, tmp_path):
    from syncam_unreal import compat, plates
    from syncam_unreal.results import Shown, Take, show_take
    from syncam_unreal.sequence_cameras import SequenceReading, SequenceScope

    sequence = make_sequence(unreal, editor)
    move(unreal, sequence.add_possessable(place_camera(unreal, "mover")), 0.0, 900.0, 90)
    unreal.LevelSequenceEditorBlueprintLibrary.open_level_sequence(sequence)
    reading = SequenceReading(sequence, SequenceScope(), pictures=17, fps=Fraction(15))
    while not reading.step():
        pass
    compat.set_playhead(40)
    clips = make_clips(tmp_path / "job", ["mover"])
    take = Take(name="Take 1", job_id="a1b2c3d4e5f6", rig=reading.rig, clips=clips)
    shown = Shown(take=take.name)
    list(show_take(take, shown))
    for picture, frame in enumerate(reading.scene_frames):
        compat.set_playhead(frame)
        wanted = plates.plate_of(reading.rig.cameras[0], (160, 96), frame=picture)
        stands = shown.plates["mover"].get_actor_location()
        assert (stands.x, stands.y, stands.z) == pytest.approx(wanted.location_uu, abs=1e-3)


def broken(unreal, editor, tmp_path, break_it):
    place_two(unreal)
    files = set(tmp_path.rglob("*"))
    break_it()
    with pytest.raises(SynCamError) as caught:
        show(unreal, tmp_path)
    error = caught.value
    assert error.sentence.endswith(".")
    left = [p for p in set(tmp_path.rglob("*")) - files if "a1b2c3d4e5f6" not in str(p.parent)]
    return error, [path for path in left if path.is_file()]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda editor: setattr(editor, "pie", True), "unreal.playing"),
        (lambda editor: setattr(editor, "read_only_content", True), "unreal.asset_make"),
    ],
)
def test_bad_states_are_one_sentence_and_leave_nothing(unreal, editor, tmp_path, spoil, code):
    error, files = broken(unreal, editor, tmp_path, lambda: spoil(editor))
    assert error.code == code
    assert files == []
    assert editor.assets == {}
    assert len(editor.actors) == 2, "only the cameras"


def test_content_that_is_a_file_is_said(unreal, editor, tmp_path):
    (tmp_path / "Project" / "Content").rmdir()
    (tmp_path / "Project" / "Content").write_text("not a folder")
    error, _ = broken(unreal, editor, tmp_path, lambda: None)
    assert error.code == "unreal.content_unwritable"


def test_a_failure_half_way_takes_everything_back(unreal, editor, tmp_path, monkeypatch):
    place_two(unreal)
    from syncam_unreal import results

    real, calls = results.materials.plate_instance, []

    def second_fails(*args):
        calls.append(args)
        if len(calls) == 2:
            raise SynCamError("unreal.material", "The second camera's material fails.")
        return real(*args)

    monkeypatch.setattr(results.materials, "plate_instance", second_fails)
    with pytest.raises(SynCamError):
        show(unreal, tmp_path)
    assert editor.assets == {} or set(editor.assets) == {"/Engine/BasicShapes/Plane"}
    assert len(editor.actors) == 2
    movies = tmp_path / "Project" / "Content" / "Movies"
    assert not [path for path in movies.rglob("*") if path.is_file()]


def test_an_asset_of_another_kind_is_not_touched(unreal, editor, tmp_path):
    from stand_in.assets import add_asset

    place_two(unreal)
    add_asset(editor, "LevelSequence", "/Game/SynCam/Take_1_e4eee8ee/MP_camA")
    with pytest.raises(SynCamError) as caught:
        show(unreal, tmp_path)
    assert caught.value.code == "unreal.asset_kind"


@pytest.mark.parametrize("unreal", ["5.5"], indirect=True)
def test_a_missing_plugin_is_said(unreal, tmp_path):
    import stand_in

    bare = stand_in.make_unreal("5.5", tmp_path / "Project", without_plugins=("MediaPlate",))
    stand_in.install(bare)
    place_two(bare)
    with pytest.raises(SynCamError) as caught:
        show(bare, tmp_path, style="media plate")
    assert caught.value.code == "unreal.plugin"
    without = stand_in.make_unreal("5.5", without_plugins=("LevelSequenceEditor",))
    stand_in.install(without)
    from syncam_unreal import compat

    with pytest.raises(SynCamError, match="Level Sequence Editor"):
        compat.check_engine()
    old = stand_in.make_unreal("5.3")
    stand_in.install(old)
    from syncam_unreal import compat as compat_of_old

    with pytest.raises(SynCamError, match=r"5\.3"):
        compat_of_old.check_engine()


def test_placement_round_trip(unreal):
    """A pose to Unreal's angles and back, straight down included."""
    import random

    from syncam_unreal import conventions

    rng = random.Random(3)
    for index in range(60):
        roll, yaw = rng.uniform(-179, 179), rng.uniform(-179, 179)
        pitch = 90.0 if index == 0 else -90.0 if index == 1 else rng.uniform(-89, 89)
        at = tuple(rng.uniform(-900, 900) for _ in range(3))
        turned = unreal.Rotator(roll=roll, pitch=pitch, yaw=yaw).quaternion()
        pose = conventions.camera_to_world_cv_m(at, (turned.x, turned.y, turned.z, turned.w), 100.0)
        location, (r, p, y) = conventions.unreal_placement(pose, 100.0)
        again = unreal.Rotator(roll=r, pitch=p, yaw=y).quaternion()
        back = conventions.camera_to_world_cv_m(
            location, (again.x, again.y, again.z, again.w), 100.0
        )
        for row, expected in zip(back, pose, strict=True):
            assert row == pytest.approx(expected, abs=1e-7)
        assert math.dist(location, at) < 1e-9


def test_names_that_differ_in_case_only_are_two_cameras(unreal, editor, tmp_path):
    place_camera(unreal, "Cam")
    place_camera(unreal, "cam", (0, 300, 0))
    _, shown, _ = show(unreal, tmp_path)
    sources = {str(source.file_path).casefold() for source in shown.sources.values()}
    assert len(sources) == 2
    assert len({path.casefold() for path in editor.assets if "/MP_" in path}) == 2
    assert shown.plates["Cam"] is not shown.plates["cam"]


def test_another_style_takes_the_place_of_the_old_planes(unreal, editor, tmp_path):
    place_camera(unreal, "camA")
    place_ball(unreal, "the user's own", (0, 0, 0))
    show(unreal, tmp_path)
    _, plates, _ = show(unreal, tmp_path, job="ffff0000aaaa", style="media plate")
    meshes = [a.get_actor_label() for a in editor.actors if isinstance(a, unreal.StaticMeshActor)]
    assert meshes == ["the user's own"]
    assert isinstance(plates.plates["camA"], unreal.MediaPlate)


def test_planes_of_cameras_of_one_label_follow_their_own(unreal, tmp_path):
    first = place_camera(unreal, "Cam")
    place_camera(unreal, "Cam", (0, 300, 0))
    _, shown, _ = show(unreal, tmp_path)
    plate = shown.plates[f"Cam [{first.get_name()}]"]
    before = plate.get_actor_location()
    first.set_actor_location_and_rotation(unreal.Vector(0, 0, 70), unreal.Rotator(), False, False)
    assert plate.get_actor_location().z == pytest.approx(before.z + 70)
