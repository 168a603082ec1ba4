# SPDX-License-Identifier: Apache-2.0
"""The readers of every data layout, on small files made here with known cameras."""

from __future__ import annotations

import json
import pickle

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from PIL import Image

from syncam_engine.data.moving_video import Nerfstudio, RealEstate10K
from syncam_engine.data.pictures import read_clip_frames
from syncam_engine.data.rendered import PackedShards, caption_variants, open_rendered
from syncam_engine.data.scene import BrokenFile
from syncam_engine.data.sources import open_source
from syncam_engine.data.static_clips import StaticClips
from syncam_engine.data.syncamvideo import SynCamVideo, parse_matrix, unreal_to_c2w_cv_m
from syncam_engine.link.errors import SynCamError
from syncam_engine.media.read import read_clip
from tests.data.files import write_clip, write_shard
from tests.data.synthetic import BoxSource


@pytest.fixture
def shards(tmp_path):
    source = BoxSource(scenes=3, cameras=4, frames=5)
    write_shard(tmp_path / "shard-00000.npz", source)
    write_shard(tmp_path / "shard-00001.npz", source)
    return tmp_path, source


def test_packed_shards_give_pictures_and_cameras(shards):
    folder, source = shards
    read = open_rendered(folder)
    assert [s.key for s in read.scenes[2:4]] == [
        "shard-00000/scene-000002",
        "shard-00001/scene-000000",
    ]
    assert read.groups["shard-00001"] == [3, 4, 5]
    assert read.scenes[4].captions[0] == source.scenes[1].captions[0]
    assert read.scenes[4].fps == 8.0
    wanted = source.read_pictures(1, [3, 0], [4, 2])
    assert (read.read_pictures(4, [3, 0], [4, 2]) == wanted).all()
    assert np.allclose(read.scenes[4].c2w_cv_m_CT44, source.scenes[1].c2w_cv_m_CT44)
    again = pickle.loads(pickle.dumps(read))  # noqa: S301 (as reader processes get it)
    assert (again.read_pictures(4, [3, 0], [4, 2]) == wanted).all()


def test_a_cut_shard_is_named_and_the_others_are_read(shards):
    folder, _ = shards
    path = folder / "shard-00000.npz"
    path.write_bytes(path.read_bytes()[:5000])
    read = PackedShards(folder)
    assert len(read.scenes) == 3
    assert "shard-00000.npz" in read.broken.report()


def test_a_shard_whose_cameras_have_no_intrinsics_is_named(tmp_path):
    source = BoxSource(scenes=2)
    write_shard(tmp_path / "shard-00000.npz", source)
    source.scenes[1].K_CT33[2] = 0.0
    write_shard(tmp_path / "shard-00001.npz", source)
    read = PackedShards(tmp_path)
    assert len(read.scenes) == 2
    assert "scene-000001 has a camera without a focal length" in read.broken.report()


def test_unreal_axes_become_opencv():
    # At (1, 2, 3) m, looking along Unreal's +Y (right), level.
    row = parse_matrix("[0 1 0 0] [-1 0 0 0] [0 0 1 0] [100 200 300 1] ")
    c2w = unreal_to_c2w_cv_m(row)
    assert np.linalg.det(c2w[:3, :3]) == pytest.approx(1.0)
    assert c2w[:3, 3] == pytest.approx([1, -2, 3])
    assert c2w[:3, 2] == pytest.approx([0, -1, 0])  # forward: our -Y
    assert c2w[:3, 1] == pytest.approx([0, 0, -1])  # down
    with pytest.raises(ValueError, match="not a 4x4"):
        parse_matrix("[1 2 3] [4 5 6]")


def test_relative_poses_equal_the_released_codes():
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(2):
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        q *= np.sign(np.linalg.det(q))
        matrix = np.eye(4)
        matrix[:3, :3], matrix[3, :3] = q, rng.normal(size=3) * 300
        rows.append(matrix)

    def released(row):
        c2w = row.T[:, [1, 2, 0, 3]].copy()
        c2w[:3, 1] *= -1
        c2w[:3, 3] /= 100
        return c2w

    ours = np.linalg.inv(unreal_to_c2w_cv_m(rows[0])) @ unreal_to_c2w_cv_m(rows[1])
    theirs = np.linalg.inv(released(rows[0])) @ released(rows[1])
    assert ours == pytest.approx(theirs)


