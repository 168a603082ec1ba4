# SPDX-License-Identifier: Apache-2.0
"""The rig's list, new rigs, rig files, the fix buttons; thumbnails, live pictures, presets."""

from __future__ import annotations

import dataclasses
import math

import bpy
import numpy as np
import pytest

from blender_addon import cameras, checks, presets, session, settings, thumbs
from syncam_engine.link import rig_json

from .conftest import add_camera, sentence_of, tick_until


def told(state):
    """The engine, with its presets."""
    state.start_engine()
    tick_until(state, lambda: bool(state.presets()))
    return state.envelope_or_none("preview")


def test_list_follows_the_scene_and_keeps_order_and_ticks(scene):
    for name in ("A", "B", "C"):
        add_camera(scene, name)
    settings.sync_rig(scene)
    own = scene.syncam
    own.rig[1].use = False
    own.rig_index = 2
    bpy.ops.syncam.rig_move(direction="UP")
    assert [(i.camera.name, i.use) for i in own.rig] == [("A", True), ("C", True), ("B", False)]
    bpy.data.objects.remove(scene.objects["A"])
    add_camera(scene, "D")
    assert settings.sync_rig(scene)
    assert [(i.camera.name, i.use) for i in own.rig] == [("C", True), ("B", False), ("D", True)]
    assert not settings.sync_rig(scene)
    assert [c.name for c in settings.used_cameras(scene)] == ["C", "D"]


def test_choosing_by_markers(scene):
    things = [add_camera(scene, name) for name in ("A", "B", "C")]
    for frame, thing in ((1, things[2]), (20, things[0])):
        scene.timeline_markers.new("cut", frame=frame).camera = thing
    bpy.ops.syncam.rig_use(which="MARKERS")
    assert [c.name for c in settings.used_cameras(scene)] == ["C", "A"]
    bpy.ops.syncam.rig_use(which="ALL")
    assert len(settings.used_cameras(scene)) == 3


@pytest.mark.parametrize("shape", ["ARC", "HEMISPHERE", "LINE"])
def test_new_rigs_stand_around_the_selection(scene, shape):
    mesh = bpy.data.meshes.new("Box")
    mesh.from_pydata([(-1, -1, 0), (1, 1, 2), (1, -1, 0)], [], [(0, 1, 2)])
    box = bpy.data.objects.new("Box", mesh)
    box.location = (3, 4, 0)
    scene.collection.objects.link(box)
    box.select_set(True)
    bpy.context.view_layer.update()
    span = math.radians(70)
    assert bpy.ops.syncam.rig_add(shape=shape, count=5, radius=5, span=span) == {"FINISHED"}
    used = settings.used_cameras(scene)
    assert len(used) == 5
    rig = cameras.read_rig(scene, bpy.context.view_layer, used)
    for camera in rig.cameras:
        u, v, depth = camera.project((3, 4, 1))
        if shape == "LINE":
            assert depth == pytest.approx(5, abs=1e-3)
        else:
            assert (u, v) == pytest.approx((160, 96), abs=0.05)
            assert 4 <= depth <= 6
        assert camera.fov_x_deg() == pytest.approx(52.67, abs=0.01)
    assert scene.syncam.anchor in used


def test_rig_file_goes_out_and_in(plaza, tmp_path):
    plaza.syncam.frame_step = 3
    path = tmp_path / "rig 'ä'.json"
    assert bpy.ops.syncam.rig_export(filepath=str(path)) == {"FINISHED"}
    rig = rig_json.read_rig(path)
    assert [c.name for c in rig.cameras] == ["Dolly", "Rolled", "Tracked", "Wide"]
    assert rig.cameras[0].frame_count == 17
    assert rig.anchor_camera.name == "Wide"
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 1280, 768
    scene.render.fps, scene.syncam.frame_step = 30, 3
    assert bpy.ops.syncam.rig_import(filepath=str(path)) == {"FINISHED"}
    back = cameras.read_rig(
        scene,
        bpy.context.view_layer,
        [scene.objects[c.name] for c in rig.cameras],
        frames=[1, 25, 49],
    )
    for old, new in zip(rig.cameras, back.cameras, strict=True):
        for k, at in ((0, 0), (1, 8), (2, 16)):
            known = old.c2w_cv_m_at(at if old.frame_count > 1 else 0)
            seen = new.c2w_cv_m_at(k if new.frame_count > 1 else 0)
            for a, b in zip(known, seen, strict=True):
                assert a == pytest.approx(b, abs=2e-5)
            assert old.K_at(0)[0] == pytest.approx(new.K_at(0)[0], rel=1e-5)
            assert old.K_at(0)[1] == pytest.approx(new.K_at(0)[1], rel=1e-5)


