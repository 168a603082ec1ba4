# SPDX-License-Identifier: Apache-2.0
"""`--engine unreal`: scenes as they are drawn, the build step on the stand-in, command lines."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from unreal_rig_content import LIBRARY, fill, full_plan

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig_json import rig_from_dict
from syncam_engine.rendering.unreal import commands, drawing, library


@pytest.fixture
def content(tmp_path):
    path = tmp_path / "library.json"
    path.write_text(json.dumps(LIBRARY))
    return library.read_library(path)


def test_scenes_are_drawn_from_their_number(content):
    plans = [drawing.draw_scene(content, seed=7, number=n, frames=60) for n in range(12)]
    again = drawing.draw_scene(content, seed=7, number=5, frames=60)
    assert again == plans[5]
    assert json.loads(json.dumps(again)) == again, "plain data"
    assert len({json.dumps(p["rig"]) for p in plans}) == 12
    assert {len(p["subjects"]) for p in plans} == {1, 2}
    assert {p["map"] for p in plans} == {"/Game/Maps/Plaza", "/Game/Maps/Hall"}
    for plan in plans:
        rig = rig_from_dict(plan["rig"])
        assert len(rig.cameras) == 36
        high = 5.0 if "Hall" in plan["map"] else 9.0
        for camera in rig.cameras:
            eye = [row[3] for row in camera.c2w_cv_m[:3]]
            assert 3.5 <= math.hypot(*eye) <= high
            assert 0 <= eye[2] <= high * math.sin(math.radians(45)) + 1e-9
            u, v, _ = camera.project((0, 0, 0))
            assert (u, v) == pytest.approx((336, 192)), "each looks at the centre"
        assert plan["lens"]["sensor_height_mm"] == pytest.approx(23.76 * 384 / 672)


def test_paths_stay_in_the_room_go_forward_and_keep_apart(content):
    for number in range(25):
        plan = drawing.draw_scene(content, seed=1, number=number, frames=75, cameras=2)
        room = 1.5 if "Hall" in plan["map"] else 2.5
        tracks = [np.array(s["keys"]) for s in plan["subjects"]]
        for subject, keys in zip(plan["subjects"], tracks, strict=True):
            assert np.hypot(keys[:, 1], keys[:, 2]).max() <= room + 1e-6
            assert np.abs(np.diff(keys[:, 3])).max() < 180, "a heading never jumps round"
            steps = np.diff(keys[:, 1:3], axis=0) * plan["fps"]
            speed = np.hypot(steps[:, 0], steps[:, 1])
            want = {"/Game/Hero/Walk": 1.4, "/Game/Dog/Run": 3.0}.get(subject["animation"], 0.0)
            assert speed == pytest.approx(np.full(len(speed), want), abs=0.12)
            if want:
                heading = np.radians(keys[:-1, 3] + np.diff(np.unwrap(keys[:, 3], period=360)) / 2)
                along = steps[:, 0] * np.cos(heading) + steps[:, 1] * np.sin(heading)
                assert (along / speed).min() > 0.9, "it faces where it goes"
        if len(tracks) == 2:
            gap = np.hypot(*(tracks[0] - tracks[1])[:, 1:3].T)
            assert gap.min() > drawing.SEPARATION_M - 0.35


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"locations": []}, "no list of locations"),
        ({"locations": [{"map": "Plaza", "center_uu": [0, 0, 0]}]}, r"locations\[0\].map 'Plaza'"),
        ({"locations": [{"map": "/Game/X", "center_uu": [0, 0]}]}, "3 numbers"),
        ({"locations": [{"map": "/Game/X", "center_uu": [0, 0, 1], "radius_m": [5, 2]}]}, "low <="),
        ({"subjects": [{"mesh": "/Game/X", "animations": []}]}, "no list of animations"),
        ({"subjects": [{"mesh": "/Game/X", "animations": [{"path": 3}]}]}, r"animations\[0\].path"),
        ({"subjects": ["hero"]}, r"subjects\[0\]"),
    ],
)
def test_bad_libraries_are_named(tmp_path, change, said):
    path = tmp_path / "library.json"
    path.write_text(json.dumps({**LIBRARY, **change}))
    with pytest.raises(SynCamError, match=said):
        library.read_library(path)
    path.write_text("{")
    with pytest.raises(SynCamError, match="not JSON"):
        library.read_library(path)
    with pytest.raises(SynCamError, match="cannot be read"):
        library.read_library(tmp_path / "none.json")


def test_what_is_built_is_what_was_drawn(unreal, editor, content, tmp_path):
    fill(unreal, editor)
    from syncam_unreal import rig_scene
    from syncam_unreal.camera_reading import read_camera

    plan = full_plan(content, tmp_path)
    report = rig_scene.build(plan)
    assert editor.actors == [], "the level is left as it was"
    assert [b["cameras"] for b in report["batches"]] == plan["batches"]
    drawn = rig_from_dict(plan["rig"])
    library_of = unreal.LevelSequenceEditorBlueprintLibrary
    for batch in report["batches"]:
        sequence = unreal.load_asset(batch["sequence"])
        assert (sequence.get_playback_start(), sequence.get_playback_end()) == (0, 6)
        library_of.open_level_sequence(sequence)
        spawned = {a.get_actor_label(): a for a in editor.actors}
        assert set(batch["cameras"]) <= set(spawned)
        for name in batch["cameras"]:
            camera = next(c for c in drawn.cameras if c.name == name)
            seen = read_camera(spawned[name].get_cine_camera_component(), 100.0)
            offset = np.array(plan["center_uu"]) * [1, -1, 1] / 100
            got, want = np.array(seen.c2w_cv_m), np.array(camera.c2w_cv_m)
            assert np.abs(got[:3, :3] - want[:3, :3]).max() < 1e-6
            assert np.abs(got[:3, 3] - want[:3, 3] - offset).max() < 1e-6
            assert seen.lens.focal_length_mm == 24.0
            assert spawned[name].get_cine_camera_component().aspect_ratio == pytest.approx(1.6)
        for subject in plan["subjects"]:
            from syncam_unreal import compat

            for frame in (0, 3, 5):
                compat.set_playhead(frame)
                at = spawned[subject["name"]].get_actor_location()
                _, x, y, _ = subject["keys"][frame]
                want = (plan["center_uu"][0] + 100 * x, plan["center_uu"][1] - 100 * y)
                assert (at.x, at.y) == pytest.approx(want, abs=1e-6)
                assert at.z == plan["ground_uu"]
        cuts = sequence.find_tracks_by_type(unreal.MovieSceneCameraCutTrack)
        assert len(cuts) == 1, "render_all_cameras needs one camera cut"
        library_of.close_level_sequence()


def test_another_unit_is_honoured(unreal, editor, content, tmp_path):
    """A level where 250 units are a metre: the same rig in metres, extrinsics in centimetres."""
    from syncam_engine.rendering.unreal.collect import placed_cameras

    fill(unreal, editor)
    editor.world_to_meters = 250.0
    from syncam_unreal import rig_scene

    plan = full_plan(content, tmp_path)
    report = rig_scene.build(plan)
    assert report["world_to_meters"] == 250.0
    drawn = rig_from_dict(plan["rig"])
    placed = placed_cameras(plan, report)
    assert report["center_m"] == pytest.approx(
        [plan["center_uu"][0] / 250, -plan["center_uu"][1] / 250, plan["center_uu"][2] / 250]
    )
    for camera, want in zip(placed, drawn.cameras, strict=True):
        got = np.array(camera.c2w_cv_m)[:3, 3] - np.array(report["center_m"])
        assert got == pytest.approx(np.array(want.c2w_cv_m)[:3, 3], abs=1e-6)


def test_a_walker_faces_where_it_goes_in_unreal(unreal, editor, content, tmp_path):
    """A mannequin's mesh faces its own +Y: its world +Y axis must lie along its motion."""
    fill(unreal, editor)
    from syncam_unreal import compat, rig_scene

    for number in range(6):
        plan = {**full_plan(content, tmp_path), **drawing.draw_scene(
            content, seed=2, number=number, cameras=2, frames=30, width=64, height=40)}  # fmt: skip
        plan["batches"] = [["cam01", "cam02"]]
        report = rig_scene.build(plan)
        unreal.LevelSequenceEditorBlueprintLibrary.open_level_sequence(
            unreal.load_asset(report["batches"][0]["sequence"])
        )
        spawned = {a.get_actor_label(): a for a in editor.actors}
        for subject in plan["subjects"]:
            actor = spawned[subject["name"]]
            places = []
            for frame in (10, 11):
                compat.set_playhead(frame)
                places.append(actor.get_actor_location())
            compat.set_playhead(10.5)
            step = places[1] - places[0]
            if step.length() < 1e-3:
                continue
            turned = actor.get_actor_rotation().quaternion()
            front = turned.get_axis_y() if subject["yaw_offset_deg"] == -90 else turned.get_axis_x()
            along = (front.x * step.x + front.y * step.y) / step.length()
            assert along > 0.97
        unreal.LevelSequenceEditorBlueprintLibrary.close_level_sequence()


