# SPDX-License-Identifier: GPL-3.0-or-later
"""A twelve-scene set through the command: killed, resumed, read back."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from syncam_engine.link.environments import PROJECT_ROOT

pytestmark = pytest.mark.processes

OPTIONS = [
    "--fast",
    "--scenes",
    "12",
    "--cameras",
    "4",
    "--frames",
    "5",
    "--size",
    "160x96",
    "--samples",
    "2",
    "--seed",
    "23",
    "--device",
    "cpu",
    "--preview",
]


def command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "syncam_engine.cli", "render", *OPTIONS, "--out", str(out), *more]


def render(out: Path, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(out, *more),
        cwd=PROJECT_ROOT,
        text=True,
        capture_output=True,
        timeout=540,
        check=False,
    )


def finished(out: Path) -> dict[str, float]:
    found = (out / "train" / "f24_aperture5").glob("scene*/scene.json")
    return {p.parent.name: p.stat().st_mtime for p in found}


@pytest.fixture(scope="module")
def rendered(bpy_python, tmp_path_factory):
    """The set after a run that was killed with SIGKILL and a second run that went on."""
    out = tmp_path_factory.mktemp("set") / "set"
    first = subprocess.Popen(
        command(out),
        cwd=PROJECT_ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 400
        while len(finished(out)) < 3 and time.monotonic() < deadline and first.poll() is None:
            time.sleep(0.2)
        while not list(out.glob("train/*/.scene*.partial-*")) and first.poll() is None:
            time.sleep(0.01)  # into the middle of a scene
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before = finished(out)
    assert 3 <= len(before) < 12, first.stderr.read()
    folder = out / "train" / "f24_aperture5"
    (folder / ".scene12.partial-99999999" / "videos").mkdir(parents=True)
    (folder / ".scene12.partial-99999999" / "videos" / "cam01.mp4").write_bytes(b"half")
    second = render(out)
    assert second.returncode == 0, second.stdout + second.stderr
    return out, before, second


def test_a_killed_run_goes_on_with_nothing_lost_doubled_or_half_written(rendered):
    out, before, second = rendered
    after = finished(out)
    assert set(after) == {f"scene{n}" for n in range(1, 13)}
    assert {k: after[k] for k in before} == before, "finished scenes were rendered again"
    assert not list(out.rglob("*partial*"))
    assert not (out / ".lock").exists()
    assert f"{(12 - len(before)) * 20} frames" in second.stdout


def test_every_film_is_whole(rendered):
    out, _, _ = rendered
    for scene in range(1, 13):
        folder = out / "train" / "f24_aperture5" / f"scene{scene}"
        for camera in range(1, 5):
            with av.open(str(folder / "videos" / f"cam{camera:02d}.mp4")) as file:
                frames = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
            assert len(frames) == 5
            assert frames[0].shape == (96, 160, 3)
            assert frames[0].std() > 8, "an empty picture"


def test_cameras_of_a_scene_see_different_pictures_and_frames_move(rendered):
    out, _, _ = rendered
    moving = 0
    for scene in (1, 5, 9):
        folder = out / "train" / "f24_aperture5" / f"scene{scene}"
        films = []
        for camera in range(1, 5):
            with av.open(str(folder / "videos" / f"cam{camera:02d}.mp4")) as file:
                films.append(
                    np.stack(
                        [f.to_ndarray(format="rgb24").astype(int) for f in file.decode(video=0)]
                    )
                )
        for a in range(4):
            for b in range(a):
                assert np.abs(films[a] - films[b]).mean() > 4
        moving += np.abs(films[0][4] - films[0][0]).max() > 60
    assert moving >= 1


def test_the_sets_tables_name_every_camera(rendered):
    out, _, _ = rendered
    table = pq.read_table(out / "manifest.parquet").to_pylist()
    assert len(table) == 48
    row = next(r for r in table if r["scene"] == 7 and r["camera"] == "cam03")
    scene = json.loads((out / "train/f24_aperture5/scene7/scene.json").read_text())
    assert row["caption"] == scene["caption"]
    assert np.allclose(np.reshape(row["c2w_cv_m"], (4, 4)), scene["cameras"][2]["c2w_cv_m"])
    assert (out / row["video"]).is_file()
    turns = json.loads((out / "train" / "rotation_data.json").read_text())
    assert set(turns) == {f"scene{n}" for n in range(1, 13)}
    assert set(turns["scene4"]) == {f"traj{n}" for n in range(1, 5)}
    strings = json.loads(
        (out / "train/f24_aperture5/scene7/cameras/camera_extrinsics.json").read_text()
    )
    assert set(strings) == {f"frame{k}" for k in range(5)}


def test_the_same_seed_gives_the_same_pixels(rendered, tmp_path):
    out, _, _ = rendered
    again = render(tmp_path / "again", "--only", "2-2")
    assert again.returncode == 0, again.stdout + again.stderr
    name = "train/f24_aperture5/scene2/scene.json"
    a, b = (json.loads((p / name).read_text()) for p in (out, tmp_path / "again"))
    assert a["cameras"] == b["cameras"]
    assert a["caption"] == b["caption"]
    films = [k for k in a["files"] if k.startswith("videos/")]
    assert len(films) == 4
    for film in films:
        assert a["files"][film] == b["files"][film]


def test_contact_sheets_are_there(rendered):
    out, _, _ = rendered
    for name in ("sheet.jpg", "rig.png"):
        assert (out / "train/f24_aperture5/scene3" / name).stat().st_size > 4000


def test_another_set_in_the_same_folder_is_refused(rendered):
    out, _, _ = rendered
    other = render(out, "--fps", "24")
    assert other.returncode == 2
    assert "fps was 15, now 24" in other.stderr
