# SPDX-License-Identifier: Apache-2.0
"""A client that was silent for long, and that the engine forgot, greets again and loses nothing."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import zmq

from syncam_engine.link import codec
from syncam_engine.link.client import EngineClient
from syncam_engine.link.engine_facts import EngineStatus, Hello
from syncam_engine.link.events import Reply
from syncam_engine.link.limits import PROTOCOL
from syncam_engine.link.messages import TO_ENGINE, AskStatus, ErrorInfo, SayHello, Synced


def test_forgotten_client_greets_again():
    folder = Path(tempfile.mkdtemp(prefix="syncam-", dir="/tmp"))
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.bind(f"ipc://{folder}/e.sock")
    client = EngineClient(f"ipc://{folder}/e.sock")
    known, greetings, replies = False, 0, []
    try:
        deadline_s = time.monotonic() + 30
        asked = False
        while not replies and time.monotonic() < deadline_s:
            replies += [event for event in client.poll() if isinstance(event, Reply)]
            if client.state == "ready" and not asked:
                # From here on the engine has forgotten the client.
                known, asked = False, True
                client.ask_status()
            if not router.poll(5):
                continue
            sender, *frames = router.recv_multipart()
            message = codec.decode(frames, TO_ENGINE)
            if isinstance(message.body, SayHello):
                known, greetings = True, greetings + 1
                answer = Hello(engine="x", protocol=PROTOCOL, instance="same")
            elif not known:
                answer = ErrorInfo(code="hello.first", sentence="Say hello first.")
            elif isinstance(message.body, AskStatus):
                answer = EngineStatus(engine="x", instance="same", pid=1, uptime_s=1.0)
            else:
                answer = Synced(instance="same", worker="ready")
            router.send_multipart([sender, *codec.encode(answer, parent=message.header.id)])
        assert greetings == 2
        assert isinstance(replies[0].body, EngineStatus)
    finally:
        client.close()
        router.close()
        context.term()
        shutil.rmtree(folder)
