# SPDX-License-Identifier: GPL-3.0-or-later
"""Four cameras of a Blender scene become four clips, through the add-on and a real engine.

Started by `python3 bootstrap.py demo --out DIR`, with the Python that has bpy. Without `--mode`
both modes run: text into DIR, previz into DIR/previz. Each folder gets plaza.blend with its media
plates, one MP4 for each camera, contact.png (cameras by times) and result.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROMPT = "a man in a red shirt walks across a cobbled plaza with a brown dog, noon"


@contextlib.contextmanager
def quiet_blender() -> Iterator[None]:
    """Keep what Blender prints (a line for each picture) off the terminal; `say` still speaks.

    When something fails, all of it is shown.
    """
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
        try:
            yield
        except BaseException:
            os.dup2(kept[1], 2)
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            for descriptor, old in zip((1, 2), kept, strict=True):
                os.dup2(old, descriptor)
                os.close(old)


TERMINAL = os.fdopen(os.dup(1), "w", buffering=1)


def say(text: str) -> None:
    TERMINAL.write(f"{text}\n")


def wait_until_loaded(state) -> float:
    """Start the engine and tick until its model is loaded; return the seconds it took."""
    start_s = time.monotonic()
    state.start_engine()
    while not (state.client and state.client.hello and state.client.state == "ready"):
        state.tick()
        if state.engine.state in ("not found", "version mismatch", "refused", "lost"):
            raise SystemExit(f"demo: {state.engine.sentence}")
        if time.monotonic() - start_s > 120:
            raise SystemExit(f"demo: the engine did not start; read {state.engine.log_path}")
        time.sleep(0.02)
    return time.monotonic() - start_s


def run_mode(bpy, state, args: argparse.Namespace, mode: str, folder: Path) -> dict:
    """Generate once and write everything of one mode into `folder`; return result.json's data."""
    from blender_addon.plates import KEY

    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.mp4"), folder / "contact.png", folder / "result.json"):
        old.unlink(missing_ok=True)
    start_s = time.monotonic()
    bpy.ops.wm.open_mainfile(filepath=str(ROOT / "examples" / "plaza.blend"))
    blend = folder / "plaza.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    say(f"{mode}: generating from the scene's cameras ...")
    engine_start_s = wait_until_loaded(state)
    known = set(state.records)
    try:
        bpy.ops.syncam.generate(prompt=args.prompt, seed=args.seed, mode=mode.upper())
    except RuntimeError as error:
        # Blender turns a reported error into this; the sentence is the add-on's.
        raise SystemExit(f"demo: {str(error).removeprefix('Error: ').strip()}") from None
    record = next(r for job_id, r in state.records.items() if job_id not in known)
    for notice in record.notices:
        say(f"  note: {notice}")
    clips = []
    for clip in record.clips:
        target = folder / Path(clip["local"]).name
        shutil.move(clip["local"], target)
        for image in bpy.data.images:
            if image.source == "MOVIE" and image.get(KEY) == clip["camera"]:
                image.filepath = f"//{target.name}"
        clips.append(
            {
                "camera": clip["camera"],
                "path": str(target),
                "frames": clip["frames"],
                "fps": clip["fps"][0] / clip["fps"][1],
                "width": clip["width"],
                "height": clip["height"],
            }
        )
    shutil.rmtree(folder / "syncam", ignore_errors=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    blend.with_suffix(".blend1").unlink(missing_ok=True)
    named = [f"{clip['camera']}={clip['path']}" for clip in clips]
    subprocess.run(
        [
            str(args.engine_python),
            str(ROOT / "examples" / "contact_sheet.py"),
            str(folder / "contact.png"),
            *named,
        ],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    result = {
        "model": record.model,
        "device": record.device,
        "seed": record.seed,
        "prompt": record.prompt,
        "clips": clips,
        "seconds": {
            "engine_start": round(engine_start_s, 3),
            "sample": round(record.seconds.get("sample", 0.0), 3),
            "decode": round(record.seconds.get("decode", 0.0), 3),
            "total": round(time.monotonic() - start_s, 3),
        },
    }
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), help="folder of the results (out/demo)"
    )
    parser.add_argument("--engine-python", type=Path, help="the Python that has the engine")
    parser.add_argument("--mode", choices=("text", "previz"), help="one mode only (default: both)")
    parser.add_argument("--prompt", default=PROMPT, help=f"what happens ({PROMPT})")
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same clips (7)")
    args = parser.parse_args()
    if args.engine_python is None:
        args.engine_python = ROOT / ".venv" / "bin" / "python"
    args.engine_python = args.engine_python.absolute()
    args.out = args.out.absolute()
    with tempfile.TemporaryDirectory(prefix="syncam-demo-") as private:
        # An engine of the demo's own, so that nobody else's queue or history is touched.
        os.environ["SYNCAM_ENGINE_PYTHON"] = str(args.engine_python)
        os.environ["SYNCAM_STATE_DIR"] = str(Path(private, "state"))
        os.environ["SYNCAM_CONFIG_DIR"] = str(Path(private, "config"))
        sys.path.insert(0, str(ROOT))
        try:
            import bpy
        except ImportError as error:
            raise SystemExit(
                f"demo: this Python has no bpy ({error}); run `python3 bootstrap.py demo`"
            ) from None
        bpy.ops.preferences.addon_enable(module="blender_addon")
        from blender_addon import session

        state = session.get()
        modes = (
            {args.mode: args.out}
            if args.mode
            else {
                "text": args.out,
                "previz": args.out / "previz",
            }
        )
        try:
            with quiet_blender():
                results = {
                    mode: run_mode(bpy, state, args, mode, folder) for mode, folder in modes.items()
                }
        finally:
            if state.launcher is not None:
                state.launcher.stop()
            state.disconnect()
    for mode, result in results.items():
        seconds = result["seconds"]
        say(
            f"{mode}: {len(result['clips'])} clips by {result['model']} on {result['device']}: "
            f"sampled in {seconds['sample']:.1f} s, decoded in {seconds['decode']:.1f} s"
        )
        say(f"  look at {modes[mode] / 'contact.png'}")
        say(f"  and open {modes[mode] / 'plaza.blend'} in Blender: a plate before each camera")
    return 0


if __name__ == "__main__":
    sys.exit(main())
