# SPDX-License-Identifier: Apache-2.0
"""The keywords of the operators in scripts: their values, their errors, their page."""

from __future__ import annotations

import bpy
import pytest

from blender_addon import generate_ops, plates, result_ops, rig_ops, settings

from .conftest import ROOT, add_camera, sentence_of, tick_until
from .test_results import plates_of

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}
SCRIPTED = [
    generate_ops.SYNCAM_OT_generate,
    generate_ops.SYNCAM_OT_cancel,
    generate_ops.SYNCAM_OT_pause,
    generate_ops.SYNCAM_OT_move_job,
    result_ops.SYNCAM_OT_apply,
    result_ops.SYNCAM_OT_again,
    result_ops.SYNCAM_OT_reveal,
    result_ops.SYNCAM_OT_forget,
    result_ops.SYNCAM_OT_refetch,
    rig_ops.SYNCAM_OT_rig_use,
    rig_ops.SYNCAM_OT_rig_anchor,
    rig_ops.SYNCAM_OT_rig_screen,
    rig_ops.SYNCAM_OT_rig_add,
    rig_ops.SYNCAM_OT_rig_export,
    rig_ops.SYNCAM_OT_rig_import,
]
FILE_BROWSER = {"check_existing", "filter_glob"}


def keywords_of(cls):
    _, name = cls.bl_idname.split(".")
    properties = getattr(bpy.ops.syncam, name).get_rna_type().properties
    return [p for p in properties if p.identifier not in {"rna_type", *FILE_BROWSER}]


def refused(operator, **arguments) -> str:
    with pytest.raises(RuntimeError) as excinfo:
        operator(**arguments)
    assert "Traceback" not in str(excinfo.value)
    return sentence_of(excinfo)


def test_every_keyword_and_value_stands_on_the_page_in_one_case():
    page = (ROOT / "docs" / "blender.md").read_text(encoding="utf-8")
    page = page[page.index("## From scripts") : page.index("## How it is kept quick")]
    for cls in SCRIPTED:
        assert f"`{cls.bl_idname}`" in page
        for keyword in keywords_of(cls):
            assert f"`{keyword.identifier}`" in page, (cls.bl_idname, keyword.identifier)
            if keyword.type == "ENUM":
                for item in keyword.enum_items:
                    assert item.identifier.isupper(), (cls.bl_idname, item.identifier)
                    assert f"`{item.identifier}`" in page, (cls.bl_idname, item.identifier)


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("seed", -1, "The keyword 'seed' is -1; it must be 0 to 2147483647, and 0 is the nearest."),
        (
            "variations",
            0,
            "The keyword 'variations' is 0; it must be 1 to 16, and 1 is the nearest.",
        ),
        ("variations", 50, "and 16 is the nearest."),
        ("previz_strength", 2.0, "The keyword 'previz_strength' is 2.0; it must be 0.05 to 1.0"),
        ("previz_strength", float("nan"), "The keyword 'previz_strength' is nan;"),
        ("frame_step", -3, "The keyword 'frame_step' is -3; it must be 0 to 100"),
        ("guidance", -3.0, "The keyword 'guidance' is -3.0; it must be 0.0 to 100.0"),
        ("size", "wide", "The size 'wide' is not WIDTHxHEIGHT"),
        ("cameras", "Nobody", "has no camera 'Nobody'"),
        ("scene", "Nowhere", "There is no scene 'Nowhere'; the nearest is 'Scene'."),
    ],
)
def test_value_that_cannot_be_is_refused_and_not_moved_to_one_that_can(
    scene, state, keyword, value, said
):
    add_camera(scene)
    before = set(state.records)
    assert said in refused(bpy.ops.syncam.generate, **{**RUN, keyword: value})
    assert set(state.records) == before


def test_value_that_is_none_of_the_listed_is_named_by_blender_itself(scene):
    """The page and the example catch its errors too."""
    add_camera(scene)
    for keyword, value in (("mode", "previz"), ("targets", {"PLATE"}), ("fit_rule", "crop")):
        with pytest.raises((TypeError, ValueError), match="not found in"):
            bpy.ops.syncam.generate(**{**RUN, keyword: value})
    for text in ("docs/blender.md", "examples/batch_of_shots.py"):
        assert "except (RuntimeError, TypeError, ValueError) as error:" in (ROOT / text).read_text(
            "utf-8"
        )


def test_new_rig_of_too_many_cameras_is_refused(scene):
    assert "The keyword 'count' is 50; it must be 1 to 32" in refused(
        bpy.ops.syncam.rig_add, shape="ARC", count=50
    )
    assert "The keyword 'radius' is -2.0;" in refused(
        bpy.ops.syncam.rig_add, shape="ARC", radius=-2.0
    )
    assert not scene.objects


def test_material_without_an_object_is_refused_before_anything_is_sampled(plaza, state):
    before = set(state.records)
    two = {"cameras": "Wide\nDolly", **RUN}
    said = refused(bpy.ops.syncam.generate, targets={"PLATES", "MATERIAL"}, **two)
    assert said == (
        "The target Material has no object to show a clip on: none is chosen for 'Wide', 'Dolly'. "
        "Choose one in the rig's box (in a script: syncam.rig_screen)."
    )
    assert set(state.records) == before
    wall = bpy.data.objects.new("Wall", bpy.data.meshes.new("Wall"))
    plaza.collection.objects.link(wall)
    assert "no camera 'Nobody'" in refused(
        bpy.ops.syncam.rig_screen, camera="Nobody", object="Wall"
    )
    assert "'Fence' is not in the scene" in refused(
        bpy.ops.syncam.rig_screen, camera="Wide", object="Fence"
    )
    assert "'Wide' is a camera, not a mesh" in refused(
        bpy.ops.syncam.rig_screen, camera="Wide", object="Wide"
    )
    assert bpy.ops.syncam.rig_screen(camera="Dolly", object="Wall") == {"FINISHED"}
    assert bpy.ops.syncam.generate(targets={"MATERIAL"}, **two) == {"FINISHED"}
    tree = wall.active_material.node_tree
    assert tree.nodes["SynCam"].image[plates.KEY] == "Dolly"
    record = state.ended()[0]
    assert [note for note in record.notices if "no object" in note] == [
        "Camera 'Wide' has no object whose material could show its clip; choose one in the rig's "
        "box and apply the job again."
    ]
    # What is chosen afterwards is what a job of the history is shown on.
    screen = bpy.data.objects.new("Screen", bpy.data.meshes.new("Screen"))
    plaza.collection.objects.link(screen)
    bpy.ops.syncam.rig_screen(camera="Wide", object="Screen")
    bpy.ops.syncam.apply(job_id=record.job_id, targets={"MATERIAL"})
    assert screen.active_material.node_tree.nodes["SynCam"].image[plates.KEY] == "Wide"
    bpy.ops.syncam.rig_screen(camera="Wide")
    assert settings.screen_of(plaza, plaza.objects["Wide"]) is None
    assert not plates_of(plaza)


def test_one_lens_of_five_cameras_is_one_sentence(scene, state):
    state.start_engine()
    tick_until(state, lambda: bool(state.presets()))
    for k in range(5):
        add_camera(scene, f"Long {k}", (k * 0.2, -6, 1.5)).data.lens = 135
    assert bpy.ops.syncam.generate(**RUN) == {"FINISHED"}
    (said,) = [n for n in state.ended()[0].notices if "horizontal field of view" in n]
    assert said.startswith("Camera 'Long 0' has a horizontal field of view of ")
    assert said.endswith(" So it is with Long 1, Long 2, Long 3, Long 4.")
