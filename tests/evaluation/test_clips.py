# SPDX-License-Identifier: Apache-2.0
"""`syncam evaluate clips` on files, and the preview evaluation with stand-in generators."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from syncam_engine.cli import main
from syncam_engine.evaluation import clips as clips_module
from syncam_engine.evaluation.learned import LearnedScore
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.rig_json import read_rig, rig_to_dict, write_rig
from syncam_engine.media.write import write_mp4
from syncam_engine.preview.score import evaluate_preview
from syncam_engine.preview.score_run import orthonormal, rig_of
from tests.data.synthetic import BoxSource


def write_clip(path: Path, frames_THW3: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(15), options={"crf": "10"})
        stream.height, stream.width = frames_THW3.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THW3:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def job(tmp_path):
    source = BoxSource(scenes=1, cameras=2, frames=5)
    rig = rig_of(source.scenes[0], [0, 1])
    clips = source.read_pictures(0, [0, 1], range(5))
    for camera, clip in zip(rig.cameras, clips, strict=True):
        write_clip(tmp_path / "clips" / f"{camera.name}.mp4", clip)
        write_clip(tmp_path / "truth" / f"{camera.name}.mp4", clip)
    return tmp_path, write_rig(rig, tmp_path / "rig.json")


def test_scores_of_a_folder_are_written(job, capsys):
    folder, rig = job
    arguments = ["evaluate", "clips", str(folder / "clips"), "--rig", str(rig)]
    out = folder / "report"
    assert main([*arguments, "--truth", str(folder / "truth"), "--out", str(out)]) == 0
    scores = json.loads((out / "scores.json").read_text())
    assert scores["psnr_db"] == 100.0
    assert scores["ssim"] == pytest.approx(1.0)
    assert 0.9 < scores["temporal_flickering"] < 1.0
    assert scores["provenance"]["matcher"] == "sift"
    page = (out / "index.html").read_text()
    assert "../clips/cam01.mp4" in page
    assert "temporal flickering" in capsys.readouterr().out


def test_clips_of_syncam_generate_are_found_as_it_names_them(job, capsys):
    folder, rig = job
    made = []
    for index, name in enumerate(("cam01", "cam02")):
        path = (folder / "clips" / f"{name}.mp4").rename(folder / "clips" / f"{index:02d}-x.mp4")
        made.append({"camera": name, "path": str(path), "kind": "video/mp4"})
    (folder / "clips" / "result.json").write_text(json.dumps({"clips": made}))
    assert main(["evaluate", "clips", str(folder / "clips"), "--rig", str(rig)]) == 0
    assert "temporal flickering" in capsys.readouterr().out


def rendered_scene(folder: Path, source: BoxSource, fps: int) -> Path:
    """A scene as `syncam render` leaves it: `scene.json` and its films."""
    scene = source.scenes[0]
    rig = rig_of(scene, range(scene.cameras))
    films = source.read_pictures(0, range(scene.cameras), range(scene.frames))
    (folder / "videos").mkdir(parents=True)
    for camera, film in zip(rig.cameras, films, strict=True):
        write_mp4(folder / "videos" / f"{camera.name}.mp4", film, Fraction(fps), {})
    cameras = [
        {**c, "c2w_cv_m": [c["c2w_cv_m"]] * scene.frames} for c in rig_to_dict(rig)["cameras"]
    ]
    document = {"format": "syncam-scene", "version": 1, "scene": 1, "fps": fps}
    size = {"width_px": scene.width_px, "height_px": scene.height_px, "cameras": cameras}
    (folder / "scene.json").write_text(json.dumps({**document, **size}))
    return folder / "scene.json"


def test_a_rendered_scene_is_rig_and_truth_of_smaller_and_slower_clips(tmp_path, capsys):
    """Films at 30 a second, 128x64; clips of two of the cameras at 15 a second, 64x64."""
    source = BoxSource(scenes=1, cameras=3, frames=9, size=(128, 64))
    scene = rendered_scene(tmp_path / "scene1", source, 30)
    films = source.read_pictures(0, [0, 2], range(0, 9, 2))
    (tmp_path / "clips").mkdir()
    made = []
    for name, film in zip(("cam01", "cam03"), films, strict=True):
        write_mp4(tmp_path / "clips" / f"{name}.mp4", film[:, :, 32:96], Fraction(15), {})
        made.append({"camera": name, "path": f"{name}.mp4", "kind": "video/mp4"})
    (tmp_path / "clips" / "result.json").write_text(json.dumps({"clips": made}))
    given = ["evaluate", "clips", str(tmp_path / "clips"), "--rig", str(scene)]
    given += ["--truth", str(scene.parent)]
    assert main([*given, "--out", str(tmp_path / "report")]) == 0
    scores = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert scores["psnr_db"] > 40
    for name, film in zip(("cam01", "cam03"), films, strict=True):
        longer = np.concatenate([film, film])[:, :, 32:96]
        write_mp4(tmp_path / "clips" / f"{name}.mp4", longer, Fraction(15), {})
    capsys.readouterr()
    assert main(given) == 2
    said = "have 9 poses at 30 a second; the clips have 10 pictures at 15."
    assert said in capsys.readouterr().err


def test_true_clips_that_end_before_the_clips_are_one_sentence(job, capsys):
    folder, rig = job
    write_clip(folder / "truth" / "cam02.mp4", np.zeros((3, 32, 64, 3), np.uint8))
    given = ["evaluate", "clips", str(folder / "clips"), "--rig", str(rig)]
    assert main([*given, "--truth", str(folder / "truth")]) == 2
    said = "cam02.mp4 has 3 pictures; the 5 of the clips at 15 a second need 5."
    assert said in capsys.readouterr().err


def test_a_missing_clip_is_one_sentence(job, capsys):
    folder, rig = job
    (folder / "clips" / "cam02.mp4").unlink()
    assert main(["evaluate", "clips", str(folder / "clips"), "--rig", str(rig)]) == 2
    assert "Camera cam02 has no clip" in capsys.readouterr().err
    assert main(["evaluate", "clips", str(folder / "clisp"), "--rig", str(rig)]) == 2
    assert f"There is no folder {folder / 'clisp'}." in capsys.readouterr().err


def test_letterboxed_clips_are_scored_with_the_cameras_that_made_them(job, monkeypatch):
    folder, rig = job
    recipe = {"syncam": {"request": {"fit_rule": "letterbox"}}}
    for name in ("cam01", "cam02"):
        pictures = np.zeros((3, 64, 64, 3), np.uint8)
        write_mp4(folder / "clips" / f"{name}.mp4", pictures, Fraction(15), recipe)
    seen = []
    monkeypatch.setattr(clips_module, "score_cameras", lambda c, K, c2w, **o: seen.append(K))
    clips_module.score_folder(folder / "clips", rig)
    wanted = fit_camera(read_rig(rig).cameras[0], 64, 64, "letterbox").camera.K_at(0)
    assert seen[0][0, 0] == pytest.approx(np.array(wanted))


@pytest.mark.parametrize(
    ("pictures", "options", "said"),
    [
        ((5, 32, 48), (), "cam02.mp4 is 48x32, cam01.mp4 is 64x32"),
        ((1, 32, 64), (), "The clips have 1 picture"),
        ((5, 32, 64), ("--every", "0"), "--every is 0; it must be at least 1"),
    ],
)
def test_clips_that_cannot_be_scored_are_one_sentence(job, capsys, pictures, options, said):
    folder, rig = job
    write_clip(folder / "clips" / "cam02.mp4", np.zeros((*pictures, 3), np.uint8))
    arguments = ["evaluate", "clips", str(folder / "clips"), "--rig", str(rig), *options]
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_poses_read_in_32_bits_are_cleaned():
    pose = BoxSource(scenes=1).scenes[0].c2w_cv_m_at(2, 0)
    clean = np.array(orthonormal(pose))
    assert clean[:3, :3] @ clean[:3, :3].T == pytest.approx(np.eye(3), abs=1e-12)
    assert clean == pytest.approx(pose, abs=1e-5)


@pytest.fixture
def held_out():
    return BoxSource(scenes=4, cameras=12, frames=17)


def test_a_perfect_model_scores_one_and_a_copying_one_chance(held_out):
    index_of = {scene.key: i for i, scene in enumerate(held_out.scenes)}

    def perfect(scene, cameras, prompt, seed, reference):
        return held_out.read_pictures(index_of[scene.key], cameras, range(17))

    def copying(scene, cameras, prompt, seed, reference):
        clip = perfect(scene, cameras[:1], prompt, seed, reference)
        return np.broadcast_to(clip, (len(cameras), *clip.shape[1:]))

    best = evaluate_preview(held_out, perfect, lambda clips: clips, scenes=4)
    assert best.retrieval_reference == best.retrieval_text == 1.0
    # Not 1.0: a box that stands where it stood before looks like that moment too.
    assert best.time_alignment == best.time_alignment_codec > 0.95
    assert best.retrieval_chance == pytest.approx(1 / 12)
    assert best.psnr_reference_db > 50

    worst = evaluate_preview(held_out, copying, lambda clips: clips, scenes=4)
    assert worst.retrieval_reference < 0.3
    assert worst.psnr_reference_db == pytest.approx(worst.psnr_copy_db)


def test_what_was_measured_stands_first():
    learned = [
        LearnedScore(name=name, value=value, beside="", provenance={})
        for name, value in (("CLIP-T", None), ("CLIP-F", 97.25))
    ]
    cameras = SimpleNamespace(
        rot_err_rad=None, trans_err=None, found=0.0, pairs=[(0, 1)], matcher="SIFT", matches=3.5
    )
    scores = clips_module.ClipScores(cameras=cameras, temporal_flickering=0.99, learned=learned)
    rows = scores.rows()
    assert len(rows) == 7
    assert [row[0] for row in rows[4:]] == ["RotErr", "TransErr", "CLIP-T"]
    assert "enough matches" in rows[4][2]
    assert "CLIP-F" in [row[0] for row in rows[:4]]


def test_stills_have_no_time_alignment():
    source = BoxSource(scenes=2, cameras=6, frames=1)
    index_of = {scene.key: i for i, scene in enumerate(source.scenes)}

    def perfect(scene, cameras, prompt, seed, reference):
        return source.read_pictures(index_of[scene.key], cameras, [0])

    score = evaluate_preview(source, perfect, lambda clips: clips, scenes=2, frames=1)
    assert score.retrieval_text == 1.0
    assert score.time_alignment is None
    assert ("time alignment, reference mode", "not measured") in [r[:2] for r in score.rows()]


def test_scenes_with_too_few_cameras_are_refused():
    source = BoxSource(scenes=1, cameras=4)
    with pytest.raises(SynCamError, match="no scene of more than 4 cameras"):
        evaluate_preview(source, None, None, scenes=1)
