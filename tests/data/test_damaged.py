# SPDX-License-Identifier: Apache-2.0
"""Files of another form than they should be: named and skipped, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from syncam_engine.cli import main
from syncam_engine.data.angles import ANGLES_FILE, cached_angle_table
from syncam_engine.data.latents import LatentStore
from syncam_engine.data.moving_video import Nerfstudio, RealEstate10K
from syncam_engine.data.rendered import PackedShards
from syncam_engine.data.static_clips import StaticClips
from syncam_engine.data.syncamvideo import SynCamVideo
from tests.data.files import write_clip, write_shard
from tests.data.synthetic import BoxSource, make_scene

MATRIX = "[1 0 0 0] [0 1 0 0] [0 0 1 0] [100 0 0 1] "
POSE = np.eye(4).tolist()


def assert_named(source, words: str) -> None:
    assert not source.scenes
    assert words in source.broken.report()


def write_pictures(folder: Path, names: tuple[str, ...] = ("1", "2", "3")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (64, 32)).save(folder / f"{name}.jpg")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([1, 2], "removeprefix"),
        ({"frame0": {"cam01": 5}}, "replace"),
        ({"frame0": None}, "cannot be read as camera extrinsics"),
    ],
)
def test_extrinsics_of_another_form(tmp_path, document, words):
    folder = tmp_path / "scene1" / "cameras"
    folder.mkdir(parents=True)
    (folder / "camera_extrinsics.json").write_text(json.dumps(document))
    assert_named(SynCamVideo(tmp_path), words)


def test_a_scene_whose_lens_or_caption_is_none(tmp_path):
    for number, (file, text) in enumerate(
        (
            (
                "scene.json",
                b'{"format": "syncam-scene", "caption": "x",'
                b' "cameras": [{"name": "cam01", "K": [0, 0, 0, 0, 0, 0, 0, 0, 0]}]}',
            ),
            ("caption.txt", b"caf\xe9"),
        )
    ):
        scene = tmp_path / str(number)
        write_clip(scene / "videos" / "cam01.mp4", [10] * 5)
        (scene / "cameras").mkdir()
        extrinsics = {f"frame{k}": {"cam01": MATRIX} for k in range(5)}
        (scene / "cameras" / "camera_extrinsics.json").write_text(json.dumps(extrinsics))
        (scene / file).write_bytes(text)
    source = SynCamVideo(tmp_path)
    assert_named(source, "without a focal length")
    assert_named(source, "caption.txt (the caption cannot be read")


def write_scene(folder: Path, films: dict[str, int], start: bool) -> None:
    """A scene of films with so many pictures, the index of each at its start or end."""
    (folder / "videos").mkdir(parents=True)
    (folder / "cameras").mkdir()
    rng = np.random.default_rng(5)
    for name, pictures in films.items():
        write_noise(folder / "videos" / f"{name}.mp4", pictures, rng, start=start)
    extrinsics = {f"frame{k}": dict.fromkeys(films, MATRIX) for k in range(9)}
    (folder / "cameras" / "camera_extrinsics.json").write_text(json.dumps(extrinsics))


def write_noise(path: Path, pictures: int, rng, *, start: bool) -> None:
    flags = {"movflags": "faststart"} if start else {}
    with av.open(str(path), "w", options=flags) as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(pictures):
            picture = rng.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("start", [True, False])
def test_films_that_were_cut_off_are_listed(tmp_path, capsys, start):
    """Whether the file says at its start or at its end what it holds, and in any camera."""
    for number in (1, 2, 3):
        films = {"cam01": 9, "cam02": 9 if number < 3 else 5}
        write_scene(tmp_path / f"scene{number}", films, start)
    assert main(["data", "list", "rendered", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "2 scenes, 4 cameras, 1 broken files" in said
    assert "cam02.mp4 (it ends after 5 of 9 pictures)" in said
    cut(tmp_path / "scene2" / "videos" / "cam02.mp4", 0.7)
    assert main(["data", "list", "rendered", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "1 scenes, 2 cameras, 2 broken files" in said
    assert "scene2/videos/cam02.mp4 (" in said


def test_other_sources_files_that_were_cut_off_are_listed(tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    write_noise(tmp_path / "clips" / "a.mp4", 9, np.random.default_rng(7), start=True)
    cut(tmp_path / "clips" / "a.mp4", 0.8)
    assert main(["data", "list", "static-clips", str(tmp_path / "clips")]) == 0
    assert "0 scenes, 0 cameras, 1 broken files skipped" in capsys.readouterr().out
    poses = [f"{k} 0.5 0.9 0.5 0.5 0 0 1 0 0 {k} 0 1 0 0 0 0 1 0" for k in (1, 2, 3)]
    (tmp_path / "s.txt").write_text("\n".join(["url", *poses]))
    write_pictures(tmp_path / "frames" / "s")
    cut(tmp_path / "frames" / "s" / "2.jpg", 0.8)
    assert main(["data", "list", "realestate10k", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "0 scenes, 0 cameras, 1 broken files skipped" in said
    assert "2.jpg" in said


def test_a_static_clips_caption_that_is_no_text(tmp_path):
    write_clip(tmp_path / "a.mp4", [10] * 5)
    write_clip(tmp_path / "b.mp4", [20] * 5)
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    source = StaticClips(tmp_path)
    assert [scene.key for scene in source.scenes] == ["b.mp4"]
    assert "a.txt (the caption cannot be read" in source.broken.report()


@pytest.mark.parametrize("time", ["nan", "inf"])
def test_a_timestamp_that_is_no_number(tmp_path, time):
    (tmp_path / "s.txt").write_text(f"url\n{time} 0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0\n")
    write_pictures(tmp_path / "frames" / "s")
    assert_named(RealEstate10K(tmp_path), "s.txt (cannot convert float")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"w": 0, "h": 0}, "division by zero"),
        ({"caption": None}, "a caption that is not text"),
        ({"pose": np.eye(4)[:3].tolist()}, "they must be 3x3 and 4x4"),
        ({"pose": np.zeros((4, 4)).tolist()}, "axes do not span space"),
    ],
)
def test_transforms_of_another_form(tmp_path, changes, words):
    pose = changes.pop("pose", POSE)
    frames = [{"file_path": f"{k}.jpg", "transform_matrix": pose} for k in (1, 2, 3)]
    write_pictures(tmp_path / "s")
    document = {"fl_x": 50, "frames": frames, **changes}
    (tmp_path / "s" / "transforms.json").write_text(json.dumps(document))
    assert_named(Nerfstudio(tmp_path), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fps": np.array([1, 2])}, "0-dimensional"),
        ({"frames": np.zeros((2, 3, 5, 32, 64, 3), np.uint8)}, "2 scenes and 3 cameras"),
        ({"frames": np.zeros((2, 4, 5, 32, 64, 3), np.float32)}, "float32 pictures"),
        ({"c2w_cv_m": np.zeros((2, 4, 3, 4))}, "they must be 3x3 and 4x4"),
    ],
)
def test_shards_of_another_form(tmp_path, changes, words):
    file = tmp_path / "shard-0.npz"
    write_shard(file, BoxSource(scenes=2, cameras=4, frames=5))
    with np.load(file) as shard:
        document = {name: shard[name] for name in shard.files}
    np.savez(file, **{**document, **changes})
    assert_named(PackedShards(tmp_path), words)


@pytest.mark.parametrize("text", ["[]", '{"scenes": [3], "width_px": 64, "height_px": 32}'])
def test_latents_listed_in_another_form(tmp_path, text):
    from safetensors.numpy import save_file

    (tmp_path / "store.json").write_text("{}")
    save_file({"a/z": np.zeros(1, np.float32)}, tmp_path / "g.safetensors")
    (tmp_path / "g.json").write_text(text)
    assert_named(LatentStore(tmp_path), "g.safetensors")


@pytest.mark.parametrize("tables", [None, [], {"anchor-2-0-180": 3}, {"anchor-2-0-180": {}}])
def test_kept_angles_of_another_form_are_made_anew(tmp_path, tables):
    document = {"format": "syncam-angles", "version": 2, "tables": tables}
    if tables is None:
        document.pop("tables")
    (tmp_path / ANGLES_FILE).write_text(json.dumps(document))
    table = cached_angle_table(tmp_path, [make_scene(3)], (0.0, 180.0), 2)
    assert len(table.sets) == 1


def test_options_of_the_data_commands_are_checked(tmp_path, capsys):
    write_clip(tmp_path / "one.mp4", [10])
    write_shard(tmp_path / "shard-0.npz", BoxSource(scenes=1, cameras=2, frames=1))
    judge = ["data", "filter-static", str(tmp_path)]
    encode = ["data", "latents", "rendered", str(tmp_path), "--out", str(tmp_path / "out")]
    encode += ["--autoencoder", str(tmp_path)]
    for command, words in (
        ([*judge, "--quantile", "3"], "--quantile is 3.0"),
        ([*judge, "--threshold", "nan"], "--threshold is nan"),
        ([*encode, "--size", "0x0"], "--size is 0x0; both must be multiples of 16"),
        ([*encode, "--threads", "-1"], "--threads is -1; it must be at least 1"),
    ):
        assert main(command) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(judge) == 0
    assert "0 of 1 clips pass" in capsys.readouterr().out
