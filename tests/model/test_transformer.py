# SPDX-License-Identifier: Apache-2.0
"""A fresh MVS changes nothing, views are exchangeable, and diffusers' machinery works on it all."""

from __future__ import annotations

import pytest
import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig
from einops import rearrange

from syncam_engine.model.presets import CameraEncoding
from syncam_engine.model.transformer import build_transformer
from syncam_engine.model.transformer_files import load_transformer
from tests.model.networks import base_of, inputs, randomized, small_config


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("views", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("encoding", ["extrinsics", "plucker"])
def test_a_fresh_mvs_is_exactly_the_base(form, encoding, views):
    cameras = CameraEncoding(encoding=encoding)
    config = small_config(mvs_form=form, camera_numbers=cameras.numbers)
    model = randomized(config)
    model.start_mvs_from_base()
    given = inputs(config, cameras, views)
    base = base_of(model)
    with torch.no_grad():
        expected = base(
            rearrange(given["z_BVCFHW"], "b v c f h w -> (b v) c f h w"),
            given["t_BV"].flatten(),
            given["text_tokens_BLD"].expand(views, -1, -1),
            return_dict=False,
        )[0]
        fused = model(**given)
        model.set_fused(False)
        plain = model(**given)
        for block in model.blocks:
            block.mvs.forward = lambda x, *rest: x
        model.set_fused(True)
        without = model(**given)
    assert torch.equal(plain[0], expected)  # diffusers' own model, bit by bit
    assert torch.equal(fused, without)  # fused, the module still changes no bit
    # Fused arithmetic rounds elsewhere.
    assert not torch.equal(fused, plain)
    largest = max(1.0, float(expected.abs().max()))
    assert torch.allclose(fused[0], expected, rtol=0, atol=4e-6 * largest)


@pytest.mark.parametrize("pattern", ["full", "epipolar", "geometric"])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("own", [{}, {"pooled_text": True, "refiner_width": 8}], ids=["wan", "own"])
def test_scenes_that_differ_by_their_text_share_their_start(pattern, fused, own):
    """Guidance branches: one scene's latents for several texts, as if given once for each."""
    cameras = CameraEncoding(pattern=pattern)
    config = small_config(mvs_form="released", mask_text=True, **own)
    model = randomized(config)
    model.set_fused(fused)
    given = inputs(config, cameras, views=3, moving=pattern != "full")
    generator = torch.Generator().manual_seed(2)
    given["text_tokens_BLD"] = torch.randn(2, 6, config.text_dim, generator=generator)
    given["text_mask_BL"] = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    twice = dict(given)
    for name in ("z_BVCFHW", "t_BV"):
        twice[name] = given[name].repeat(2, *[1] * (given[name].ndim - 1))
    with torch.no_grad():
        assert torch.allclose(model(**given), model(**twice), atol=2e-5)
        assert not torch.allclose(model(**given)[0], model(**given)[1], atol=1e-3)


def test_fresh_pooled_text_and_refiner_change_nothing():
    given = inputs(small_config(), CameraEncoding(), 2)
    outputs = []
    for own in ({}, {"pooled_text": True, "refiner_width": 8}):
        torch.manual_seed(3)
        plain = build_transformer(small_config())
        model = build_transformer(small_config(**own))
        model.load_state_dict(plain.state_dict(), strict=False)
        with torch.no_grad():
            outputs.append(model(**given))
    assert torch.allclose(*outputs, atol=1e-6)


def test_fused_arithmetic_has_the_same_gradients():
    config = small_config(mvs_form="released")
    given = inputs(config, CameraEncoding(), 2)
    grads = []
    for fused in (True, False):
        model = randomized(config)
        model.set_fused(fused)
        model(**given).square().mean().backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*grads, strict=True))


def test_layers_that_were_replaced_are_called():
    """A LoRA stands in a layer's place: the fast feed-forward must not look past it."""

    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    config = small_config()
    given = inputs(config, CameraEncoding(), 2)
    outs = []
    for fused in (True, False):
        model = randomized(config)
        model.set_fused(fused)
        model.blocks[0].ffn.net[0].proj.__class__ = Doubled
        with torch.no_grad():
            outs.append(model(**given))
            model.blocks[0].ffn.net[0].proj.__class__ = torch.nn.Linear
            assert not torch.allclose(outs[-1], model(**given), atol=1e-3)
    assert torch.allclose(*outs, atol=2e-5)


def test_the_view_attention_starts_as_the_self_attention():
    model = randomized(small_config(mvs_form="released"))
    model.start_mvs_from_base()
    for block in model.blocks:
        for name, value in block.attn1.state_dict().items():
            assert torch.equal(block.mvs.attn.state_dict()[name], value)
        assert torch.equal(block.mvs.modulation, block.scale_shift_table[:, :3])
        assert not block.mvs.projector.weight.any()
        assert not block.mvs.camera_encoder.bias.any()


