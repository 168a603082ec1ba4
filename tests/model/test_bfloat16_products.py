# SPDX-License-Identifier: Apache-2.0
"""Matrix products in bfloat16 on a CPU: which numbers they touch, and how near the clips stay."""

from __future__ import annotations

import copy

import pytest
import torch

from syncam_engine.model import attention, bfloat16_products
from syncam_engine.model.arithmetic import FastLinear
from syncam_engine.model.bfloat16_products import (
    attention_in_bfloat16,
    has_bfloat16_hardware,
    multiply_in_bfloat16,
)
from syncam_engine.model.presets import CameraEncoding
from tests.model.networks import inputs, randomized, small_config

NEAR = 0.03
"""Of the largest value: bfloat16 keeps 8 bits, and a few roundings add up."""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def networks(pattern: str = "full", **changed):
    """Return (the network in float32, the same with products in bfloat16, a request's inputs)."""
    encoding = CameraEncoding(encoding="plucker", pattern=pattern)
    config = small_config(camera_numbers=encoding.numbers, **changed)
    exact = randomized(config)
    half = copy.deepcopy(exact)
    multiply_in_bfloat16(half.blocks)
    return exact, half, inputs(config, encoding, 3)


def distance(out: torch.Tensor, expected: torch.Tensor) -> float:
    return float((out - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("pattern", ["full", "epipolar"])
@pytest.mark.parametrize("attend", [False, True], ids=["attention32", "attention16"])
def test_the_network_stays_near(monkeypatch, form, pattern, attend):
    exact, half, given = networks(pattern, mvs_form=form)
    calls = []

    def counted(*args):
        calls.append(args)
        return attention_in_bfloat16(*args)

    if attend:  # small networks have few keys
        monkeypatch.setattr(bfloat16_products, "FEWEST_KEYS", 1)
    monkeypatch.setattr(attention, "attention_in_bfloat16", counted)
    with torch.no_grad():
        expected, out = exact(**given), half(**given)
        assert torch.equal(out, half(**given))
    assert out.dtype == torch.float32
    assert 0 < distance(out, expected) < NEAR
    # A masked attention, as the epipolar pattern's, stays in float32.
    if bfloat16_products.onednn_has_bfloat16():
        assert bool(calls) == attend


def test_only_the_linear_layers_of_the_blocks_are_held_in_bfloat16():
    exact, half, _ = networks(mvs_form="released")
    held = {n for n, p in half.named_parameters() if p.dtype == torch.bfloat16}
    expected = {
        f"{name}.{part}"
        for name, layer in exact.blocks.named_modules(prefix="blocks")
        if isinstance(layer, FastLinear) and "camera_encoder" not in name
        for part in ("weight", "bias")
    }
    assert held == expected
    assert {"blocks.0.ffn.net.2.bias", "blocks.1.mvs.projector.weight"} <= held
    assert all(p.dtype == torch.float32 for n, p in half.named_parameters() if n not in held)


def test_gradients_and_other_processors_take_the_plain_way(monkeypatch):
    """With gradients, and where oneDNN knows no bfloat16, torch's own product is used."""
    _, half, given = networks()
    with torch.no_grad():
        expected = half(**given)
    given["z_BVCFHW"].requires_grad_(True)
    out = half(**given)
    out.square().mean().backward()
    assert given["z_BVCFHW"].grad.abs().max() > 0
    assert distance(out.detach(), expected) < NEAR
    for module in ("arithmetic", "bfloat16_products"):
        monkeypatch.setattr(f"syncam_engine.model.{module}.onednn_has_bfloat16", lambda: False)
    with torch.no_grad():
        assert distance(half(**given), expected) < NEAR


def test_joined_projections_multiply_in_bfloat16_too():
    _, half, given = networks()
    with torch.no_grad():
        expected = half(**given)
        half.fuse_qkv_projections()
        assert distance(half(**given), expected) < NEAR
    assert type(half.blocks[0].attn1.to_qkv) is FastLinear


@pytest.mark.parametrize("at_once", [7, 300, 10**6])
@pytest.mark.parametrize(("rows", "queries", "keys", "heads", "size"), [
    (2, 13, 29, 3, 8), (1, 64, 5, 2, 32), (3, 1, 40, 1, 128),
])  # fmt: skip
def test_attention_is_attention(monkeypatch, at_once, rows, queries, keys, heads, size):
    monkeypatch.setattr(bfloat16_products, "SCORES_AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(2)
    query, key, value = (
        torch.randn(rows, n, heads, size, generator=generator) for n in (queries, keys, keys)
    )
    out = attention_in_bfloat16(query, key, value)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (query, key, value))
    ).transpose(1, 2)
    assert out.shape == expected.shape
    assert distance(out.float(), expected) < NEAR
    swapped = attention_in_bfloat16(query, key.flip(1), value)
    assert distance(swapped.float(), expected) > NEAR or keys == 1


@pytest.mark.parametrize(
    ("has", "hardware"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_f": True}, False)],
)
def test_hardware_is_known_by_its_flags(monkeypatch, has, hardware):
    monkeypatch.setattr(bfloat16_products, "onednn_has_bfloat16", lambda: True)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: has)
    assert has_bfloat16_hardware() is hardware


def test_blocks_compile_whole(monkeypatch):
    """No break in the graph, and nothing of oneDNN's in it, which compilers do not know."""
    monkeypatch.setattr(bfloat16_products, "FEWEST_KEYS", 1)
    exact, half, given = networks()
    try:
        with torch.no_grad():
            expected = exact(**given)
            half.compile_repeated_blocks(fullgraph=True, backend="eager")
            assert distance(half(**given), expected) < NEAR
    finally:
        torch.compiler.reset()
