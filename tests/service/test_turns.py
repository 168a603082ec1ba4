# SPDX-License-Identifier: Apache-2.0
"""Whoever comes without end, or asks what takes long, keeps the server's loop for a moment only."""

from __future__ import annotations

import shutil
import tempfile
import time

import pytest
import zmq

from syncam_engine.link import codec
from syncam_engine.link.messages import Acknowledged, AskStatus, SayHello, new_id
from syncam_engine.service.doorkeeper import LOG, MOST_SAID, Doorkeeper
from syncam_engine.service.hub import Hub


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def test_handshakes_without_end_leave_the_loop_its_turn(context, monkeypatch):
    said = []
    monkeypatch.setattr(LOG, "warning", lambda *words, **_: said.append(words))

    def allowed():
        time.sleep(0.003)  # many keys on a slow disk
        return set()

    door = Doorkeeper(context, {b"clients": allowed})
    asking = [context.socket(zmq.REQ) for _ in range(100)]
    for one in asking:
        one.connect("inproc://zeromq.zap.01")
        one.send_multipart([b"1.0", b"7", b"clients", b"1.2.3.4", b"", b"CURVE", bytes(32)])
    door.hear()
    assert 0 < door.refused < 100
    while door.refused < 100:
        door.hear()
    assert len(said) == MOST_SAID
    door.close()


def test_messages_that_take_long_leave_the_loop_its_turn(context):
    folder = tempfile.mkdtemp(prefix="syncam-")
    answered = []

    def handle(*_):
        time.sleep(0.02)
        answered.append(1)
        return Acknowledged()

    hub = Hub(context, f"ipc://{folder}/hub.sock", handle)
    client = context.socket(zmq.DEALER)
    client.connect(f"ipc://{folder}/hub.sock")
    client.send_multipart(codec.encode(SayHello(client_id=new_id())))
    for _ in range(63):
        client.send_multipart(codec.encode(AskStatus()))
    assert hub.socket.poll(60_000)
    hub.hear()
    assert 0 < len(answered) < 40
    while len(answered) < 64:
        assert hub.socket.poll(60_000)
        hub.hear()
    hub.close()
    shutil.rmtree(folder)
