# SPDX-License-Identifier: Apache-2.0
"""Cameras, materials and scenes that are linked from another file, and library overrides."""

from __future__ import annotations

from pathlib import Path

import bpy
import pytest

from blender_addon import checks, plates, results, settings
from blender_addon.cameras import rig_name

from .conftest import add_camera, sentence_of, tick_until
from .test_results import movie_of, plates_of

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


def link(scene, library, name):
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.objects = [name]
    scene.collection.objects.link(wanted.objects[0])
    return wanted.objects[0]


@pytest.fixture
def library(scene, tmp_path):
    """A .blend with a camera "Shared", a camera "Owned" and a mesh "Wall" with a material."""
    shared = add_camera(scene, "Shared", (0.5, -6, 1.5))
    owned = add_camera(scene, "Owned", (-0.5, -6, 1.5))
    wall = bpy.data.objects.new("Wall", bpy.data.meshes.new("Wall"))
    wall.data.materials.append(bpy.data.materials.new("Brick"))
    path = tmp_path / "library.blend"
    bpy.data.libraries.write(str(path), {shared, owned, wall})
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    return path


@pytest.fixture
def shot(library, tmp_path):
    """A saved scene with a linked camera, a whole override, and a local one of the same name."""
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 320, 192
    linked = link(scene, library, "Shared")
    owned = link(scene, library, "Owned")
    # The override takes the linked object's place in the scene.
    override = owned.override_create(remap_local_usages=True)
    override.data = override.data.override_create(remap_local_usages=False)
    override.location.x = -0.8
    local = add_camera(scene, "Shared", (0.1, -6, 1.6))
    scene.camera = local
    assert linked.library is not None
    assert override.override_library is not None
    bpy.context.view_layer.update()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    return scene


def test_results_land_on_linked_overridden_and_local_cameras(shot, state, tmp_path):
    every = {"PLATES", "BACKGROUNDS", "SEQUENCER"}
    assert bpy.ops.syncam.generate(targets=every, seed=2, **RUN) == {"FINISHED"}
    record = state.ended()[0]
    names = ["Owned", "Shared", "Shared [library.blend]"]
    assert sorted(clip["camera"] for clip in record.clips) == names
    said = [note for note in record.notices if "background cannot be set" in note]
    assert said == [
        "Camera 'Shared [library.blend]' is linked from another file, so its background cannot "
        "be set; its plate can."
    ]
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    scene = bpy.context.scene
    found = plates_of(scene)
    assert sorted(found) == names
    files = set()
    for name, plate in found.items():
        target = plate.constraints[0].target
        assert rig_name(target) == name
        image = movie_of(plate)
        assert image[plates.KEY] == name
        files.add(Path(bpy.path.abspath(image.filepath)))
    assert len({file.read_bytes() for file in files}) == 3, "each camera has its own clip"
    for name in ("Owned", "Shared"):
        thing = next(o for o in scene.objects if o.type == "CAMERA" and rig_name(o) == name)
        assert [b.image[plates.KEY] for b in thing.data.background_images] == [name]
    edit = next(s for s in bpy.data.scenes if s.get("syncam_edit"))
    strips = results.compat.strips_of(edit.sequence_editor)
    assert sorted(s[plates.KEY] for s in strips if s.type == "MOVIE") == names


def test_a_linked_camera_is_excluded_and_pinned_by_its_own_name(shot, state):
    state.start_engine()
    tick_until(state, lambda: bool(state.presets()))
    settings.sync_rig(shot)
    linked = next(o for o in shot.objects if o.library and o.type == "CAMERA")
    assert bpy.ops.syncam.rig_anchor(camera=rig_name(linked)) == {"FINISHED"}
    assert shot.syncam.anchor == linked
    assert bpy.ops.syncam.rig_anchor(camera="Shared") == {"FINISHED"}
    assert shot.syncam.anchor.library is None
    assert bpy.ops.syncam.fix(code="camera.exclude", camera=rig_name(linked)) == {"FINISHED"}
    assert {rig_name(thing) for thing in settings.used_cameras(shot)} == {"Shared", "Owned"}
    checks.refresh(shot)
    assert checks.findings(shot).views == 2
    bpy.ops.syncam.generate(cameras="Shared [library.blend]\nOwned", **RUN)
    assert [c["name"] for c in state.ended()[0].cameras] == ["Shared [library.blend]", "Owned"]


def test_a_linked_material_is_left_alone_and_said(shot, library, state):
    wall = link(shot, library, "Wall")
    settings.sync_rig(shot)
    next(i for i in shot.syncam.rig if rig_name(i.camera) == "Shared").screen = wall
    bpy.ops.syncam.generate(targets={"MATERIAL"}, cameras="Shared", **RUN)
    record = state.ended()[0]
    assert any("'Wall' is linked from another file" in note for note in record.notices)
    tree = wall.active_material.node_tree
    assert tree is None or "SynCam" not in tree.nodes


def test_a_linked_scene_is_refused_in_one_sentence(library, state, tmp_path):
    other = tmp_path / "other.blend"
    add_camera(bpy.context.scene, "Inside")
    bpy.context.scene.name = "Linked scene"
    bpy.ops.wm.save_as_mainfile(filepath=str(other))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    with bpy.data.libraries.load(str(other), link=True) as (_, wanted):
        wanted.scenes = ["Linked scene"]
    with pytest.raises(RuntimeError) as error:
        bpy.ops.syncam.generate(scene="Linked scene", **RUN)
    assert "'Linked scene' is linked from another file" in sentence_of(error)
    assert not state.running()
