# SPDX-License-Identifier: Apache-2.0
"""What lies in `syncam generate --out`: an earlier job's clips make room, all else stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncam_engine.cli import main
from syncam_engine.commands import generate, out_folder
from syncam_engine.devtools.harness import sample_request
from syncam_engine.link import rig_json
from syncam_engine.link.clip_names import clip_name
from syncam_engine.link.errors import SynCamError

FIRST, SECOND = "a1" * 16, "b2" * 16


def written(out: Path, job_id: str, **clips: bytes) -> list[str]:
    """Write clips as a job's, as `generate` leaves them."""
    out.mkdir(exist_ok=True)
    entries = []
    for stem, content in clips.items():
        path = out / f"{stem}.mp4"
        path.write_bytes(content)
        entries.append({"path": str(path), "digest": out_folder.digest_of(path)})
    out_folder.write_result(out, {"job_id": job_id, "clips": entries})
    return [f"{stem}.mp4" for stem in clips]


def test_unchanged_clips_of_another_job_move_to_a_folder_of_their_own(tmp_path):
    names = written(tmp_path, FIRST, a=b"one", b=b"two", c=b"three")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "c.mp4").write_bytes(b"cut by hand")
    folder = tmp_path / "earlier" / FIRST
    said = out_folder.make_room(tmp_path, SECOND, names[:2])
    assert str(folder) in said
    assert "\n" not in said
    assert sorted(path.name for path in folder.iterdir()) == ["a.mp4", "b.mp4", "result.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.mp4", "earlier", "notes.txt"]
    moved = json.loads((folder / "result.json").read_text())
    assert [clip["path"] for clip in moved["clips"]] == [
        str(folder / "a.mp4"),
        str(folder / "b.mp4"),
        str(tmp_path / "c.mp4"),
    ]
    # The next one's move as well; the first job's, brought again, are there already.
    written(tmp_path, SECOND, a=b"eins", b=b"zwei")
    out_folder.make_room(tmp_path, FIRST, names[:2])
    written(tmp_path, FIRST, a=b"one", b=b"two")
    out_folder.make_room(tmp_path, "d4" * 16, names[:2])
    assert (tmp_path / "earlier" / SECOND / "b.mp4").read_bytes() == b"zwei"
    assert (folder / "a.mp4").read_bytes() == b"one"
    assert not (tmp_path / "a.mp4").exists()


def changed(out):
    (out / "b.mp4").write_bytes(b"cut by hand")


def linked(out):
    (out / "b.mp4").unlink()
    (out / "b.mp4").symlink_to(out / "a.mp4")


def of_somebody(out):
    (out / "result.json").write_text('{"mine": 1}')


def no_folder(out):
    (out / "earlier").write_text("a file")


def other_there(out):
    (out / "earlier" / FIRST).mkdir(parents=True)
    (out / "earlier" / FIRST / "b.mp4").write_bytes(b"another")


def outside(out):
    document = json.loads((out / "result.json").read_text())
    out_folder.write_result(out, {**document, "job_id": "../../x"})


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (changed, "b.mp4"),
        (linked, "b.mp4"),
        (of_somebody, "a.mp4"),
        (no_folder, "earlier"),
        (other_there, "b.mp4"),
        (outside, "a.mp4"),
    ],
)
def test_what_is_not_an_earlier_jobs_is_never_touched(tmp_path, harm, named):
    names = written(tmp_path, FIRST, a=b"one", b=b"two")
    harm(tmp_path)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}
    with pytest.raises(SynCamError) as refused:
        out_folder.make_room(tmp_path, SECOND, names)
    assert refused.value.code == "out.taken"
    assert named in str(refused.value)
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*")} == before


def test_png_folder_with_one_changed_picture_is_changed(tmp_path):
    pictures = tmp_path / "00-cam01"
    pictures.mkdir()
    (pictures / "frame_0001.png").write_bytes(b"picture")
    entry = {"path": str(pictures), "digest": out_folder.digest_of(pictures)}
    out_folder.write_result(tmp_path, {"job_id": FIRST, "clips": [entry]})
    out_folder.check_room(tmp_path, SECOND, ["00-cam01"])
    (pictures / "frame_0001.png").write_bytes(b"painted")
    with pytest.raises(SynCamError, match="00-cam01"):
        out_folder.check_room(tmp_path, SECOND, ["00-cam01"])