def test_only_new_parameters_train():
    model = build_transformer(small_config(mvs_form="released"))
    model.freeze_base()
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {name for name, _ in model.named_parameters() if ".mvs." in name}
    given = inputs(small_config(), CameraEncoding(), 2)
    model(**given).square().mean().backward()
    grads = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    # With the projector at zero, it is the only one that learns in the first step.
    assert grads == {n for n in trainable if "mvs.projector" in n}


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("pattern", ["full", "epipolar", "geometric"])
def test_permuting_cameras_permutes_outputs_without_view_rope(form, pattern):
    cameras = CameraEncoding(encoding="plucker", anchor_gravity=True, pattern=pattern)
    config = small_config(mvs_form=form, camera_numbers=cameras.numbers, view_rope=False)
    model = randomized(config)
    given = inputs(config, cameras, views=4)
    order = [0, 3, 1, 2]
    permuted = dict(given)
    for name in ("z_BVCFHW", "t_BV", "cameras_BVFSR"):
        permuted[name] = given[name][:, order]
    if pattern != "full":
        tokens = given["pattern_FhKK"].shape[-1] // 4
        index = torch.cat([torch.arange(v * tokens, (v + 1) * tokens) for v in order])
        permuted["pattern_FhKK"] = given["pattern_FhKK"][..., index, :][..., index]
    with torch.no_grad():
        a, b = model(**given)[:, order], model(**permuted)
    assert torch.allclose(a, b, atol=1e-5 * max(1.0, float(a.abs().max())))


def test_with_view_rope_the_order_counts():
    config = small_config()
    model = randomized(config)
    given = inputs(config, CameraEncoding(), views=4)
    order = [0, 3, 1, 2]
    permuted = {k: v[:, order] if k in ("z_BVCFHW", "t_BV", "cameras_BVFSR") else v
                for k, v in given.items()}  # fmt: skip
    with torch.no_grad():
        assert not torch.allclose(model(**given)[:, order], model(**permuted), atol=1e-3)


def test_a_camera_counts():
    config = small_config()
    model = randomized(config)
    given = inputs(config, CameraEncoding(), views=2)
    with torch.no_grad():
        before = model(**given)
        given["cameras_BVFSR"] = given["cameras_BVFSR"] + 0.1
        assert not torch.allclose(before, model(**given), atol=1e-4)


@pytest.mark.parametrize("hidden", [False, True])
def test_padding_counts_once_with_its_weight(hidden):
    """Equal rows at the text's end, as Wan pads: kept as one, the prediction stays."""
    config = small_config(mask_text=hidden)
    model = randomized(config)
    given = inputs(config, CameraEncoding(), views=2, scenes=3)
    text = torch.zeros(3, 40, config.text_dim)
    for scene, own in enumerate((5, 9, 1)):
        text[scene, :own] = torch.randn(own, config.text_dim)
    given["text_tokens_BLD"], given["text_mask_BL"] = text, text.any(-1)
    with torch.no_grad():
        expected = model(**given)
        views = model.prepare_views(
            given["z_BVCFHW"].shape, given["cameras_BVFSR"], given["text_mask_BL"], keep=True
        )
        for _ in range(2):
            assert torch.allclose(model(**given, views=views), expected, atol=2e-5)
    assert {keys.key_BLhd.shape[1] for keys in views.text_keys.values()} == {9 if hidden else 10}