def test_the_render_configuration(unreal, editor, content, tmp_path):
    from syncam_unreal.render_config import make_config

    plan = full_plan(content, tmp_path)
    config = make_config(plan)
    find = config.find_setting_by_class
    assert find(unreal.MoviePipelineDeferredPassBase) is not None
    assert find(unreal.MoviePipelineImageSequenceOutput_PNG) is not None
    assert find(unreal.MoviePipelineCameraSetting).render_all_cameras
    output = find(unreal.MoviePipelineOutputSetting)
    assert output.output_directory.path == str(tmp_path / "frames")
    assert "{camera_name}" in output.file_name_format
    assert (output.output_resolution.x, output.output_resolution.y) == (64, 40)
    smooth = find(unreal.MoviePipelineAntiAliasingSetting)
    assert smooth.engine_warm_up_count >= 32
    assert smooth.temporal_sample_count == 1
    blur = find(unreal.MoviePipelineConsoleVariableSetting)
    assert blur._variables == {"r.MotionBlurQuality": 0.0}
    shown = make_config({**plan, "motion_blur": True})
    assert shown.find_setting_by_class(unreal.MoviePipelineConsoleVariableSetting) is None


def test_faults_of_the_build_step(unreal, editor, content, tmp_path):
    fill(unreal, editor)
    from syncam_unreal import rig_scene

    plan = full_plan(content, tmp_path)
    mesh = plan["subjects"][0]["mesh"]
    other = {"/Game/Hero/SKM_Hero": "/Game/Dog/Run"}.get(mesh, "/Game/Hero/Walk")
    for change, code in (
        ({"version": 9}, "unreal.plan"),
        ({"map": "/Game/Maps/None"}, "unreal.map"),
        ({"subjects": [{**plan["subjects"][0], "mesh": "/Game/None"}]}, "unreal.asset"),
        ({"subjects": [{**plan["subjects"][0], "animation": other}]}, "unreal.skeleton"),
    ):
        with pytest.raises(SynCamError) as caught:
            rig_scene.build({**plan, **change})
        assert caught.value.code == code
        assert not [p for p in editor.assets if p.startswith("/Game/SynCam")]
    editor.read_only_content = True
    with pytest.raises(SynCamError) as caught:
        rig_scene.build(plan)
    assert caught.value.code == "unreal.asset_make"


