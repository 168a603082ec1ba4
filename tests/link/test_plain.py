# SPDX-License-Identifier: Apache-2.0
"""What a client hears is plain data: printable, finite, bounded."""

from __future__ import annotations

import datetime
import json
import math

import msgspec
import pytest

from syncam_engine.link import codec, limits
from syncam_engine.link.engine_facts import Hello, PresetInfo
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import (
    TO_CLIENT,
    Done,
    ErrorInfo,
    JobInfo,
    Notice,
    Preview,
    Progress,
    Queued,
)
from syncam_engine.link.plain import plain, plain_text
from syncam_engine.model.presets import get_preset


def heard(body):
    return codec.decode(codec.encode(body), TO_CLIENT).body


def test_texts_have_no_control_sequences_and_an_end():
    assert plain_text("grün 撮影 'ß'\n\ttwo") == "grün 撮影 'ß'\n\ttwo"
    assert plain_text("\x1b[31mred\x07\u202egnirts") == "\ufffd[31mred\ufffd\ufffdgnirts"
    assert len(plain_text("x" * 10_000)) == limits.MAX_TEXT_CHARS
    error = heard(ErrorInfo(code="a\x1bb", sentence="c\x9bd", value={"e\x00": ["f\x07"]}))
    assert "\x1b" not in error.code + error.sentence
    assert error.value == {"e\ufffd": ["f\ufffd"]}


def test_numbers_are_numbers_and_types_are_json():
    told = heard(
        Done(
            job_id="j" * 8,
            clips=[],
            seconds={"total": math.nan, "sample": 2.5},
            placement={
                "a": math.inf,
                "b": -1e300,
                "c": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
                "d": msgspec.msgpack.Ext(7, b"x"),
                "e": b"bytes",
                "f": [1, None, True, "text", -0.25],
            },
        )
    )
    assert told.seconds == {"total": 0.0, "sample": 2.5}
    assert told.placement["a"] == told.placement["b"] == 0.0
    assert told.placement["f"] == [1, None, True, "text", -0.25]
    json.dumps(msgspec.to_builtins(told), allow_nan=False)
    queued = heard(Queued(job_id="j", eta_s=math.nan, warnings=[Notice(code="x", sentence="\0")]))
    assert (queued.eta_s, queued.warnings[0].sentence) == (0.0, "\ufffd")


def test_what_is_plain_stays_as_it_is():
    info = JobInfo(job_id="j" * 8, state="done", done=Done(job_id="j" * 8, clips=[]))
    assert heard(Progress(job_id="j", step=3, steps=7, eta_s=1.25)).eta_s == 1.25
    assert plain(info) == info


def test_nesting_and_counts_are_bounded():
    deep = 1
    for _ in range(50):
        deep = [deep]
    for odd, code in (
        (deep, "message.too_deep"),
        ([0] * (limits.MAX_VALUES + 1), "message.too_large"),
    ):
        with pytest.raises(SynCamError) as caught:
            heard(Done(job_id="j" * 8, clips=[], sampling={"x": odd}))
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("width", "height"),
    [(0, 0), (-3, -2), (0, 2**40), (6, 0), (2000, 1), (1, 2000), (2**62, 2**62)],
)
def test_previews_have_a_size(width, height):
    pixels = bytes(max(0, min(3 * width * height, 6000)))
    event = Preview(job_id="j", camera="A", index=0, step=1, width=width, height=height)
    event.rgb8 = pixels
    with pytest.raises(SynCamError):
        heard(event)


def test_presets_that_cannot_be_offered_are_seen():
    preset = get_preset("preview")
    envelope = preset.envelope.to_dict()
    good = PresetInfo(name="preview", envelope=envelope, defaults=preset.request_defaults())
    told = heard(Hello(engine="e", protocol=3, instance="i", presets=[good])).presets
    assert all(info.is_sound for info in told)
    for changes in (
        {"name": ""},
        {"name": "x" * 5000},
        {"envelope": {"sizes": []}},
        {"envelope": {**envelope, "frames": []}},
        {"envelope": {**envelope, "steps": "many"}},
        {"defaults": {"width": "wide"}},
        {"defaults": {"fps": [0, 0]}},
        {"defaults": {"frames": -1}},
    ):
        assert (
            not heard(
                Hello(
                    engine="e",
                    protocol=3,
                    instance="i",
                    presets=[msgspec.structs.replace(good, **changes)],
                )
            )
            .presets[0]
            .is_sound
        )
