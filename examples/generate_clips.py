# SPDX-License-Identifier: Apache-2.0
"""The library in one page: a rig, a prompt, clips. No engine, no host program.

.venv/bin/python examples/generate_clips.py --out clips
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

from syncam_engine.link.camera import Camera, intrinsics_from_lens
from syncam_engine.link.hemisphere import hemisphere_pose_c2w_cv_m
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import rig_to_dict
from syncam_engine.media.write import write_mp4
from syncam_engine.sampling.pipeline import Report, load_pipeline

FPS = Fraction(15)


def ring_of_cameras(count: int) -> Rig:
    """Return level cameras 4.5 m from where the subject stands, 40 degrees apart."""
    width_px, height_px = 800, 480  # any size: cameras are fitted to the preset's
    K = intrinsics_from_lens(24.0, 23.76, width_px, height_px)
    cameras = tuple(
        Camera(
            name=f"camera_{view + 1}",
            width_px=width_px,
            height_px=height_px,
            K=K,
            c2w_cv_m=hemisphere_pose_c2w_cv_m(
                (0.0, 0.0, 1.0), radius_m=4.5, azimuth_deg=40.0 * view, elevation_deg=15.0
            ),
        )
        for view in range(count)
    )
    return Rig(cameras=cameras, fps=FPS)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prompt", default="a brown dog walks across a beach at noon")
    parser.add_argument("--preset", default="preview", help="a preset's name or preset.json")
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--frames", type=int, default=17, help="pictures in a clip, 4k + 1")
    parser.add_argument("--steps", type=int, help="sampling steps (the preset's own)")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same clips")
    parser.add_argument("--out", type=Path, default=Path("clips"))
    args = parser.parse_args(words)

    rig = ring_of_cameras(args.cameras)
    request = GenerateRequest(
        rig=rig_to_dict(rig),
        prompt=args.prompt,
        fps=(FPS.numerator, FPS.denominator),
        frames=args.frames,
        steps=args.steps,
        seed=args.seed,
    )

    def on_report(report: Report) -> None:
        print(f"{report.phase} {report.step}/{report.steps}", flush=True)

    pipeline = load_pipeline(args.preset)
    clips_VTHW3 = pipeline.generate(request, on_report=on_report)

    args.out.mkdir(parents=True, exist_ok=True)
    for camera, clip_THW3 in zip(rig.cameras, clips_VTHW3, strict=True):
        path = args.out / f"{camera.name}.mp4"
        write_mp4(path, clip_THW3, FPS)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