def test_syncamvideo_layout(tmp_path):
    root = tmp_path / "train" / "f24_aperture5" / "scene7"
    (root / "cameras").mkdir(parents=True)
    matrices = {
        f"frame{k}": {
            "cam01": "[1 0 0 0] [0 1 0 0] [0 0 1 0] [0 0 150 1] ",
            "cam02": "[0 1 0 0] [-1 0 0 0] [0 0 1 0] [0 -400 150 1] ",
        }
        for k in range(11)
    }
    (root / "cameras" / "camera_extrinsics.json").write_text(json.dumps(matrices))
    for camera, base in (("cam01", 40), ("cam02", 140)):
        write_clip(root / "videos" / f"{camera}.mp4", [base + 5 * k for k in range(11)])
    read = SynCamVideo(tmp_path)
    scene = read.scenes[0]
    assert (scene.key, scene.cameras, scene.frames) == ("train/f24_aperture5/scene7", 2, 11)
    assert scene.K_at(0, 0)[0, 0] == pytest.approx(24 / 23.76 * 64)
    pictures = read.read_pictures(0, [1, 0], [10, 3])
    assert pictures.mean(axis=(2, 3, 4)) == pytest.approx(np.array([[190, 155], [90, 55]]), abs=3.0)
    (root / "videos" / "cam02.mp4").unlink()
    assert "cam02.mp4 (the clip is missing)" in SynCamVideo(tmp_path).broken.report()


def test_scenes_of_syncam_render_have_their_captions_and_lenses(tmp_path):
    root = tmp_path / "train" / "f24_aperture5" / "scene1"
    (root / "cameras").mkdir(parents=True)
    row = "[1 0 0 0] [0 1 0 0] [0 0 1 0] [0 0 150 1] "
    poses = {"frame0": {"cam01": row, "cam02": row}}
    (root / "cameras" / "camera_extrinsics.json").write_text(json.dumps(poses))
    for camera in ("cam01", "cam02"):
        write_clip(root / "videos" / f"{camera}.mp4", [90])
    K = {"cam02": [[75.5, 0, 31.25], [0, 75.5, 24], [0, 0, 1]]}
    K["cam01"] = [[50.5, 0, 32], [0, 50.5, 23.5], [0, 0, 1]]
    scene = {
        "format": "syncam-scene",
        "caption": "a man walks across a stone plaza",
        "cameras": [{"name": name, "K": numbers} for name, numbers in K.items()],
    }
    (root / "scene.json").write_text(json.dumps(scene))
    read = open_rendered(tmp_path).scenes[0]
    assert read.captions == ("a man walks across a stone plaza",)
    for camera, name in enumerate(("cam01", "cam02")):
        assert read.K_at(camera, 0) == pytest.approx(np.array(K[name]))
    (root / "scene.json").write_text('{"cameras": [')
    assert "scene.json (cannot be read as a scene" in open_rendered(tmp_path).broken.report()