def test_a_build_that_fails_half_way_takes_all_back(unreal, editor, content, tmp_path, monkeypatch):
    fill(unreal, editor)
    from syncam_unreal import rig_scene

    plan = full_plan(content, tmp_path)
    real, made = rig_scene.add_camera, []

    def fails_later(*args):
        made.append([p for p in editor.assets if p.startswith("/Game/SynCam")])
        if len(made) == len(plan["batches"][0]) + 1:
            raise RuntimeError("the editor said no")
        return real(*args)

    monkeypatch.setattr(rig_scene, "add_camera", fails_later)
    with pytest.raises(RuntimeError):
        rig_scene.build(plan)
    assert len(made[-1]) == 3, "the configuration, the first sequence, half of the second"
    assert not [p for p in editor.assets if p.startswith("/Game/SynCam")]
    assert editor.actors == []


def test_cameras_placed_elsewhere_than_drawn_are_noticed(unreal, editor, content, tmp_path):
    """An editor that clamps, snaps or flips: the set must not say what is not in its pictures."""
    from syncam_engine.rendering.unreal.collect import placed_cameras

    fill(unreal, editor)
    from syncam_unreal import rig_scene

    plan = full_plan(content, tmp_path)
    report = rig_scene.build(plan)
    report["cameras"][1]["matrix_cm"][3][0] += 0.1
    with pytest.raises(SynCamError) as caught:
        placed_cameras(plan, report)
    assert caught.value.code == "unreal.placement"


