# SPDX-License-Identifier: Apache-2.0
"""Cameras of Level Sequences: possessables, spawnables, shots, cuts, frames, interruptions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from unreal_scenes import make_sequence, move, place_camera

from syncam_engine.link.errors import SynCamError


def open_(unreal, sequence):
    unreal.LevelSequenceEditorBlueprintLibrary.open_level_sequence(sequence)


def read(sequence, pictures=17, fps=15, **scope):
    from syncam_unreal.sequence_cameras import SequenceReading, SequenceScope

    reading = SequenceReading(
        sequence, SequenceScope(**scope), pictures=pictures, fps=Fraction(fps)
    )
    ticks = 1
    while not reading.step(frames=4):
        ticks += 1
    return reading, ticks


def test_moving_possessable_and_static_spawnable(unreal, editor):
    sequence = make_sequence(unreal, editor)
    mover = place_camera(unreal, "mover")
    template = place_camera(unreal, "still", (0, 500, 200), (0, -10, -45), focal_mm=50.0)
    move(unreal, sequence.add_possessable(mover), 0.0, 900.0, 90)
    sequence.add_spawnable_from_instance(template)
    unreal.get_editor_subsystem(unreal.EditorActorSubsystem).destroy_actor(template)
    open_(unreal, sequence)
    from syncam_unreal import compat

    compat.set_playhead(12)
    reading, ticks = read(sequence)
    assert ticks == 5, "17 frames, 4 a tick"
    assert compat.playhead() == 12, "the playhead comes back"
    rig = reading.rig
    assert [c.name for c in rig.cameras] == ["mover", "still"]
    assert rig.frame_count == 17
    assert rig.cameras[0].is_moving
    assert not rig.cameras[1].is_moving
    # 15 pictures a second of a 30-frame timeline: every second frame, 20 cm apart.
    assert reading.scene_frames[:3] == [0.0, 2.0, 4.0]
    xs = [rig.cameras[0].c2w_cv_m_at(k)[0][3] for k in range(17)]
    assert xs == pytest.approx([0.2 * k for k in range(17)])
    # Yaw turns clockwise from above in Unreal: after 30 frames 30 degrees to the right.
    forward = [row[2] for row in rig.cameras[0].c2w_cv_m_at(15)[:3]]
    assert forward == pytest.approx([0.8660254, -0.5, 0.0], abs=1e-6)


def test_pictures_between_frames(unreal, editor):
    sequence = make_sequence(unreal, editor, rate=24, end=49)
    move(unreal, sequence.add_possessable(place_camera(unreal, "mover")), 0.0, 240.0, 24)
    open_(unreal, sequence)
    reading, _ = read(sequence, pictures=5, fps=15)
    assert reading.scene_frames == pytest.approx([0, 1.6, 3.2, 4.8, 6.4])
    xs = [reading.rig.cameras[0].c2w_cv_m_at(k)[0][3] for k in range(5)]
    assert xs == pytest.approx([0.0, 0.16, 0.32, 0.48, 0.64])


def test_a_zoom_gives_one_K_a_frame(unreal, editor):
    sequence = make_sequence(unreal, editor)
    actor = place_camera(unreal, "zoom")
    sequence.add_possessable(actor)
    lens = sequence.add_possessable(actor.get_cine_camera_component())
    track = lens.add_track(unreal.MovieSceneFloatTrack)
    track.set_property_name_and_path("CurrentFocalLength", "CurrentFocalLength")
    section = track.add_section()
    section.set_range(0, 1000)
    channel = section.get_all_channels()[0]
    channel.add_key(unreal.FrameNumber(0), 20.0)
    channel.add_key(unreal.FrameNumber(30), 50.0)
    open_(unreal, sequence)
    rig = read(sequence, pictures=5)[0].rig
    camera = rig.cameras[0]
    assert len(rig.cameras) == 1, "the actor's and the component's binding are one camera"
    ratios = [camera.K_at(k)[0][0] / camera.K_at(0)[0][0] for k in range(5)]
    assert ratios == pytest.approx([1.0, 22 / 20, 24 / 20, 26 / 20, 28 / 20])


def test_shots_and_cuts(unreal, editor):
    master, shot = make_sequence(unreal, editor, "Master"), make_sequence(unreal, editor, "Shot")
    inner = shot.add_possessable(place_camera(unreal, "inner"))
    move(unreal, inner, 100.0, 1000.0, 90)
    outer = master.add_possessable(place_camera(unreal, "outer", (0, 0, 50)))
    section = master.add_track(unreal.MovieSceneCinematicShotTrack).add_section()
    section.set_sequence(shot)
    section.set_range(10, 90)
    cut = master.add_track(unreal.MovieSceneCameraCutTrack).add_section()
    cut.set_range(0, 90)
    cut.set_camera_binding_id(master.get_binding_id(outer))
    open_(unreal, master)
    rig = read(master, pictures=5, first_frame=10)[0].rig
    assert [c.name for c in rig.cameras] == ["outer", "inner"]
    xs = [rig.cameras[1].c2w_cv_m_at(k)[0][3] for k in range(5)]
    assert xs == pytest.approx([1.0, 1.2, 1.4, 1.6, 1.8]), (
        "the shot starts at frame 10 of the master"
    )
    assert [c.name for c in read(master, pictures=5, which="cuts")[0].rig.cameras] == ["outer"]


def test_a_sequence_that_was_not_open_is_closed_again(unreal, editor):
    sequence = make_sequence(unreal, editor)
    template = place_camera(unreal, "spawned")
    sequence.add_spawnable_from_instance(template)
    unreal.get_editor_subsystem(unreal.EditorActorSubsystem).destroy_actor(template)
    assert len(read(sequence, pictures=5)[0].rig.cameras) == 1
    assert unreal.LevelSequenceEditorBlueprintLibrary.get_current_level_sequence() is None
    assert editor.actors == [], "what the sequence spawned is gone again"


def test_closing_the_sequence_or_the_map_stops_the_reading(unreal, editor):
    from syncam_unreal.sequence_cameras import SequenceReading, SequenceScope

    for break_it, code in (
        (
            lambda: unreal.LevelSequenceEditorBlueprintLibrary.close_level_sequence(),
            "unreal.sequence_closed",
        ),
        (lambda: editor.open_level("/Game/Maps/Other"), "unreal.camera_gone"),
    ):
        editor.open_level()
        sequence = make_sequence(unreal, editor)
        sequence.add_possessable(place_camera(unreal, "camA"))
        open_(unreal, sequence)
        reading = SequenceReading(sequence, SequenceScope(), pictures=17, fps=Fraction(15))
        assert not reading.step(frames=3)
        break_it()
        with pytest.raises(SynCamError) as caught:
            reading.step(frames=3)
        assert caught.value.code == code
        assert reading.rig is None


def test_ranges_and_missing_sequences_are_said(unreal, editor):
    from syncam_unreal.sequence_cameras import current_sequence

    with pytest.raises(SynCamError, match="No Level Sequence is open"):
        current_sequence()
    sequence = make_sequence(unreal, editor, end=30)
    open_(unreal, sequence)
    assert current_sequence() is sequence
    with pytest.raises(SynCamError) as caught:
        read(sequence, pictures=17)
    assert caught.value.code == "unreal.sequence_range"
    with pytest.raises(SynCamError) as caught:
        read(sequence, pictures=5)
    assert caught.value.code == "rig.no_cameras"


def test_another_sequence_that_was_open_comes_back(unreal, editor):
    from syncam_unreal import compat
    from syncam_unreal.sequence_cameras import opened

    mine, other = make_sequence(unreal, editor, "Mine"), make_sequence(unreal, editor, "Other")
    library = unreal.LevelSequenceEditorBlueprintLibrary
    library.open_level_sequence(mine)
    compat.set_playhead(7)
    with opened(other):
        assert library.get_current_level_sequence() is other
        compat.set_playhead(3)
    assert library.get_current_level_sequence() is mine
    assert compat.playhead() == 7
    with opened(other):
        library.close_level_sequence()
    assert library.get_current_level_sequence() is None, "what the user did stands"