def test_colours_of_large_clips_without_a_tag_are_those_that_the_engine_reads(tmp_path):
    colour = (20, 200, 60)
    with av.open(str(tmp_path / "untagged.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((720, 1280, 3), colour, np.uint8), "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        frame.colorspace = 2  # not said
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    picture = read_clip_frames(tmp_path / "untagged.mp4", [0])[0]
    assert np.abs(picture.astype(int) - colour).max() < 5
    assert (picture == read_clip(tmp_path / "untagged.mp4").frames_THW3[0]).all()


def test_realestate10k(tmp_path):
    angle = np.radians(20)
    turn = np.array(
        [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]]
    )
    lines = ["https://example.org/clip"]
    (tmp_path / "frames" / "abc").mkdir(parents=True)
    for k, (rotation, t) in enumerate([(np.eye(3), [0, 0, 0]), (turn, [0.5, -0.25, 2])]):
        w2c = np.hstack([rotation, np.reshape(t, (3, 1))]).ravel()
        numbers = [f"{k * 33000}", "0.6", "0.9", "0.5", "0.5", "0", "0", *(f"{x:.9f}" for x in w2c)]
        lines.append(" ".join(numbers))
        Image.new("RGB", (80, 48), (10 + 100 * k, 0, 0)).save(
            tmp_path / "frames" / "abc" / f"{k * 33000}.png"
        )
    (tmp_path / "abc.txt").write_text("\n".join(lines))
    (tmp_path / "bad.txt").write_text("url\n1 2 3\n")
    read = RealEstate10K(tmp_path)
    scene = read.scenes[0]
    assert (scene.kind, scene.cameras, scene.order) == ("moving", 2, (0, 1))
    assert scene.K_at(1, 0) == pytest.approx(np.array([[48, 0, 40], [0, 43.2, 24], [0, 0, 1]]))
    relative = np.linalg.inv(scene.c2w_cv_m_at(1, 0)) @ scene.c2w_cv_m_at(0, 0)
    assert relative[:3, :3] == pytest.approx(turn, abs=1e-6)
    assert relative[:3, 3] == pytest.approx([0.5, -0.25, 2], abs=1e-6)
    # The picture's down is the world's -Z.
    assert scene.c2w_cv_m_at(0, 0)[:3, 1] == pytest.approx([0, 0, -1])
    assert read.read_pictures(0, [1], [0])[0, 0, 0, 0, 0] == 110
    assert "bad.txt (a line has not 19 numbers)" in read.broken.report()


def test_nerfstudio_scales_intrinsics_to_smaller_pictures(tmp_path):
    pose = [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    document = {
        "w": 320,
        "h": 180,
        "fl_x": 200,
        "fl_y": 210,
        "cx": 161,
        "cy": 89,
        "frames": [{"file_path": f"images/{k}.png", "transform_matrix": pose} for k in range(3)],
    }
    (tmp_path / "s" / "images_4").mkdir(parents=True)
    (tmp_path / "s" / "transforms.json").write_text(json.dumps(document))
    for k in (0, 2):
        Image.new("RGB", (80, 45), (0, k, 0)).save(tmp_path / "s" / "images_4" / f"{k}.png")
    read = Nerfstudio(tmp_path)
    scene = read.scenes[0]
    assert scene.order == (0, 2)
    wanted = np.array([[50, 0, 40.25], [0, 52.5, 22.25], [0, 0, 1]])
    assert scene.K_at(0, 0) == pytest.approx(wanted)
    assert scene.c2w_cv_m_at(1, 0)[:3, 2] == pytest.approx([0, 0, -1])
    assert scene.c2w_cv_m_at(1, 0)[:3, 3] == pytest.approx([1, 2, 3])


def test_a_moving_scenes_picture_of_another_size_is_named(tmp_path):
    pose = np.eye(4).tolist()
    frames = [{"file_path": f"{k}.png", "transform_matrix": pose} for k in range(3)]
    document = {"w": 80, "h": 45, "fl_x": 50, "frames": frames}
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    for k, size in enumerate([(80, 45), (80, 45), (45, 80)]):
        Image.new("RGB", size).save(tmp_path / f"{k}.png")
    read = Nerfstudio(tmp_path)
    assert read.read_pictures(0, [0, 1], [0]).shape == (2, 1, 45, 80, 3)
    with pytest.raises(BrokenFile, match=r"2\.png: it is 45x80, others are 80x45"):
        read.read_pictures(0, [0, 2], [0])


def test_nerfstudio_without_intrinsics_is_named(tmp_path):
    frames = [{"file_path": f"{k}.png", "transform_matrix": np.eye(4).tolist()} for k in range(2)]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    for k in range(2):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{k}.png")
    assert "transforms.json ('fl_x' is missing)" in Nerfstudio(tmp_path).broken.report()


def test_static_clips_obey_the_filter(tmp_path):
    write_clip(tmp_path / "a.mp4", [60] * 7)
    write_clip(tmp_path / "b.mp4", [90] * 7)
    (tmp_path / "b.txt").write_text("a grey wall")
    (tmp_path / "c.mp4").write_bytes(b"not a clip")
    read = StaticClips(tmp_path)
    assert [s.key for s in read.scenes] == ["a.mp4", "b.mp4"]
    assert read.scenes[1].captions == ("a grey wall",)
    assert len(read.broken) == 1
    clips = [{"clip": "a.mp4", "passed": False}, {"clip": "b.mp4", "passed": True}]
    (tmp_path / "static-filter.json").write_text(json.dumps({"clips": clips}))
    assert [s.key for s in StaticClips(tmp_path).scenes] == ["b.mp4"]
    pictures = read.read_pictures(1, [0, 0, 0], range(5))
    assert pictures.shape == (3, 5, 48, 64, 3)
    with pytest.raises(BrokenFile, match="no frame 9"):
        read.read_pictures(1, [0], [9])
    for damaged in ("", '{"clips": [{"clip": 1}]}'):
        (tmp_path / "static-filter.json").write_text(damaged)
        with pytest.raises(SynCamError, match=r"static-filter\.json") as told:
            StaticClips(tmp_path)
        assert told.value.code == "data.damaged"


def test_missing_and_empty_sources_are_one_sentence(tmp_path):
    with pytest.raises(SynCamError, match="of the rendered source is not there"):
        open_source("rendered", str(tmp_path / "nowhere"))
    with pytest.raises(SynCamError, match="has no usable scene"):
        open_source("static-clips", str(tmp_path))
    with pytest.raises(SynCamError, match="no data source of kind 'dream'"):
        open_source("dream", str(tmp_path))


def test_general_words_stand_beside_the_caption():
    variants = caption_variants("an old woman in a red coat walks across a dogged mandarin square")
    assert variants[0] == variants[2]
    assert variants[3] == "an old person in a red coat walks across a dogged mandarin square"
    assert caption_variants("a spotted dog sits")[3] == "a spotted animal sits"