@pytest.fixture
def ask(engine, tmp_path, monkeypatch, capsys):
    """Run `syncam generate` on the shared engine; returns status, what it said, its errors."""
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine.environment["SYNCAM_CONFIG_DIR"])
    rig = tmp_path / "rig.json"
    rig_json.write_rig(rig_json.rig_from_dict(sample_request(views=2).rig), rig)

    def run(*options):
        given = ["--rig", str(rig), "--out", str(tmp_path / "out"), "--prompt", "a small stage"]
        given += ["--state-dir", str(engine.state_dir), "--steps", "2", "--frames", "5"]
        status = main(["generate", *given, *options])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def result(folder):
    return json.loads((folder / "result.json").read_text("utf-8"))


@pytest.mark.processes
def test_beginning_of_a_jobs_id_brings_that_job(ask, engine, tmp_path):
    assert ask()[0] == 0
    out = tmp_path / "out"
    first, before = result(out), engine.status().done
    status, _, error = ask("--job-id", first["job_id"][:8], "--prompt", "something else")
    assert (status, engine.status().done) == (0, before), "nothing is sampled again"
    assert result(out)["job_id"] == first["job_id"]
    assert result(out)["prompt"] == "a small stage"
    assert first["job_id"] in error
    assert not (out / "earlier").exists()
    status, _, error = ask("--job-id", "zzzz")
    assert status == 2
    assert error.startswith("syncam: There is no job zzzz; the nearest is ")


@pytest.mark.processes
def test_another_job_leaves_no_clip_of_the_former_between_its_own(ask, engine, tmp_path):
    ask("--png")
    out = tmp_path / "out"
    first = result(out)
    status, _, error = ask("--seed", "3")
    folder = out / "earlier" / first["job_id"]
    assert status == 0
    assert f"the clips of the job {first['job_id'][:8]} that were in {out} are now in" in error
    assert len(list(folder.glob("*.mp4"))) == len(list(folder.glob("*/frame_0001.png"))) == 2
    assert all(Path(clip["path"]).exists() for clip in result(folder)["clips"])
    assert len(list(out.iterdir())) == len(["two clips", "result.json", "earlier"]) + 1
    (out / "00-notes.mp4").write_text("mine")
    taken = Path(result(out)["clips"][1]["path"])
    taken.write_text("cut by hand")
    done = engine.status().done
    status, _, error = ask("--seed", "4")
    assert (status, engine.status().done) == (2, done), "said before anything is sampled"
    assert error.startswith(f"syncam: {taken} is there already")
    assert taken.read_text() == "cut by hand"


@pytest.mark.processes
def test_clips_that_did_not_all_come_leave_none(ask, tmp_path, monkeypatch):
    bring = generate._bring

    def fail(client, done, clip, *rest, **options):
        if clip.index == 1:
            raise OSError(28, "No space left on device", "02.mp4")
        return bring(client, done, clip, *rest, **options)

    monkeypatch.setattr(generate, "_bring", fail)
    status, _, error = ask()
    assert status == 2
    assert "brings its clips" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.processes
def test_variations_are_jobs_by_consecutive_seeds_in_folders_of_their_own(ask, tmp_path):
    status, said, error = ask("--variations", "3", "--seed", "7")
    out = tmp_path / "out"
    assert status == 0
    assert said.splitlines() == [f"{k} of 3: 2 clips in {out / f'seed-{6 + k}'}" for k in (1, 2, 3)]
    results = [result(out / f"seed-{seed}") for seed in (7, 8, 9)]
    assert [found["seed"] for found in results] == [7, 8, 9]
    assert len({found["job_id"][:8] for found in results}) == 3
    assert all(f"{k + 1} of 3: job {results[k]['job_id']}" in error for k in range(3))
    assert ask("--variations", "2", "--job-id", "one-job-only")[0] == 2
    status, said, _ = ask("--variations", "2", "--seed", "20", "--json")
    assert [found["seed"] for found in json.loads(said)] == [20, 21]
    status, _, error = ask("--variations", "2", "--seed", str(2**53))
    assert (status, f"at most {2**53 - 1}" in error) == (2, True)


@pytest.mark.processes
def test_the_names_of_the_chosen_cameras_are_looked_at_before_sampling(ask, engine, tmp_path):
    name = rig_json.read_rig(tmp_path / "rig.json").cameras[1].name
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / clip_name(0, name)
    mine.write_text("mine")
    done = engine.status().done
    status, _, error = ask("--cameras", name)
    assert (status, engine.status().done) == (2, done)
    assert error.startswith(f"syncam: {mine} is there already")
