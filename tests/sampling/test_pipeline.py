# SPDX-License-Identifier: Apache-2.0
"""The pipeline with small random networks: what comes out, what is refused, what is repeatable."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig_json import rig_to_dict
from syncam_engine.media.read import read_clip, resample
from syncam_engine.media.write import write_mp4
from syncam_engine.model.pixels import to_network, to_pictures
from syncam_engine.sampling.clips import fit_clip, read_fitted
from syncam_engine.sampling.pipeline import Cancelled, Report, load_pipeline
from tests.sampling.tiny import make_request, make_rig, write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.set_num_threads(1)
    return load_pipeline(str(write_tiny(tmp_path_factory.mktemp("tiny"))), "cpu")


@pytest.mark.parametrize("views", [1, 2, 3, 6])
def test_one_clip_a_camera(tiny, views):
    clips = tiny.generate(make_request(make_rig(views), steps=1, frames=5))
    assert clips.shape == (views, 5, 96, 160, 3)
    assert clips.dtype == np.uint8
    assert clips.std() > 1.0


def test_same_request_same_bytes_and_seed_counts(tiny):
    request = make_request(make_rig(2))
    first = tiny.generate(request)
    assert np.array_equal(first, tiny.generate(request))
    assert not np.array_equal(first, tiny.generate(make_request(make_rig(2), seed=8)))
    assert not np.array_equal(first, tiny.generate(make_request(make_rig(2), variation=1)))


def test_frames_of_the_presets_shared_noise_are_more_alike(tmp_path):
    still = np.full((2, 17, 96, 160, 3), 90, np.uint8)
    inputs = {"text": {}, "previz": {"start_clips_VTHW3": still}}
    for mode, name in (("text", "shared_noise"), ("previz", "previz_shared_noise")):
        changes = []
        for shared in (0.0, 0.5, 1.0):
            pipeline = load_pipeline(str(write_tiny(tmp_path / f"{mode}{shared}")), "cpu")
            sampling = replace(pipeline.preset.sampling, **{name: shared})
            pipeline.preset = replace(pipeline.preset, sampling=sampling)
            request = make_request(make_rig(2), frames=17, mode=mode, previz_strength=0.9)
            clips_VTHW3 = pipeline.generate(request, **inputs[mode]).astype(float)
            changes.append(np.abs(clips_VTHW3[:, 8] - clips_VTHW3[:, 16]).mean())
        assert changes[0] > 1.2 * changes[1] > 1.5 * changes[2]


def test_a_wire_request_is_taken_as_it_is(tiny):
    rig = make_rig(2)
    request = GenerateRequest(rig=rig_to_dict(rig), prompt="a woman waves", steps=1, frames=5)
    assert tiny.generate(request).shape == (2, 5, 96, 160, 3)


def test_reports_come_in_order_with_previews_in_rig_order(tiny):
    rig = replace(make_rig(3), anchor=2)
    reports: list[Report] = []
    tiny.generate(make_request(rig), on_report=reports.append)
    phases = [(r.phase, r.step) for r in reports]
    assert phases == [("encode", 0), ("sample", 1), ("sample", 2), ("sample", 3)] + [
        ("decode", k) for k in range(4)
    ]
    assert all(r.preview_VHW3.shape == (3, 96, 160, 3) for r in reports if r.phase == "sample")
    # Moving the anchor to the front of the rig changes the order of the previews and nothing else.
    front = replace(rig.with_anchor_first())
    other: list[Report] = []
    tiny.generate(make_request(front), on_report=other.append)
    assert np.array_equal(reports[2].preview_VHW3[[2, 0, 1]], other[2].preview_VHW3)


def test_the_order_of_cameras_does_not_change_their_clips(tiny):
    rig = make_rig(3)
    shuffled = replace(rig, cameras=(rig.cameras[0], rig.cameras[2], rig.cameras[1]))
    clips = tiny.generate(make_request(rig)).astype(int)
    other = tiny.generate(make_request(shuffled)).astype(int)
    # Sums run in another order, so the last bit of a pixel may differ.
    assert np.abs(clips[[0, 2, 1]] - other).max() <= 1


@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_stop_takes_effect_at_once_and_leaves_nothing(tiny, stop_at):
    request = make_request(make_rig(2))
    expected = tiny.generate(request)
    seen = []

    def handler(report):
        seen.append(report)
        if (report.phase == "sample" and report.step == stop_at) or stop_at == 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        tiny.generate(request, on_report=handler)
    assert len(seen) == stop_at + 1
    assert np.array_equal(expected, tiny.generate(request))


def test_previz_keeps_the_start_at_strength_0_and_leaves_it_as_strength_grows(tmp_path):
    # A random network that predicts clean latents would forget the start in its last step.
    tiny = load_pipeline(str(write_tiny(tmp_path, prediction="velocity")), "cpu")
    sampling = replace(tiny.preset.sampling, previz_shared_noise=0.0)
    tiny.preset = replace(tiny.preset, sampling=sampling)
    rig = make_rig(2)
    gradient = np.linspace(0, 255, 160).astype(np.uint8)[None, None, None, :, None]
    starts = np.broadcast_to(gradient, (2, 9, 96, 160, 3))
    distances = []
    with torch.inference_mode():
        autoencoder = tiny.parts.autoencoder
        through = to_pictures(autoencoder.decode(autoencoder.encode(to_network(starts, "cpu"))))
    for strength in (0.0, 0.02, 1.0):
        request = make_request(rig, mode="previz", previz_strength=strength)
        clips = tiny.generate(request, start_clips_VTHW3=starts)
        distances.append(np.abs(clips.astype(int) - through).mean())
    assert distances[0] == 0.0
    assert 0.0 < distances[1] < distances[2]
    text = tiny.generate(make_request(rig))
    assert np.array_equal(clips, text)  # strength 1 forgets the start


def test_previz_that_names_no_strength_has_the_presets(tiny):
    starts = np.random.default_rng(4).integers(0, 255, (2, 9, 96, 160, 3), dtype=np.uint8)
    clips = {}
    for strength in (None, tiny.preset.sampling.previz_strength, 0.9):
        request = make_request(make_rig(2), mode="previz", previz_strength=strength)
        clips[strength] = tiny.generate(request, start_clips_VTHW3=starts)
    own = clips[tiny.preset.sampling.previz_strength]
    assert np.array_equal(clips[None], own)
    assert not np.array_equal(clips[0.9], own)


def test_reference_is_the_anchors_clip(tiny):
    rig = replace(make_rig(3), anchor=1)
    clip = np.random.default_rng(2).integers(0, 255, (9, 96, 160, 3), dtype=np.uint8)
    request = make_request(rig, mode="reference")
    clips = tiny.generate(request, reference_clip_THW3=clip)
    with torch.inference_mode():
        autoencoder = tiny.parts.autoencoder
        through = autoencoder.decode(autoencoder.encode(to_network(clip[None], "cpu")))
    assert np.array_equal(clips[1], to_pictures(through)[0])
    other = tiny.generate(request, reference_clip_THW3=255 - clip)
    assert not np.array_equal(clips[0], other[0])  # the other views look at it


@pytest.mark.parametrize(
    ("request_changes", "inputs", "said"),
    [
        ({"mode": "previz"}, {}, "start_clips_VTHW3 has 0 clips"),
        ({"mode": "previz"}, {"start_clips_VTHW3": np.zeros((1, 9, 96, 160, 3), np.uint8)}, "one"),
        ({"mode": "previz"}, {"start_clips_VTHW3": np.zeros((2, 4, 96, 160, 3), np.uint8)}, "4 pi"),
        ({"mode": "previz"}, {"start_clips_VTHW3": np.zeros((2, 9, 96, 160, 3))}, "uint8"),
        ({"mode": "reference"}, {}, "reference_clip_THW3 is None"),
        ({"mode": "reference"}, {"reference_clip_THW3": np.zeros((9, 96, 160), np.uint8)}, "shape"),
        ({"mode": "dream"}, {}, "'dream'"),
        ({"guidance_scale": float("nan")}, {}, "guidance_scale is nan"),
    ],
)
def test_bad_inputs_are_named(tiny, request_changes, inputs, said):
    with pytest.raises(ValueError, match=said):
        tiny.generate(make_request(make_rig(2), **request_changes), **inputs)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"width": 161}, "size.impossible"),
        ({"frames": 10}, "frames.impossible"),
        ({"steps": 0}, "steps.impossible"),
        ({"prompt": " "}, "prompt.empty"),
    ],
)
def test_requests_outside_the_envelope_are_refused(tiny, changes, code):
    with pytest.raises(SynCamError) as caught:
        tiny.generate(make_request(make_rig(2), **changes))
    assert caught.value.code == code


def test_damaged_weights_are_said(tmp_path):
    pipeline = load_pipeline(str(write_tiny(tmp_path)), "cpu")
    pipeline.parts.transformer.proj_out.bias.fill_(float("nan"))
    with pytest.raises(SynCamError, match="weights are damaged") as caught:
        pipeline.generate(make_request(make_rig(1)))
    assert caught.value.code == "sampling.not_finite"


def test_seven_views_are_refused(tiny):
    with pytest.raises(SynCamError, match="7 cameras"):
        tiny.generate(make_request(make_rig(7)))


def _damage(path, how):
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[:-100])
    elif how == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1\n" * 5)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        if how == "key":
            header["extra.weight"] = header.pop("patch_embedding.weight")
        else:
            header["patch_embedding.bias"]["shape"] = [2, 16]
        packed = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(packed)) + packed + data[8 + length :])


@pytest.mark.parametrize(
    ("file", "how", "code"),
    [
        ("transformer.safetensors", "missing", "weights.missing"),
        ("transformer.safetensors", "truncated", "weights.truncated"),
        ("transformer.safetensors", "text", "weights.format"),
        ("transformer.safetensors", "key", "weights.keys"),
        ("transformer.safetensors", "shape", "weights.shape"),
        ("autoencoder.safetensors", "truncated", "weights.truncated"),
        ("text_encoder.safetensors", "empty", "weights.format"),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(tmp_path, file, how, code):
    preset = write_tiny(tmp_path)
    _damage(tmp_path / file, how)
    with pytest.raises(SynCamError) as caught:
        load_pipeline(str(preset), "cpu")
    assert caught.value.code == code
    assert str(caught.value).endswith((".", "OUT.safetensors."))


def test_the_digest_is_of_the_weights(tmp_path):
    preset = write_tiny(tmp_path)
    first = load_pipeline(str(preset), "cpu").digest
    data = bytearray((tmp_path / "transformer.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "transformer.safetensors").write_bytes(bytes(data))
    assert load_pipeline(str(preset), "cpu").digest != first
    assert len(first) == 64


@pytest.mark.parametrize("rule", ["crop", "letterbox"])
def test_clip_from_a_file_is_fitted_as_it_is_read(tmp_path, rule):
    """The same pictures as those of the whole clip, fitted."""
    rng = np.random.default_rng(4)
    blocks = rng.integers(0, 256, (9, 5, 11, 3), dtype=np.uint8).repeat(14, 1).repeat(12, 2)
    write_mp4(tmp_path / "a.mp4", blocks, Fraction(24))
    whole = resample(read_clip(tmp_path / "a.mp4"), 7, Fraction(15))
    wanted = fit_clip(whole, 64, 40, 7, rule=rule)
    assert (read_fitted(tmp_path / "a.mp4", 64, 40, 7, Fraction(15), rule) == wanted).all()
