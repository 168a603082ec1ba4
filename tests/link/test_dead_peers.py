# SPDX-License-Identifier: Apache-2.0
"""An engine that goes away while what it said is unread, as in the middle of a host's render.

libzmq's heartbeats would end the whole host then, Blender with the artist's scene.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

HOST = """
import sys, time, zmq
from syncam_engine.link.client import EngineClient
path = sys.argv[1]
context = zmq.Context()
router = context.socket(zmq.ROUTER)
router.linger, router.sndhwm = 0, 4
router.bind(f"ipc://{path}")
client = EngineClient(f"ipc://{path}")
while not router.poll(0):
    client.wait(0.05)
name = router.recv_multipart()[0]
router.router_mandatory = 1
misses = 0
while misses < 20:  # the host reads nothing, and its socket is full
    try:
        router.send_multipart([name, bytes(100_000)], zmq.NOBLOCK)
        misses = 0
    except zmq.Again:
        misses += 1
        time.sleep(0.02)
print("full", flush=True)
context.destroy(linger=0)
time.sleep(6)  # longer than a heartbeat of five seconds
client.wait(0.1)
client.close()
print("lives")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")
def test_host_outlives_an_engine_that_ends_while_its_words_wait(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", HOST, str(tmp_path / "s.sock")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stdout.split()) == (0, ["full", "lives"]), ran.stderr
