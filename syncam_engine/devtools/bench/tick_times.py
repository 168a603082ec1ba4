# SPDX-License-Identifier: GPL-3.0-or-later
"""Time the add-on's tick and its adding of results; a program for `syncam bench blender`.

    BPY_PYTHON tick_times.py OUT.json WIDTHxHEIGHT TICKS

Previews of four cameras come through a real socket from a small engine in this process's child, as
fast as they are taken, so that no tick is without one.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CAMERAS = ("Dolly", "Rolled", "Tracked", "Wide")


def serve(address: str, width: int, height: int) -> None:
    """A stand-in engine: says hello, takes a job, streams previews until its input closes."""
    import os
    import threading

    import zmq

    from syncam_engine.link import codec, limits
    from syncam_engine.link.engine_facts import Hello
    from syncam_engine.link.messages import TO_ENGINE, Phase, Preview, Queued, Submit, Synced

    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    router = zmq.Context().socket(zmq.ROUTER)
    router.linger = 0
    router.bind(address)
    print("ready", flush=True)
    pictures = [os.urandom(width * height * 3) for _ in CAMERAS]
    sender, job, step, next_s = b"", "", 0, 0.0
    while True:
        while router.poll(1):
            sender, *frames = router.recv_multipart()
            message = codec.decode(frames, TO_ENGINE)
            parent = message.header.id
            answer = {
                "SayHello": Hello(
                    engine="bench", protocol=limits.PROTOCOL, instance="bench", worker="ready"
                ),
                "Sync": Synced(instance="bench", worker="busy"),
            }.get(type(message.body).__name__)
            if isinstance(message.body, Submit):
                job = message.body.request.job_id
                answer = Queued(job_id=job)
            if answer is not None:
                router.send_multipart([sender, *codec.encode(answer, parent=parent)])
            if isinstance(message.body, Submit):
                started = Phase(job_id=job, phase="sample")
                router.send_multipart([sender, *codec.encode(started, job=job)])
        # Four cameras, five pictures a second each: more than any sampler sends.
        if job and time.monotonic() >= next_s:
            next_s, step = time.monotonic() + 0.2, step + 1
            for index, camera in enumerate(CAMERAS):
                preview = Preview(
                    job_id=job,
                    camera=camera,
                    index=index,
                    step=step,
                    width=width,
                    height=height,
                    rgb8=pictures[index],
                )
                frames = codec.encode(preview, job=job)
                router.send_multipart([sender, *frames])


def percentile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def time_ticks(state, ticks: int) -> list[tuple[float, float]]:
    """Return each tick's milliseconds, by the clock and of the processor, as previews come in."""
    times = []
    for _ in range(ticks):
        start_s, start_cpu_s = time.perf_counter(), time.thread_time()
        state.tick()
        cpu_s = time.thread_time() - start_cpu_s
        times.append(((time.perf_counter() - start_s) * 1e3, cpu_s * 1e3))
        time.sleep(0.02)
    return times


def time_results(record, clip: Path) -> list[tuple[float, float]]:
    """Return the milliseconds, by the clock and of the processor, of adding four cameras' results:
    the first time, then updates."""
    import bpy

    from blender_addon import results

    record.clips = [
        {"camera": name, "local": str(clip), "frames": 17, "fps": [8, 1], "digest": ""}
        | {"width": 160, "height": 96}
        for name in CAMERAS
    ]
    times = []
    for _ in range(5):
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        results.apply(record, bpy.context.scene, targets=["PLATES"])
        cpu_s = time.process_time() - start_cpu_s
        times.append(((time.perf_counter() - start_s) * 1e3, cpu_s * 1e3))
    return times


def make_clip(path: Path) -> None:
    """A short movie, made by Blender itself."""
    import bpy

    scene = bpy.data.scenes.new("clip")
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.camera = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    scene.collection.objects.link(scene.camera)
    scene.render.resolution_x, scene.render.resolution_y = 160, 96
    scene.frame_end = 17
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "VIDEO"
    scene.render.image_settings.file_format = "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MPEG4", "H264"
    scene.render.use_file_extension = False
    scene.render.filepath = str(path)
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)


def main() -> None:
    out, size, ticks = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    sys.path.insert(0, str(ROOT))
    import bpy

    bpy.ops.wm.open_mainfile(filepath=str(ROOT / "examples" / "plaza.blend"))
    bpy.ops.preferences.addon_enable(module="blender_addon")
    from blender_addon import session, thumbs
    from syncam_engine.link.endpoint import private_dir, socket_path, user_state_dir

    path = socket_path(private_dir(user_state_dir()))
    private_dir(path.parent)
    address = f"ipc://{path}"
    engine = subprocess.Popen(
        [sys.executable, __file__, "serve", address, size],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    engine.stdout.readline()
    state = session.get()
    try:
        bpy.ops.syncam.generate(prompt="a test pattern", frames=17, wait="NO")
        record = state.running()[0]
        deadline_s = time.monotonic() + 40
        while not all(thumbs.live_image_or_none(name) for name in CAMERAS):
            state.tick()
            if time.monotonic() > deadline_s:
                raise SystemExit(
                    f"no previews came: {state.engine}, {record.headline}, {state.error}"
                )
            time.sleep(0.005)
        idle = time_ticks_without(state, 100)
        times = time_ticks(state, ticks)
    finally:
        engine.kill()
        engine.wait()
        state.disconnect()
    clip = out.with_name("clip.mp4")
    make_clip(clip)
    added = time_results(record, clip)
    figures = {
        "blender": ".".join(map(str, bpy.app.version)),
        "preview_size": size,
        "ticks": ticks,
        "tick_median_ms": statistics.median(wall for wall, _ in times),
        "tick_p99_ms": percentile([wall for wall, _ in times], 0.99),
        # The processor's time, which other programs on the machine do not add to.
        "tick_median_cpu_ms": statistics.median(cpu for _, cpu in times),
        "tick_p99_cpu_ms": percentile([cpu for _, cpu in times], 0.99),
        "tick_without_previews_ms": statistics.median(wall for wall, _ in idle),
        "add_results_first_ms": added[0][0],
        "add_results_again_ms": statistics.median(wall for wall, _ in added[1:]),
        "add_results_first_cpu_ms": added[0][1],
        "add_results_again_cpu_ms": statistics.median(cpu for _, cpu in added[1:]),
    }
    out.write_text(json.dumps(figures))


def time_ticks_without(state, ticks: int) -> list[tuple[float, float]]:
    """Ticks with the pictures taken from the queue first: the rest of a tick's work."""
    from blender_addon.live import LivePictures

    times = []
    for _ in range(ticks):
        state._live = LivePictures()
        times += time_ticks(state, 1)
    return times


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        width, height = (int(n) for n in sys.argv[3].split("x"))
        serve(sys.argv[2], width, height)
    else:
        main()
