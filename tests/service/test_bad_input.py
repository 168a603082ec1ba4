# SPDX-License-Identifier: Apache-2.0
"""What is impossible is refused before it is accepted, in one sentence with the nearest value."""

from __future__ import annotations

import math

import msgspec
import pytest
import zmq

from syncam_engine.devtools.harness import sample_request
from syncam_engine.link import codec, limits
from syncam_engine.link.endpoint import socket_path
from syncam_engine.link.messages import TO_CLIENT, AskStatus, Done, ErrorInfo, Failed, SayHello
from syncam_engine.model.presets import get_preset

from .test_engine import answer, run

VERSION = b"\xa1v" + bytes([limits.PROTOCOL])
"""As it stands in a header."""


def change_camera(**fields):
    def change(request):
        request.rig["cameras"][1].update(fields)

    return change


def moved(request):
    poses = request.rig["cameras"][1]["c2w_cv_m"]
    request.rig["cameras"][1]["c2w_cv_m"] = [poses] * 4


def singular(request):
    request.rig["cameras"][1]["c2w_cv_m"] = [[0.0] * 4] * 3 + [[0.0, 0.0, 0.0, 1.0]]


def orthographic(request):
    request.rig["cameras"][1]["K"] = [[math.inf, 0, 80], [0, math.inf, 48], [0, 0, 1]]


def crowd(request):
    """More than any preset has, and each with more poses than any clip."""
    request.rig["cameras"] = [dict(request.rig["cameras"][0], name=str(k)) for k in range(3000)]


def no_camera(request):
    request.rig["cameras"] = []


def endless_anchor(request):
    request.rig["anchor"] = "x" * 2_000_000


def odd_rate(request):
    request.rig["fps"] = 1e-300


def far_away(request):
    request.rig["cameras"][1]["c2w_cv_m"] = [
        *([1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1e30], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0])
    ]


def long_lens(focal_px):
    return [[focal_px, 0, 80], [0, focal_px, 48], [0, 0, 1]]


CASES = [
    # what, fields of the request, a change of its rig, code, words of the sentence, nearest
    ("no camera", {}, no_camera, "rig.empty", "no camera", 1),
    ("seven cameras", {"views": 7}, None, "rig.views", "7 cameras", 6),
    ("a crowd", {}, crowd, "rig.views", "3000 cameras", 6),
    ("nan pose", {}, change_camera(c2w_cv_m=[[math.nan] * 4] * 4), "camera.", "cam02", None),
    ("singular pose", {}, singular, "camera.", "cam02", None),
    ("orthographic", {}, orthographic, "camera.", "cam02", None),
    ("pose count", {}, moved, "rig.frames", "4 poses", 5),
    ("empty prompt", {"prompt": " \n"}, None, "prompt.empty", "prompt is empty", None),
    ("long prompt", {"prompt": "x" * 401}, None, "prompt.long", "401", 400),
    ("size", {"width": 170, "height": 99}, None, "size.impossible", "170x99", [160, 96]),
    ("negative size", {"width": -4}, None, "size.impossible", "-4x96", [160, 96]),
    ("frames", {"frames": 16}, None, "frames.impossible", "16 frames", 17),
    ("no steps", {"steps": 0}, None, "steps.impossible", "0 steps", 1),
    ("many steps", {"steps": 10**9}, None, "steps.impossible", "1000000000", 50),
    ("preset", {"preset": "../../etc/passwd"}, None, "preset.unknown", "passwd", "preview"),
    ("preset file", {"preset": "/tmp/preset.json"}, None, "preset.unknown", "/tmp", "preview"),
    ("guidance", {"guidance_scale": math.nan}, None, "guidance.impossible", "nan", None),
    ("against", {"guidance_scale": -3.0}, None, "guidance.impossible", "is -3; it must be", 0.0),
    ("much", {"guidance_scale": 101.0}, None, "guidance.impossible", "nearest is 100", 100.0),
    ("frame", {"scene_frames": [1.0, math.inf]}, None, "scene_frames.invalid", "finite", None),
    ("strength", {"mode": "previz", "previz_strength": 1.5}, None, "input.count", "0 came", 2),
    ("no input", {"mode": "reference"}, None, "input.count", "takes 1", 1),
    ("unsent", {"mode": "reference", "inputs": ["a" * 64]}, None, "input.missing", "1 of", None),
    ("path as input", {"mode": "reference", "inputs": ["../x"]}, None, "message.invalid", "", None),
    ("seed", {"seed": -1}, None, "message.invalid", "seed", None),
    ("job id", {"job_id": "../../../../x"}, None, "message.invalid", "job_id", None),
    ("mode", {"mode": "magic"}, None, "message.invalid", "mode", None),
    ("rate", {"fps": (0, 1)}, None, "message.invalid", "fps", None),
    ("fast", {"fps": (2**31, 1)}, None, "fps.impossible", "2147483648/1 pictures", 15),
    ("slow", {"fps": (1, 2)}, None, "fps.impossible", "1/2 pictures", 15),
    ("odd rate", {"fps": (2**31, 2**28 + 1)}, None, "fps.impossible", "1 to 240", None),
    ("rig's rate", {}, odd_rate, "rig.fps", "1e-300 frames a second", None),
    ("far away", {}, far_away, "camera.away", "1e+30 m", 1e6),
    ("long lens", {}, change_camera(K=long_lens(1e30)), "camera.intrinsics", "1e+30", None),
    ("short lens", {}, change_camera(K=long_lens(1e-30)), "camera.intrinsics", "1e-30", None),
    ("long name", {}, change_camera(name="n" * 201), "camera.name", "201 characters", 200),
    ("endless anchor", {}, endless_anchor, "rig.anchor", "... ", None),
    ("other rig", {"rig": {"cameras": 3}}, None, "rig.format", "format", "syncam-rig"),
]


