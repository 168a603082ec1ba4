# SPDX-License-Identifier: Apache-2.0
"""`--engine unreal`: plans, the build step on the stand-in, command lines, collecting, resuming."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from syncam_engine.data.syncamvideo import SynCamVideo, parse_matrix, unreal_to_c2w_cv_m
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig_json import rig_from_dict
from syncam_engine.media.read import read_clip
from syncam_engine.unreal_rigs import commands, drawing, library, run

HERE = Path(__file__).resolve().parent
LIBRARY = {
    "locations": [
        {"map": "/Game/Maps/Plaza", "center_uu": [1200, -300, 110], "caption": "a sunny plaza"},
        {
            "map": "/Game/Maps/Hall.Hall", "center_uu": [0, 50, 90], "ground_uu": 5,
            "radius_m": [3.5, 5], "walk_radius_m": 1.5, "caption": "a hall",
        },
    ],
    "subjects": [
        {
            "mesh": "/Game/Hero/SKM_Hero", "caption": "a grey robot",
            "animations": [
                {"path": "/Game/Hero/Walk", "speed_m_s": 1.4, "caption": "walks"},
                {"path": "/Game/Hero/Wave", "caption": "waves"},
            ],
        },
        {
            "mesh": "/Game/Dog/SK_Dog", "caption": "a dog", "yaw_offset_deg": 0.0, "scale": 0.8,
            "animations": [{"path": "/Game/Dog/Run", "speed_m_s": 3.0, "caption": "runs"}],
        },
    ],
}  # fmt: skip
WORLD = {
    "maps": ["/Game/Maps/Plaza", "/Game/Maps/Hall"],
    "meshes": {"/Game/Hero/SKM_Hero": "/Game/Hero/SK", "/Game/Dog/SK_Dog": "/Game/Dog/SK"},
    "animations": {
        "/Game/Hero/Walk": "/Game/Hero/SK", "/Game/Hero/Wave": "/Game/Hero/SK",
        "/Game/Dog/Run": "/Game/Dog/SK",
    },
}  # fmt: skip


@pytest.fixture
def content(tmp_path):
    path = tmp_path / "library.json"
    path.write_text(json.dumps(LIBRARY))
    return library.read_library(path)


@pytest.fixture
def farm(tmp_path, monkeypatch):
    """A project, a fake editor and the options of a small run."""
    project = tmp_path / "Stage" / "Stage.uproject"
    project.parent.mkdir()
    project.write_text("{}")
    (tmp_path / "library.json").write_text(json.dumps(LIBRARY))
    editor = tmp_path / "UnrealEditor-Cmd"
    editor.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "fake_editor.py"}" "$@"\n')
    editor.chmod(0o755)
    world = tmp_path / "world.json"
    monkeypatch.setenv("FAKE_UNREAL", str(world))
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))

    def make(scenes=1, **faults):
        world.write_text(json.dumps({**WORLD, **faults}))
        parser = argparse.ArgumentParser()
        run.add_options(parser)
        args = parser.parse_args(
            ["--unreal-editor", str(editor), "--unreal-project", str(project),
             "--unreal-library", str(tmp_path / "library.json"), "--unreal-cameras-at-once", "4"]
        )  # fmt: skip
        spec = {
            "scenes": scenes, "cameras": 5, "frames": 6, "width_px": 64, "height_px": 40, "fps": 15,
            "seed": 3, "out": str(tmp_path / "out"), "radius_m": [3.5, 9.0], "samples": 4,
            "elevation_deg": [0.0, 45.0], "focal_mm": [24.0, 24.0], "subjects": [1, 2],
        }  # fmt: skip
        return spec, args

    make.out = tmp_path / "out" / "train" / "f24_aperture5"
    make.work = tmp_path / "out" / ".unreal"
    make.renders = lambda: [int(x) for x in (project.parent / "renders.log").read_text().split()]
    return make


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
    with pytest.raises(SynCamError, match="no JSON"):
        library.read_library(path)
    with pytest.raises(SynCamError, match="cannot be read"):
        library.read_library(tmp_path / "none.json")


def full_plan(content, tmp_path, cameras=5, batches=2, **options):
    plan = drawing.draw_scene(
        content, seed=3, number=1, cameras=cameras, frames=6, width=64, height=40, **options
    )
    names = [c["name"] for c in plan["rig"]["cameras"]]
    size = -(-cameras // batches)
    return {
        **plan, "output": str(tmp_path / "frames"), "samples": 4, "motion_blur": False,
        "batches": [names[i : i + size] for i in range(0, cameras, size)],
    }  # fmt: skip


def fill(unreal, editor):
    from stand_in.assets import add_asset

    editor.saved |= set(WORLD["maps"])
    bones = {}
    for kind, table in (("SkeletalMesh", "meshes"), ("AnimSequence", "animations")):
        for path, skeleton in WORLD[table].items():
            bones.setdefault(skeleton, add_asset(editor, "Skeleton", skeleton))
            add_asset(editor, kind, path, skeleton=bones[skeleton])


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
    from syncam_engine.unreal_rigs.collect import placed_cameras

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


def test_command_lines(tmp_path, content, monkeypatch):
    plan = full_plan(content, tmp_path)
    build = commands.build_command(
        Path("/ue/UnrealEditor-Cmd"), Path("/p/Stage.uproject"), Path("/p/b.py"),
        Path("/w/plan.json"), Path("/w/built.json"),
    )  # fmt: skip
    assert build[:4] == [
        "/ue/UnrealEditor-Cmd", "/p/Stage.uproject", "-run=pythonscript",
        '-script="/p/b.py" "/w/plan.json" "/w/built.json"',
    ]  # fmt: skip
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


def test_a_run_end_to_end(farm):
    assert run.render(*farm(scenes=2)) == 0
    assert sorted(p.name for p in farm.out.iterdir()) == ["scene1", "scene2"]
    assert not list(farm.work.iterdir()), "nothing of the work is left"
    assert farm.renders() == [4, 1, 4, 1], "batches of at most four cameras"
    source = SynCamVideo(farm.out.parent)
    assert len(source.scenes) == 2
    assert (farm.out.parents[1] / "manifest.parquet").is_file()
    assert set(json.loads((farm.out.parent / "rotation_data.json").read_text())) == {
        "scene1",
        "scene2",
    }
    for name in ("scene1", "scene2"):
        folder = farm.out / name
        data = json.loads((folder / "scene.json").read_text())
        assert data["center_m"][1] == pytest.approx({"/Game/Maps/Plaza": 3.0}.get(
            data["place"]["kind"], -0.5))  # fmt: skip
        assert set(data["files"]) >= {"videos/cam01.mp4", "cameras/rotations.json"}
        document = json.loads((folder / "cameras" / "camera_extrinsics.json").read_text())
        assert list(document) == [f"frame{k}" for k in range(6)]
        clips = {}
        for camera in data["cameras"]:
            read_back = unreal_to_c2w_cv_m(parse_matrix(document["frame0"][camera["name"]]))
            assert np.abs(read_back - np.array(camera["c2w_cv_m"])).max() < 1e-6
            clip = read_clip(folder / "videos" / f"{camera['name']}.mp4")
            assert clip.frames_THW3.shape == (6, 40, 64, 3)
            assert clip.fps == 15
            clips[camera["name"]] = clip.frames_THW3.mean(axis=(1, 2))
        assert len({tuple(c.round().ravel()) for c in clips.values()}) == 5, "each its own pictures"


def test_a_second_run_does_nothing_and_an_interrupted_one_goes_on(farm):
    args = farm(die_at_camera="cam05")
    assert run.render(*args) == 1
    assert not farm.out.exists() or not list(farm.out.iterdir())
    kept = sorted(p.name for p in (farm.work / "scene1" / "frames").iterdir())
    assert kept == ["cam01", "cam02", "cam03", "cam04"]
    assert run.render(*farm()) == 0
    assert farm.renders()[-1] == 1, "only the batch that was missing was rendered again"
    count = len(farm.renders())
    assert run.render(*farm()) == 0
    assert len(farm.renders()) == count


def test_memory_that_is_short_halves_the_batch(farm):
    assert run.render(*farm(most_cameras=2)) == 0
    assert farm.renders() == [4, 2, 2, 1]


def test_equal_pictures_and_build_faults_are_said(farm, capsys):
    assert run.render(*farm(same_picture=True)) == 1
    assert "the very same pictures" in capsys.readouterr().err
    assert run.render(*farm(maps=[])) == 1
    assert "cannot be loaded" in capsys.readouterr().err
    assert not farm.out.exists() or not list(farm.out.iterdir())


@pytest.mark.parametrize(
    ("name", "value"),
    [("passes", ("rgb", "depth")), ("packed", True), ("preview", True), ("camera_motion", "orbit")],
)
def test_what_unreal_cannot_is_refused_before_it_starts(farm, name, value):
    spec, args = farm()
    with pytest.raises(SynCamError, match=name):
        run.render({**spec, name: value}, args)
    args.cluster = "auto"
    with pytest.raises(SynCamError, match="--cluster"):
        run.render(spec, args)
    assert run.check_spec({"passes": ("rgb",), "packed": False, "camera_motion": "static"}) is None


def test_the_command_line_reaches_it(farm, tmp_path):
    """`syncam render --engine unreal` with the terminal's own options."""
    from syncam_engine import cli

    _, args = farm()
    words = ["render", "--engine", "unreal", "--scenes", "1", "--cameras", "2", "--frames", "5"]
    words += ["--size", "64x40", "--samples", "1", "--out", str(tmp_path / "out")]
    for name, value in vars(args).items():
        if isinstance(value, str) and value:
            words += ["--" + name.replace("_", "-"), value]
    assert cli.main(words) == 0
    assert (farm.out / "scene1" / "videos" / "cam02.mp4").is_file()


def test_another_seed_does_not_reuse_the_pictures(farm):
    run.render(*farm(die_at_camera="cam05"))
    args = farm()
    args[0]["seed"] = 4
    assert run.render(*args) == 0
    assert farm.renders()[-2:] == [4, 1]
