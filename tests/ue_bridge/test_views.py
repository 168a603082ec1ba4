# SPDX-License-Identifier: Apache-2.0
"""Views of the level rendered into clips: what is in them, and that nothing stays behind."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from stand_in.captures import background_of, colour_of
from unreal_scenes import make_sequence, move, place_ball, place_camera

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_camera
from syncam_engine.media.read import read_clip

SIZE = (160, 96)


def fitted(rig, rule="crop"):
    from dataclasses import replace

    return replace(rig, cameras=tuple(fit_camera(c, *SIZE, rule).camera for c in rig.cameras))


def finish(views):
    """Run the steps to their end; return the clips and how many steps it took."""
    steps = 0
    while True:
        try:
            next(views)
        except StopIteration as done:
            return done.value, steps
        steps += 1


def frames_of(clip, tmp_path):
    path = tmp_path / "clip.png"
    path.write_bytes(clip)
    return read_clip(path).frames_THW3.astype(int)


def centre_of(picture, label):
    """Where the ball with this label is, in px; None where it is not to be seen."""
    near = np.abs(picture - np.array(colour_of(label))).max(axis=2) <= 2
    v, u = np.nonzero(near)
    return None if not len(u) else (u.mean() + 0.5, v.mean() + 0.5)


def level_views(which="all", wanted=None, rule="crop"):
    from syncam_unreal import views
    from syncam_unreal.level_cameras import LevelScope, read_level_rig

    scope = LevelScope(which=which)
    rig = fitted(read_level_rig(scope), rule)
    wanted = range(len(rig.cameras)) if wanted is None else wanted
    return rig, views.level_views(scope, rig, wanted)


def nothing_left(editor, actors):
    assert editor.actors == actors
    assert editor.render_targets == []
    assert not [path for path in editor.exported if path.parent.exists()]


@pytest.mark.parametrize("rule", ["crop", "letterbox"])
def test_a_view_is_what_the_model_is_told(unreal, editor, tmp_path, rule):
    """Balls stand where each fitted camera projects them; colours are sRGB, whatever the alpha."""
    lenses = (
        {"width_mm": 23.76, "height_mm": 14.256, "focal_mm": 24.0},
        {"width_mm": 20.0, "height_mm": 20.0, "focal_mm": 18.0},
        {"width_mm": 30.0, "height_mm": 14.0, "focal_mm": 26.0, "squeeze": 1.33},
        {"offset_x_mm": 2.0, "offset_y_mm": -1.1, "focal_mm": 20.0},
    )
    for index, lens in enumerate(lenses):
        place_camera(
            unreal, f"cam{index}", (-600, 90 * index - 100, 150), (3, -9, -7 * index + 9), **lens
        )
    balls = {"red": (10, -40, 110), "blue": (-60, 70, 60), "far": (300, -30, 150)}
    for label, place in balls.items():
        place_ball(unreal, label, place)
    before = list(editor.actors)
    chosen = editor.selected = [before[1]]
    rig, views = level_views(rule=rule)
    clips, _ = finish(views)
    assert editor.selected == chosen
    nothing_left(editor, before)
    for camera, clip in zip(rig.cameras, clips, strict=True):
        picture = frames_of(clip, tmp_path)[0]
        assert picture.shape == (SIZE[1], SIZE[0], 3)
        assert tuple(picture[0, 0]) == (background_of(0),) * 3, "tone mapped, exposure settled"
        for label, (x, y, z) in balls.items():
            u, v, _ = camera.project((x / 100, -y / 100, z / 100))
            assert centre_of(picture, label) == pytest.approx((u, v), abs=0.4), camera.name


def test_planes_of_earlier_jobs_are_not_in_the_view(unreal, editor, tmp_path):
    from test_results import show

    place_camera(unreal, "camA", (-500, 0, 100))
    place_ball(unreal, "red", (0, 0, 100))
    show(unreal, tmp_path)
    before = list(editor.actors)
    rig, views = level_views()
    clips, _ = finish(views)
    assert centre_of(frames_of(clips[0], tmp_path)[0], "red") == pytest.approx((80, 48), abs=0.4)
    nothing_left(editor, before)
    assert len(rig.cameras) == 1


def test_captures_are_transient_and_see_by_their_cameras_post_processing(unreal, editor):
    actor = place_camera(unreal, "camA", (-500, 0, 100))
    component = actor.get_cine_camera_component()
    look = component.post_process_settings
    look.override_bloom_intensity, look.bloom_intensity = True, 0.25
    component.set_editor_property("post_process_settings", look)
    component.set_editor_property("post_process_blend_weight", 0.5)
    _, views = level_views()
    next(views)
    capture = next(a for a in editor.actors if isinstance(a, unreal.SceneCapture2D))
    assert capture._transient, "a level that is saved meanwhile does not get it"
    eye = capture.capture_component2d
    assert eye.post_process_settings.bloom_intensity == 0.25
    assert eye.post_process_blend_weight == 0.5
    assert not eye.capture_every_frame
    flags = {flag.show_flag_name: flag.enabled for flag in eye.show_flag_settings}
    assert flags == {"DepthOfField": False, "MotionBlur": False}
    views.close()
    nothing_left(editor, [actor])


def two_movers(unreal, editor):
    sequence = make_sequence(unreal, editor, end=60)
    still = place_camera(unreal, "still", (-600, 0, 100))
    mover = place_camera(unreal, "mover", (0, 0, 100))
    sequence.add_possessable(still)
    move(unreal, sequence.add_possessable(mover), -700.0, -400.0, 90)
    ball = sequence.add_possessable(place_ball(unreal, "red", (0, 0, 0)))
    section = ball.add_track(unreal.MovieScene3DTransformTrack).add_section()
    section.set_range(0, 1000)
    channels = {str(c.channel_name): c for c in section.get_all_channels()}
    for name, values in (("Location.X", (0.0, 0.0)), ("Location.Y", (0.0, 200.0)),
                         ("Location.Z", (100.0, 100.0)), ("Scale.X", (0.4, 0.4))):  # fmt: skip
        for frame, value in zip((0, 60), values, strict=True):
            linear = unreal.MovieSceneKeyInterpolation.LINEAR
            channels[name].add_key(unreal.FrameNumber(frame), value, interpolation=linear)
    unreal.LevelSequenceEditorBlueprintLibrary.open_level_sequence(sequence)
    return sequence


def sequence_views(unreal, sequence, wanted, pictures=5):
    from syncam_unreal import views
    from syncam_unreal.sequence_cameras import SequenceReading, SequenceScope

    scope = SequenceScope(first_frame=6)
    reading = SequenceReading(sequence, scope, pictures=pictures, fps=Fraction(15))
    while not reading.step():
        pass
    rig = fitted(reading.rig)
    frames = reading.scene_frames
    return rig, frames, views.sequence_views(sequence, scope, rig, wanted, frames)


def test_a_sequence_is_rendered_at_its_frames(unreal, editor, tmp_path):
    from syncam_unreal import compat

    sequence = two_movers(unreal, editor)
    compat.set_playhead(31)
    before = list(editor.actors)
    rig, frames, views = sequence_views(unreal, sequence, [0, 1])
    made = [next(views) for _ in range(5)]
    assert made == [0] * 5, "it is a picture a step, warmed up first"
    compat.set_playhead(55)  # Somebody scrubs between two ticks.
    clips, steps = finish(views)
    assert steps >= 10, "one picture a step"
    assert compat.playhead() == 31, "where it was before"
    nothing_left(editor, before)
    for camera, clip in zip(rig.cameras, clips, strict=True):
        pictures = frames_of(clip, tmp_path)
        assert len(pictures) == 5
        for k, frame in enumerate(frames):
            assert tuple(pictures[k][0, 0]) == (background_of(frame),) * 3
            y = 200 * frame / 60
            u, v, _ = camera.project((0.0, -y / 100, 1.0), k)
            assert centre_of(pictures[k], "red") == pytest.approx((u, v), abs=0.4)


def test_only_the_wanted_camera_is_rendered(unreal, editor, tmp_path):
    sequence = two_movers(unreal, editor)
    rig, _, views = sequence_views(unreal, sequence, [1], pictures=2)
    clips, _ = finish(views)
    assert len(clips) == 1
    u, v, _ = rig.cameras[1].project((0.0, -0.2, 1.0), 0)
    assert centre_of(frames_of(clips[0], tmp_path)[0], "red") == pytest.approx((u, v), abs=0.4)


@pytest.mark.parametrize("after", [3, 20])
@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        ("close the sequence", "unreal.sequence_closed"), ("change the map", "unreal.camera_gone"),
        ("play", "unreal.playing"), ("delete a camera", "unreal.camera_gone"),
        ("disk", "unreal.view"), ("cancel", None),
    ],
)  # fmt: skip
def test_whatever_ends_it_nothing_is_left(unreal, editor, break_it, code, after):
    """In the warm-up, between pictures: one sentence, and the editor as it was."""
    sequence = two_movers(unreal, editor)
    before = list(editor.actors)
    _, _, views = sequence_views(unreal, sequence, [0, 1])
    for _ in range(after):
        next(views)
    if break_it == "close the sequence":
        unreal.LevelSequenceEditorBlueprintLibrary.close_level_sequence()
    elif break_it == "change the map":
        editor.open_level("/Game/Maps/Other")
        before = []
    elif break_it == "play":
        editor.pie = True
    elif break_it == "delete a camera":
        editor.remove_actor(before[0])
        before = before[1:]
    elif break_it == "disk":
        editor.export_fails = True
    else:
        views.close()
        nothing_left(editor, before)
        return
    with pytest.raises(SynCamError) as caught:
        finish(views)
    assert caught.value.code == code
    assert caught.value.sentence.endswith(".")
    assert "\n" not in caught.value.sentence
    nothing_left(editor, before)


def test_a_level_changed_since_it_was_read_is_said(unreal, editor):
    place_camera(unreal, "camA")
    _, views = level_views()
    added = place_camera(unreal, "camB")
    with pytest.raises(SynCamError) as caught:
        finish(views)
    assert caught.value.code == "unreal.cameras_changed"
    nothing_left(editor, [*editor.actors[:1], added])


def test_a_picture_that_is_none_is_said(unreal, editor, monkeypatch):
    """An editor that writes HDR files or another size."""
    from syncam_unreal import views as module

    actor = place_camera(unreal, "camA")
    formats = unreal.TextureRenderTargetFormat
    real = unreal.RenderingLibrary.create_render_target2d
    for change in ({"format": formats.RTF_RGBA16F}, {"width": 8}, None):

        def made(world, width, height, format, change=change):
            if change is None:
                return None
            return real(world, **{"width": width, "height": height, "format": format, **change})

        monkeypatch.setattr(module.unreal.RenderingLibrary, "create_render_target2d", made)
        _, views = level_views()
        with pytest.raises(SynCamError) as caught:
            finish(views)
        assert caught.value.code == "unreal.view"
        nothing_left(editor, [actor])