def test_bad_rig_file_is_one_sentence(scene, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text("{")
    with pytest.raises(RuntimeError) as error:
        bpy.ops.syncam.rig_import(filepath=str(path))
    assert "bad.json" in sentence_of(error)
    add_camera(scene)
    with pytest.raises(RuntimeError) as error:
        bpy.ops.syncam.rig_export(filepath=str(tmp_path / "bad.json" / "x.json"))
    assert "cannot be written" in sentence_of(error)


def test_fix_buttons_mend_what_they_name(scene, state):
    envelope = told(state)
    scene.syncam.steps = 10
    bpy.ops.syncam.rig_add(
        shape="ARC", count=4, radius=sum(envelope.distance_m) / 2, span=math.radians(50)
    )
    things = settings.used_cameras(scene)
    things[0].data.lens = 150
    things[3].location *= 4
    scene.syncam.frames = 16
    bpy.context.view_layer.update()
    checks.refresh(scene)
    found = {issue.code: issue for issue in checks.findings(scene).issues}
    for code in ("camera.lens_untrained", "camera.distance_untrained", "frames.impossible"):
        issue = found[code]
        arguments = {"code": code, "camera": issue.camera or "", "nearest": str(issue.nearest)}
        assert bpy.ops.syncam.fix(**arguments) == {"FINISHED"}
        bpy.context.view_layer.update()
    checks.refresh(scene)
    assert not [i for i in checks.findings(scene).issues if i.code in found]
    assert scene.syncam.frames in envelope.frames
    rig = cameras.read_rig(scene, bpy.context.view_layer, things)
    assert rig.cameras[0].fov_x_deg() == pytest.approx(envelope.hfov_deg[0], abs=0.05)


def test_too_many_cameras_keeps_those_near_the_anchor(scene, state):
    told(state)
    bpy.ops.syncam.rig_add(shape="ARC", count=9, radius=6, span=math.radians(160))
    checks.refresh(scene)
    issue = next(i for i in checks.findings(scene).issues if i.code == "rig.views")
    bpy.ops.syncam.fix(code=issue.code, nearest=str(issue.nearest))
    assert len(settings.used_cameras(scene)) == issue.nearest > 4
    checks.refresh(scene)
    issue = next(i for i in checks.findings(scene).issues if i.code == "rig.views_untrained")
    assert issue.fix == "Use 4 cameras"
    bpy.ops.syncam.fix(code=issue.code, nearest=str(issue.nearest))
    used = settings.used_cameras(scene)
    assert len(used) == 4
    assert scene.syncam.anchor in used
    names = [int(thing.name.split()[-1]) for thing in used]
    assert max(names) - min(names) == 3


def test_anchor_at_the_end_of_a_wide_arc_is_moved_to_its_middle(scene, state, monkeypatch):
    # The preview takes any turn; a preset that was trained on less is stood in for.
    narrow = dataclasses.replace(told(state), relative_azimuth_deg=85.0)
    monkeypatch.setattr(state, "envelope_or_none", lambda _preset: narrow)
    bpy.ops.syncam.rig_add(shape="ARC", count=4, radius=5, span=math.radians(120))
    used = settings.used_cameras(scene)
    scene.syncam.anchor = used[0]
    checks.refresh(scene)
    issue = next(i for i in checks.findings(scene).issues if "azimuth" in i.code)
    assert "'Arc 4'" in issue.sentence
    assert issue.code in checks.MENDED
    assert issue.fix == "Pick a nearer anchor"
    assert bpy.ops.syncam.fix(code=issue.code, camera=issue.camera or "") == {"FINISHED"}
    assert scene.syncam.anchor in used[1:3]
    checks.refresh(scene)
    assert not [i for i in checks.findings(scene).issues if "azimuth" in i.code]


def test_choosing_a_preset_sets_what_it_is_made_for(scene, state):
    envelope = told(state)
    own = scene.syncam
    own.size, own.frames, own.steps, own.guidance = "32x32", 5, 3, 9.0
    own.previz_strength = 0.9
    own.preset = "preview"
    made_for = next(info.defaults for info in state.presets() if info.name == "preview")
    assert own.size == "{}x{}".format(*envelope.sizes[0])
    assert own.frames == made_for["frames"] in envelope.frames
    assert own.steps == made_for["steps"]
    assert own.guidance == 0.0, "the preset's own, by the mode"
    assert own.previz_strength == pytest.approx(made_for["previz_strength"])


def test_fix_of_a_linked_camera_is_refused_in_words(scene, state, tmp_path):
    told(state)
    kept = add_camera(scene, "Shared")
    kept.data.lens = 150
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {kept})
    bpy.data.objects.remove(kept)
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.objects = ["Shared"]
    scene.collection.objects.link(wanted.objects[0])
    bpy.context.view_layer.update()
    checks.refresh(scene)
    issue = next(i for i in checks.findings(scene).issues if i.code == "camera.lens_untrained")
    with pytest.raises(RuntimeError) as error:
        bpy.ops.syncam.fix(code=issue.code, camera=issue.camera, nearest=str(issue.nearest))
    assert "linked from another file" in sentence_of(error)