@pytest.mark.processes
@pytest.mark.parametrize(("what", "fields", "change", "code", "words", "nearest"), CASES)
def test_bad_request(client, monkeypatch, what, fields, change, code, words, nearest):
    # The engine's own answer, also to a client that does not look before it sends.
    monkeypatch.setattr(codec, "check", lambda body: None)
    fields = dict(fields)
    request = sample_request(fields.pop("views", 2), **fields)
    if change:
        change(request)
    failed, _ = run(client, request)
    assert isinstance(failed, Failed), what
    error = failed.error
    assert error.code.startswith(code), error
    assert words in error.sentence
    assert "\n" not in error.sentence
    if nearest is not None:
        assert error.nearest == nearest


@pytest.mark.processes
def test_nothing_refused_was_kept_and_good_jobs_still_run(engine, client):
    assert isinstance(run(client, sample_request(2))[0], Done)
    status = engine.status(client)
    assert (status.queued, status.running, status.failed, status.done) == (0, 0, 0, 1)
    assert len(list((engine.state_dir / "jobs").iterdir())) == 1


@pytest.mark.processes
def test_what_is_sent_along_with_a_rig_is_not_kept(engine, client):
    request = sample_request(2)
    request.rig["note"] = msgspec.msgpack.Ext(5, b"not JSON")
    request.rig["cameras"][0]["weight"] = "x" * 10_000
    done, _ = run(client, request)
    assert isinstance(done, Done)
    text = (engine.state_dir / "jobs" / request.job_id / "request.json").read_text()
    assert len(text) < 6000
    assert answer(client, client.remove(request.job_id))


@pytest.mark.processes
def test_outside_the_training_is_allowed_and_said(client):
    request = sample_request(2, fps=(24, 1))
    request.rig["cameras"][1]["K"] = [[400.0, 0, 80], [0, 400.0, 48], [0, 0, 1]]
    done, events = run(client, request)
    assert isinstance(done, Done)
    notices = {n.code: n for e in events for n in getattr(e, "warnings", [])}
    assert notices["camera.lens_untrained"].camera == request.rig["cameras"][1]["name"]
    assert notices["fps.untrained"].nearest == get_preset("preview").envelope.fps[1]


@pytest.fixture
def raw(engine):
    """A bare DEALER: what another version, or somebody else, might send."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.rcvtimeo = 30_000
    socket.connect(f"ipc://{socket_path(engine.state_dir)}")
    yield socket
    context.destroy(linger=0)


def ask(socket, frames):
    socket.send_multipart(frames)
    message = codec.decode(socket.recv_multipart(), TO_CLIENT)
    return message


@pytest.mark.processes
def test_other_protocol_version(raw):
    header, body = codec.encode(SayHello(client_id="c" * 32), message_id="abcdefgh")
    reply = ask(raw, [header.replace(VERSION, b"\xa1v\x09"), body])
    assert reply.header.parent == "abcdefgh"
    error = reply.body
    assert (error.code, error.value, error.nearest) == ("protocol.version", 9, limits.PROTOCOL)
    assert error.fix


@pytest.mark.processes
def test_hello_comes_first(raw):
    assert ask(raw, codec.encode(AskStatus())).body.code == "hello.first"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b""], "message.invalid"),
        ([b"\xc1"], "message.invalid"),
        ([b"\x80" * 2000, b"\x80"], "message.too_large"),
        (
            [b"\x84" + VERSION + b"\xa2id\xa1x\xa4type\xa5shell\xa1z\x01", b"\x80"],
            "message.unknown",
        ),
        ([b"\x83" + VERSION + b"\xa2id\xa1x\xa4type\xa6status"], "message.invalid"),
        ([b"\x83" + VERSION + b"\xa2id\xa1x\xa4type\xa6cancel", b"\x80"], "message.invalid"),
        (
            [b"\x83" + VERSION + b"\xa2id\xa1x\xa4type\xa6status", b"\x80", *[b""] * 5],
            "message.too_large",
        ),
    ],
)
def test_broken_message_is_answered(raw, frames, code):
    reply = ask(raw, frames)
    assert isinstance(reply.body, ErrorInfo)
    assert reply.body.code == code


@pytest.mark.processes
def test_deep_rig_is_refused(client):
    deep = []
    for _ in range(400):
        deep = [deep]
    failed, _ = run(client, sample_request(2, rig={"format": "syncam-rig", "x": deep}))
    assert failed.error.code == "message.too_deep"


@pytest.mark.processes
def test_jobs_quota(make_engine):
    engine = make_engine("--max-jobs", "3")
    client = engine.client()
    requests = [sample_request(1, prompt="hold", steps=4) for _ in range(4)]
    for request in requests[:3]:
        client.submit(request)
    answer(client, client.ask_status())
    refused, _ = run(client, requests[3])
    assert refused.error.code == "quota.jobs"
    assert refused.error.nearest == 3
    for request in requests[:3]:
        client.cancel(request.job_id)
    (engine.folder / "go").touch()
    assert isinstance(run(client, sample_request(1))[0], Done)