@pytest.mark.parametrize("encoding", ["extrinsics", "plucker"])
def test_kept_text_and_cameras_change_nothing(encoding):
    cameras = CameraEncoding(encoding=encoding)
    config = small_config(camera_numbers=cameras.numbers, mask_text=True)
    model = randomized(config)
    given = inputs(config, cameras, views=3)
    shape = given["z_BVCFHW"].shape
    with torch.no_grad():
        expected = model(**given)
        views = model.prepare_views(shape, given["cameras_BVFSR"], given["text_mask_BL"], keep=True)
        for _ in range(2):
            assert torch.allclose(expected, model(**given, views=views), atol=1e-6)
    assert len(views.text_keys) == len(views.camera_terms) == config.num_layers


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("z_BVCFHW", lambda z: z[:, :, :4], "z_BVCFHW has shape"),
        ("z_BVCFHW", lambda z: z[..., :3], "multiples of 1, 2x2"),
        ("t_BV", lambda t: t[:, :1], "t_BV has shape"),
        ("text_tokens_BLD", lambda x: x[..., :5], "text_tokens_BLD"),
        ("text_mask_BL", lambda x: x[:, :2], "text_mask_BL"),
        ("cameras_BVFSR", lambda c: c[:, :1], "every view needs a pose"),
        ("cameras_BVFSR", lambda c: c[:, :, :2], "every latent frame"),
        (
            "pattern_FhKK",
            lambda p: p[..., :35, :35],
            r"it must be \[1 or 3, kinds of heads, 70, 70",
        ),
        ("pattern_FhKK", lambda p: p.repeat(2, 1, 1, 1), "pattern_FhKK has shape"),
        ("pattern_FhKK", lambda p: p[None].repeat(2, 1, 1, 1, 1), "or 1 of these"),
        ("pattern_FhKK", lambda p: p.int(), "pattern_FhKK is of torch.int32; it must be bool"),
    ],
)
def test_wrong_shapes_are_named(name, change, said):
    config = small_config()
    given = inputs(config, CameraEncoding(pattern="geometric"), views=2)
    given[name] = change(given[name])
    with pytest.raises(ValueError, match=said):
        build_transformer(config)(**given)


@pytest.mark.parametrize("moving", [False, True])
def test_what_is_added_to_scores_has_the_dtype_of_the_network(moving):
    """GPUs need it so: one kernel refuses another dtype, another takes its bytes as they are."""
    cameras = CameraEncoding(pattern="geometric")
    config = small_config(camera_numbers=cameras.numbers)
    model = randomized(config)
    given = inputs(config, cameras, views=2, moving=moving)
    assert given["pattern_FhKK"].dtype == torch.float32
    with torch.no_grad():
        exact = model(**given)
        tensors = dict(model.state_dict())
        half = load_transformer(config, tensors, torch.device("cpu"), torch.bfloat16)
        views = half.prepare_views(
            given["z_BVCFHW"].shape,
            given["cameras_BVFSR"],
            None,
            pattern_FhKK=given["pattern_FhKK"],
        )
        given["z_BVCFHW"] = given["z_BVCFHW"].bfloat16()
        near = half(**given, views=views).float()
    assert views.mask.dtype == torch.bfloat16
    assert 0 < float((near - exact).norm() / exact.norm()) < 0.05


def test_gradient_checkpointing_gives_the_same_gradients():
    config = small_config(mvs_form="released")
    given = inputs(config, CameraEncoding(), 2)
    grads = []
    for checkpointing in (False, True):
        model = randomized(config)
        if checkpointing:
            model.enable_gradient_checkpointing()
        model(**given).square().mean().backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))


def test_save_and_load(tmp_path):
    config = small_config(mvs_form="released", view_rope=False)
    model = randomized(config)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    given = inputs(config, CameraEncoding(), 2)
    with torch.no_grad():
        assert torch.equal(model(**given), again(**given))
    assert again.config.view_rope is False


@pytest.mark.parametrize(
    "config",
    [
        FirstBlockCacheConfig(threshold=0.0),
        TaylorSeerCacheConfig(
            disable_cache_before_step=10,
            taylor_factors_dtype=torch.float32,
            cache_identifiers=[r"blocks\.\d+\.(attn1|attn2|ffn|mvs)"],
        ),
    ],
    ids=["first_block", "taylorseer"],
)
def test_step_caches_that_never_skip_are_exact(config):
    small = small_config(num_layers=3)
    model = randomized(small)
    given = inputs(small, CameraEncoding(), 2)
    with torch.no_grad():
        expected = model(**given)
        model.enable_cache(config)
        for _ in range(2):
            with model.cache_context("batch0"):
                out = model(**given)
            assert torch.allclose(out, expected, atol=1e-5)
        model.disable_cache()
        assert torch.equal(model(**given), expected)


def test_fused_projections_and_group_offload_are_exact():
    config = small_config()
    given = inputs(config, CameraEncoding(), 2)
    with torch.no_grad():
        expected = randomized(config)(**given)
        fused = randomized(config)
        fused.fuse_qkv_projections()
        assert torch.allclose(fused(**given), expected, atol=1e-5)
        offloaded = randomized(config)
        offloaded.enable_group_offload(
            onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
        )
        assert torch.equal(offloaded(**given), expected)


def test_fp8_storage_is_near():
    config = small_config()
    given = inputs(config, CameraEncoding(), 2)
    with torch.no_grad():
        expected = randomized(config)(**given)
        model = randomized(config)
        model.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
        )
        assert model.blocks[0].mvs.projector.weight.dtype == torch.float8_e4m3fn
        error = (model(**given) - expected).abs().mean() / expected.abs().mean()
    assert 0 < float(error) < 0.2