def test_cameras_are_found_by_what_the_render_queue_calls_them(unreal, editor, content, tmp_path):
    from syncam_engine.rendering.unreal.collect import frame_files

    fill(unreal, editor)
    editor.queue_suffix = "_1"
    from syncam_unreal import rig_scene

    report = rig_scene.build(full_plan(content, tmp_path))
    assert [c["file_name"] for c in report["cameras"]] == [
        f"{c['name']}_1" for c in report["cameras"]
    ]
    (tmp_path / "cam02_1").mkdir()
    for number in (10, 9):
        (tmp_path / "cam02_1" / f"{number:04d}.png").touch()
    found = frame_files(tmp_path, report["cameras"][1])
    assert [path.stem for path in found] == ["0009", "0010"]


def test_command_lines(tmp_path, content, monkeypatch):
    plan = full_plan(content, tmp_path)
    build = commands.build_command(
        Path("/ue/UnrealEditor-Cmd"), Path("/p/Stage.uproject"), Path("/p/b c.py")
    )
    assert build[:4] == [
        "/ue/UnrealEditor-Cmd", "/p/Stage.uproject", "-run=pythonscript", "-script=/p/b c.py",
    ]  # fmt: skip
    line = commands.windows_command_line(["C:/UE 5/e.exe", "C:/p.uproject", *build[2:4], "-log"])
    assert line == '"C:/UE 5/e.exe" C:/p.uproject -run=pythonscript -script="/p/b c.py" -log'
    full = commands.build_command(
        Path("/ue/e"), Path("/p/S.uproject"), Path("/p/b.py"), commandlet=False
    )
    assert full[2] == "-ExecutePythonScript=/p/b.py"
    assert "-nullrhi" in build
    batch = {
        "sequence": "/Game/SynCam/Rigs/scene2/Batch0",
        "config": "/Game/SynCam/Rigs/scene2/Config",
    }
    render = commands.render_command(Path("/ue/e"), Path("/p/Stage.uproject"), plan, batch)
    assert render[2:4] == [plan["map"], "-game"]
    assert "-LevelSequence=/Game/SynCam/Rigs/scene2/Batch0.Batch0" in render
    assert "-MoviePipelineConfig=/Game/SynCam/Rigs/scene2/Config.Config" in render
    assert "-RenderOffscreen" in render
    assert "-nullrhi" not in render, "a render needs its device"
    monkeypatch.delenv(commands.ENVIRONMENT, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynCamError, match="No Unreal editor"):
        commands.find_editor()
    with pytest.raises(SynCamError, match="no Unreal editor at"):
        commands.find_editor("/nowhere/UnrealEditor-Cmd")
    with pytest.raises(SynCamError, match="No project was given"):
        commands.check_project("")
    assert commands.find_build_script(tmp_path / "Stage.uproject").is_file()
