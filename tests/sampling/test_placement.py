# SPDX-License-Identifier: Apache-2.0
"""Memory known beforehand and refused with what would fit; placements that keep the clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.presets import WAN_1_3B, get_preset
from syncam_engine.model.transformer_files import expected_shapes
from syncam_engine.sampling.memory import (
    GIB,
    check_memory,
    estimate_memory,
    parameter_count,
)
from syncam_engine.sampling.pipeline import Cancelled, load_pipeline
from syncam_engine.sampling.placement import Placement
from tests.sampling.tiny import make_request, make_rig, write_tiny

PREVIEW = get_preset("preview")
EXACT = Placement(device="cpu", dtype="float32")
GPU = Placement(device="cuda", dtype="bfloat16", tiling=True)
FULL = {"views": 4, "branches": 2, "size": (832, 480), "frames": 81}


@pytest.mark.parametrize(
    ("preset", "own"),
    [
        (WAN_1_3B, {}),
        (PREVIEW, {"pooled_text": False, "refiner_width": 0}),
        (PREVIEW, {"pooled_text": True, "refiner_width": 24}),
    ],
    ids=["wan", "preview, bare", "preview, own"],
)
def test_parameters_are_counted_exactly(preset, own):
    config = replace(preset.transformer, **own)
    shapes = expected_shapes(config).values()
    assert parameter_count(config) == sum(torch.Size(s).numel() for s in shapes)


def test_estimates_move_the_right_way():
    whole = estimate_memory(WAN_1_3B, GPU, **FULL)
    assert whole.transformer == pytest.approx(3.3 * GIB, rel=0.02)

    def peak(placement=GPU, **changed):
        return estimate_memory(WAN_1_3B, placement, **{**FULL, **changed}).peak

    assert peak(views=8) > peak() > peak(views=2)
    assert peak() > peak(frames=41)
    assert peak() > peak(size=(672, 384))
    assert peak() > peak(replace(GPU, rows_at_once=1))
    assert peak(replace(GPU, tiling=False)) >= peak()
    group = replace(GPU, offload="group", rows_at_once=1)
    assert peak() > peak(replace(GPU, offload="model")) >= peak(group)
    assert (
        estimate_memory(WAN_1_3B, replace(GPU, fp8=True), **FULL).transformer
        < 0.6 * whole.transformer
    )
    assert peak() > peak(ranks=2) == peak(views=2), "a GPU of two holds half the views"
    assert peak(moving=True) == peak(), "without a pattern the poses weigh nothing"


@pytest.mark.parametrize("pattern", ["epipolar", "geometric"])
def test_a_pattern_of_moving_cameras_is_one_for_each_frame(pattern):
    preset = replace(WAN_1_3B, camera=replace(WAN_1_3B.camera, pattern=pattern))

    def more(moving):
        has, has_not = (
            estimate_memory(p, GPU, **FULL, moving=moving).sampling for p in (preset, WAN_1_3B)
        )
        return (has - has_not) / 6240**2

    assert more(False) == (4 if pattern == "epipolar" else 6 * 4 + (6 + 12) * 2)
    assert more(True) > 21 * more(False)


@pytest.mark.parametrize(
    ("free_gib", "says"),
    [(200, None), (14, "group offload"), (5, "672x384|frames|view"), (0.5, "nothing")],
)
def test_what_does_not_fit_is_refused_with_what_would(free_gib, says):
    request = {**FULL, "views": 12}

    def check():
        # As on a fresh card: what the weights hold is counted in by check_memory.
        held = estimate_memory(WAN_1_3B, GPU, **request).transformer + 11.9 * GIB
        return check_memory(WAN_1_3B, GPU, **request, free_bytes=free_gib * GIB - held)

    if says is None:
        assert check().peak < free_gib * GIB
        return
    with pytest.raises(SynCamError, match=says) as caught:
        check()
    assert caught.value.code == "memory.short"
    assert "GiB on cuda" in str(caught.value)
    nearest = caught.value.nearest
    if nearest is None:
        return
    fitting = replace(GPU, rows_at_once=1, offload=nearest.get("offload", "none"))
    smaller = {
        "size": tuple(nearest.get("size", request["size"])),
        "frames": nearest.get("frames", request["frames"]),
        "views": nearest.get("views", request["views"]),
        "branches": 2,
    }
    assert estimate_memory(WAN_1_3B, fitting, **smaller).peak <= free_gib * GIB


def test_a_request_too_large_stops_before_it_starts(tmp_path, monkeypatch):
    pipeline = load_pipeline(str(write_tiny(tmp_path)), "cpu")
    monkeypatch.setattr("syncam_engine.sampling.memory.free_memory", lambda device: -(2.0**26))
    seen = []
    with pytest.raises(SynCamError) as caught:
        pipeline.generate(make_request(make_rig(2)), on_report=seen.append)
    assert caught.value.code == "memory.short"
    assert not seen


@pytest.mark.parametrize(("strategy", "rows"), [("anchored_pairs", 12), ("joint", 8)])
def test_all_pairs_of_a_batch_are_counted(tmp_path, monkeypatch, strategy, rows):
    pipeline = load_pipeline(str(write_tiny(tmp_path, strategy=strategy)), "cpu")
    envelope = replace(pipeline.preset.envelope, trained_views=2)
    pipeline.preset = replace(pipeline.preset, envelope=envelope)
    asked = []

    def enough(preset, placement, **shape):
        asked.append(min(shape["branches"] * shape["views"], placement.rows_at_once))
        raise Cancelled

    monkeypatch.setattr("syncam_engine.sampling.pipeline.check_memory", enough)
    with pytest.raises(Cancelled):
        pipeline.generate(make_request(make_rig(4)))
    assert asked == [rows]  # four views: three pairs of two, or all four, for two branches


def test_large_presets_run_few_rows_at_once():
    assert Placement.default(WAN_1_3B, "cpu").rows_at_once == 8
    assert Placement.default(PREVIEW, "cpu").rows_at_once == 64


def test_a_request_that_just_ran_on_a_gpu_fits_there_again(monkeypatch):
    """torch keeps the memory of the request before; the driver calls it used."""
    held = estimate_memory(WAN_1_3B, GPU, **FULL).transformer + 11.9 * GIB
    most = estimate_memory(WAN_1_3B, GPU, **FULL).peak
    driver_says = (1.0 * GIB, 24.0 * GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: driver_says)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: held)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: most)
    assert check_memory(WAN_1_3B, GPU, **FULL).peak == most
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: most - 2.0 * GIB)
    with pytest.raises(SynCamError, match="GiB are there"):
        check_memory(WAN_1_3B, GPU, **FULL)


@pytest.mark.parametrize(
    "changes",
    [{"offload": "group"}, {"rows_at_once": 1}, {"step_cache": "first_block"}],
    ids=lambda c: next(iter(c)),
)
def test_placements_keep_the_clips(tmp_path, changes):
    torch.set_num_threads(1)
    preset = str(write_tiny(tmp_path))
    request = make_request(make_rig(2))
    exact = load_pipeline(preset, placement=EXACT).generate(request)
    placement = replace(EXACT, cache_threshold=0.0, **changes)
    clips = load_pipeline(preset, placement=placement).generate(request)
    assert np.abs(clips.astype(int) - exact).max() <= 1


@pytest.mark.parametrize("cache", ["mag", "taylorseer", "first_block"])
def test_step_caches_leave_nothing_behind(tmp_path, cache):
    torch.set_num_threads(1)
    preset = str(write_tiny(tmp_path))
    placement = replace(EXACT, step_cache=cache, cache_threshold=0.5)
    pipeline = load_pipeline(preset, placement=placement)
    request = make_request(make_rig(2), steps=6)
    pipeline.generate(request)  # for mag: measures its ratios, in full
    first = pipeline.generate(request)

    def stop(report):
        if report.step == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline.generate(request, on_report=stop)
    assert not pipeline.parts.transformer.is_cache_enabled
    assert np.array_equal(first, pipeline.generate(request))
    if cache == "mag":
        assert len(pipeline._mag_ratios) == 6


def test_fp8_is_near_and_model_offload_runs(tmp_path):
    torch.set_num_threads(1)
    preset = str(write_tiny(tmp_path, prediction="velocity"))
    request = make_request(make_rig(2), guidance_scale=1.0)
    exact = load_pipeline(preset, placement=EXACT).generate(request).astype(float)
    fp8 = replace(EXACT, fp8=True)
    clips = load_pipeline(preset, placement=fp8).generate(request)
    assert 0 < np.abs(clips - exact).mean() < 8
    offload = replace(EXACT, offload="model")
    pipeline = load_pipeline(preset, placement=offload)
    assert np.abs(pipeline.generate(request) - exact).max() <= 1
    assert len(pipeline.parts.offload_hooks) == 1


def test_under_offload_the_small_networks_of_the_preview_are_on_the_device(tmp_path):
    """`meta` stands for a GPU: like one it refuses to be mixed with main memory."""
    placement = Placement(device="meta", dtype="float32", offload="model")
    parts = load_pipeline(str(write_tiny(tmp_path)), placement=placement).parts
    with torch.no_grad():
        tokens, mask = parts.text_encoder.encode(["a red dog", ""])
        video = parts.autoencoder.decode(torch.zeros(1, 6, 2, 4, 6, device="meta"))
    assert {x.device.type for x in (tokens, mask, video)} == {"meta"}


def test_products_in_bfloat16_by_what_the_processor_has(monkeypatch):
    usual = Placement.default(PREVIEW, "cpu")
    assert (usual.dtype, usual.matmul_dtype) == ("float32", "auto")
    for has in (True, False):
        monkeypatch.setattr(
            "syncam_engine.sampling.placement.has_bfloat16_hardware", lambda h=has: h
        )
        assert usual.multiplies_in_bfloat16 is has
        assert replace(EXACT, matmul_dtype="bfloat16").multiplies_in_bfloat16
        for other in (
            EXACT, replace(usual, fp8=True), replace(usual, fused=False),
            replace(usual, device="cuda"), replace(usual, dtype="bfloat16"),
        ):  # fmt: skip
            assert not other.multiplies_in_bfloat16
    weights = [
        estimate_memory(WAN_1_3B, replace(EXACT, matmul_dtype=name), **FULL).transformer
        for name in ("float32", "bfloat16")
    ]
    assert weights[0] == 2 * weights[1]


def test_an_envelope_names_the_memory_that_its_largest_request_is_estimated_at():
    envelope = WAN_1_3B.envelope
    usual = replace(Placement.default(WAN_1_3B, "cpu"), device="cuda", dtype="bfloat16")
    largest = {"size": envelope.sizes[0], "frames": max(envelope.frames)}
    views = envelope.trained_views
    peak = estimate_memory(WAN_1_3B, usual, views=views, branches=2, **largest).peak
    assert 0.95 < peak / 1e9 / envelope.memory_gb <= 1.0


def test_a_placement_is_recorded_as_it_takes_effect(monkeypatch):
    torch.set_num_threads(1)
    usual = Placement.default(PREVIEW, "cpu")
    half = replace(usual, dtype="bfloat16", device="cuda:1")
    for has, products in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(
            "syncam_engine.sampling.placement.has_bfloat16_hardware", lambda h=has: h
        )
        used = usual.as_used()
        assert (used["matmul_dtype"], used["device"]) == (products, "cpu")
        assert used.pop("threads") == 1
        again = Placement(**used)
        assert again.multiplies_in_bfloat16 is has
        assert again == replace(usual, matmul_dtype=products)
        assert replace(usual, fp8=True).as_used()["matmul_dtype"] == "float32"
        used = half.as_used()
        assert (used["matmul_dtype"], used["device"]) == ("bfloat16", "cuda")
        assert not Placement(**used).multiplies_in_bfloat16, "the network itself is in it"


def test_products_in_bfloat16_give_nearly_the_same_clips(tmp_path):
    torch.set_num_threads(1)
    preset = str(write_tiny(tmp_path))
    request = make_request(make_rig(2))
    exact = load_pipeline(preset, placement=EXACT).generate(request).astype(int)
    placement = replace(EXACT, matmul_dtype="bfloat16")
    pipeline = load_pipeline(preset, placement=placement)
    clips = pipeline.generate(request)
    assert pipeline.parts.transformer.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16
    assert 0 < np.abs(clips - exact).max() < 40
    assert np.abs(clips - exact).mean() < 1
    assert np.array_equal(clips, load_pipeline(preset, placement=placement).generate(request))
    grouped = load_pipeline(preset, placement=replace(placement, offload="group"))
    assert np.array_equal(clips, grouped.generate(request))


def test_options_of_the_environment(monkeypatch):
    def default() -> Placement:
        return Placement.default(PREVIEW, "cpu")

    usual = default()
    text = "matmul_dtype=float32, offload=group tiling=true rows_at_once=3 cache_threshold=0.1"
    monkeypatch.setenv("SYNCAM_PLACEMENT", text)
    assert default() == replace(
        usual, matmul_dtype="float32", offload="group", tiling=True, rows_at_once=3,
        cache_threshold=0.1,
    )  # fmt: skip
    for text, said in (
        ("fp9=true", "there is no option 'fp9'; there are dtype, matmul_dtype"),
        ("device=cuda", "there is no option 'device'"),
        ("fp8=yes", "fp8 is 'yes'; it must be true or false"),
        ("rows_at_once=many", "rows_at_once is 'many'; it must be a number"),
        ("offload=disk", "offload is 'disk'; it must be one of none, model, group"),
    ):
        monkeypatch.setenv("SYNCAM_PLACEMENT", text)
        with pytest.raises(SynCamError, match=said) as caught:
            default()
        assert caught.value.code == "placement.option"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matmul_dtype": "half"}, "matmul_dtype is 'half'"),
        ({"matmul_dtype": "bfloat16", "fp8": True}, "for a network in float32 on a CPU"),
        ({"matmul_dtype": "bfloat16", "device": "cuda"}, "for a network in float32 on a CPU"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"offload": "disk"}, "offload is 'disk'"),
        ({"step_cache": "faster"}, "step_cache is 'faster'"),
        ({"rows_at_once": 0}, "rows_at_once is 0"),
    ],
)
def test_impossible_placements_are_named(changes, said):
    with pytest.raises(ValueError, match=said):
        Placement(**{"device": "cpu", "dtype": "float32", **changes})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said(tmp_path):
    with pytest.raises(SynCamError, match="no usable NVIDIA GPU") as caught:
        load_pipeline(str(write_tiny(tmp_path)), "cuda")
    assert caught.value.code == "device.missing"


def test_a_device_that_is_none_is_one_sentence(monkeypatch):
    with pytest.raises(SynCamError, match="There is no device 'gpu'"):
        load_pipeline("preview", "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SynCamError, match="this machine's last GPU is cuda:1") as caught:
        load_pipeline("preview", "cuda:2")
    assert caught.value.nearest == "cuda:1"