def test_live_picture_is_one_datablock_that_stays(scene):
    rng = np.random.default_rng(5)
    first = rng.integers(0, 256, (7, 11, 3), np.uint8)
    image = thumbs.show_live("Cam/é", 11, 7, first.tobytes())
    uid = image.session_uid
    pixels = np.empty(11 * 7 * 4, np.float32)
    image.pixels.foreach_get(pixels)
    seen = pixels.reshape(7, 11, 4)[::-1, :, :3]
    assert np.abs(seen * 255 - first).max() < 1
    bigger = thumbs.show_live("Cam/é", 22, 14, np.zeros((14, 22, 3), np.uint8).tobytes())
    assert bigger.session_uid == uid
    assert tuple(bigger.size) == (22, 14)
    bigger.pack()
    again = thumbs.show_live("Cam/é", 22, 14, np.full((14, 22, 3), 255, np.uint8).tobytes())
    assert again.session_uid == uid
    again.pixels.foreach_get(pixels := np.empty(22 * 14 * 4, np.float32))
    assert pixels.min() == 1.0


def test_request_presets_name_real_settings(scene):
    own = scene.syncam
    for name in presets.SAVED:
        assert hasattr(own, name), name


def test_engine_buttons_without_an_engine_folder(scene, state, monkeypatch):
    monkeypatch.setattr("blender_addon.engine_ops.engine_package_or_none", lambda: None)
    monkeypatch.setattr(bpy.types.Scene, "unused", None, raising=False)
    with pytest.raises(RuntimeError) as error:
        bpy.ops.syncam.engine_choose(filepath="/nowhere/python")
    assert "is not a program" in sentence_of(error)


def test_a_tick_without_news_is_short(scene, state):
    """No figure here (that is the bench's); only that a tick never waits."""
    told(state)
    for _ in range(200):
        session.get().tick()
    assert state.tick_count >= 200


CHANGED = {
    "preset": "preview",
    "prompt": 'a "red" fox\\walks, ж',
    "negative_prompt": "fog",
    "seed": 77,
    "new_seed": True,
    "variations": 3,
    "steps": 7,
    "guidance": 3.5,
    "size": "160x96",
    "frames": 5,
    "start_at": "FRAME",
    "frame_start": 12,
    "frame_step": 4,
    "fit_rule": "LETTERBOX",
    "mode": "REFERENCE",
    "previz_strength": 0.25,
    "reference_source": "FILE",
    "reference_file": "//clips/anchor 1.mp4",
    "targets": {"SEQUENCER", "MATERIAL"},
    "plate_distance_m": 2.25,
}


def test_request_presets_are_saved_and_loaded_field_by_field(scene):
    own = scene.syncam
    defaults = {name: getattr(own, name) for name in presets.SAVED}
    assert set(CHANGED) == set(presets.SAVED)
    for name, value in CHANGED.items():
        setattr(own, name, value)
    assert bpy.ops.syncam.preset_add(name="Night shots") == {"FINISHED"}
    folder = bpy.utils.user_resource("SCRIPTS", path=f"presets/{presets.SUBFOLDER}")
    saved = bpy.utils.preset_find("Night shots", presets.SUBFOLDER, display_name=True)
    assert saved is not None
    assert saved.startswith(folder)
    for name, value in defaults.items():
        setattr(own, name, value)
    bpy.ops.script.execute_preset(filepath=saved, menu_idname="SYNCAM_MT_presets")
    for name, value in CHANGED.items():
        kept = getattr(own, name)
        assert kept == (pytest.approx(value) if isinstance(value, float) else value), name
        if name != "preset" and name != "size" and name != "reference_source":
            assert value != defaults[name], f"{name} must change for this test to see it"
    assert bpy.ops.syncam.preset_add(name="Night shots", remove_active=True) == {"FINISHED"}
    assert bpy.utils.preset_find("Night shots", presets.SUBFOLDER, display_name=True) is None


def test_a_camera_without_a_picture_is_drawn_once_when_the_list_is_looked_at():
    thumbs.clear()
    thumbs.was_looked_at()
    assert not thumbs.was_looked_at()
    thumbs.look()
    assert thumbs.was_looked_at()
    assert not thumbs.was_looked_at(), "one look, one try"
    assert thumbs.first_try("A")
    assert not thumbs.first_try("A")
    thumbs.clear()
    assert thumbs.first_try("A"), "another file has other cameras"
    thumbs.clear()
