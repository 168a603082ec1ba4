# SPDX-License-Identifier: Apache-2.0
"""Scene mode: what the guides change, by how much, for how long, and when they are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.guides import Guides
from syncam_engine.model.presets import GUIDE_CHANNELS
from syncam_engine.sampling.guidance import (
    Branch,
    reference_guidance,
    scene_guidance,
    text_guidance,
)
from syncam_engine.sampling.pipeline import load_pipeline
from syncam_engine.sampling.placement import Placement
from tests.sampling.tiny import make_request, make_rig, write_tiny

EXACT = Placement(device="cpu", dtype="float32")
FRAMES, WIDTH, HEIGHT = 5, 160, 96


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    preset = write_tiny(tmp_path_factory.mktemp("tiny"), guide_channels=GUIDE_CHANNELS)
    return load_pipeline(str(preset), placement=EXACT)


def request(rig, **changed):
    sizes = {"width": WIDTH, "height": HEIGHT, "frames": FRAMES, "steps": 2}
    return make_request(rig, **{"mode": "scene", "guidance_scale": 1.0, **sizes, **changed})


def rig_of(views: int, anchor: int = 0):
    return replace(make_rig(views, width_px=WIDTH, height_px=HEIGHT), anchor=anchor)


def guides(views: int, seed: int = 4, colour: bool = False) -> Guides:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1.0, 9.0, (views, FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    depth[:, :, :7] = np.inf
    picture = rng.integers(0, 256, (views, FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    return Guides(depth_m_VTHW=depth, colour_VTHW3=picture if colour else None)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_strength_0_is_text_mode_bit_for_bit_and_so_are_no_guided_steps(pipeline):
    rig = rig_of(3, anchor=1)
    text = pipeline.generate(request(rig, mode="text"))
    for nothing in ({"scene_strength": 0.0}, {"scene_until": 0.0, "scene_strength": 0.0}):
        found = pipeline.generate(request(rig, **nothing), guides=guides(3))
        assert np.array_equal(found, text)
    guided = pipeline.generate(request(rig), guides=guides(3))
    assert apart(guided, text) > 2


def test_strength_and_duration_go_smoothly_from_one_to_the_other(pipeline):
    rig = rig_of(2)
    text = pipeline.generate(request(rig, mode="text"))
    by_strength = [
        apart(pipeline.generate(request(rig, scene_strength=s), guides=guides(2)), text)
        for s in (0.2, 0.6, 1.0)
    ]
    assert 0 < by_strength[0] < by_strength[1] < by_strength[2]
    half = pipeline.generate(request(rig, scene_until=0.5), guides=guides(2))
    whole = pipeline.generate(request(rig), guides=guides(2))
    assert apart(half, whole) > 0.5
    assert apart(half, text) > 0.5


def test_each_view_is_told_its_own_guides_whatever_the_anchor_is(pipeline):
    rig = rig_of(3, anchor=2)
    given = guides(3)
    base = pipeline.generate(request(rig), guides=given)
    depth = given.depth_m_VTHW.copy()
    depth[1, :, 20:] *= 0.5
    changed = pipeline.generate(request(rig), guides=Guides(depth_m_VTHW=depth))
    by_view = [apart(changed[v], base[v]) for v in range(3)]
    assert by_view[1] > 3 * max(by_view[0], by_view[2])
    colours = pipeline.generate(request(rig), guides=guides(3, colour=True))
    assert apart(colours, base) > 1


def test_a_reference_joins_the_scene(pipeline):
    rig = rig_of(2)
    clip = np.random.default_rng(9).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    asked = request(rig, guidance_scale=2.0)
    joined = pipeline.generate(asked, guides=guides(2), reference_clip_THW3=clip)
    alone = pipeline.generate(asked, guides=guides(2))
    reference = pipeline.generate(
        request(rig, mode="reference", guidance_scale=2.0), reference_clip_THW3=clip
    )
    assert np.array_equal(joined[0], reference[0]), "the reference's own view is given, not guided"
    assert apart(joined[1], reference[1]) > 1
    assert not np.array_equal(joined[1], alone[1])


def test_kept_latents_and_pairs_know_the_guides(tmp_path_factory):
    preset = write_tiny(
        tmp_path_factory.mktemp("pairs"), guide_channels=GUIDE_CHANNELS, strategy="anchored_pairs"
    )
    joint = load_pipeline(str(preset), placement=EXACT)
    joint.preset = replace(joint.preset, envelope=replace(joint.preset.envelope, trained_views=2))
    rig = rig_of(3)
    together = joint.generate(request(rig, scene_strength=0.5), guides=guides(3))
    one_by_one = load_pipeline(str(preset), placement=replace(EXACT, rows_at_once=2))
    one_by_one.preset = joint.preset
    parts = one_by_one.generate(request(rig, scene_strength=0.5), guides=guides(3))
    assert np.abs(together.astype(int) - parts).max() <= 1
    other = joint.generate(request(rig, scene_strength=0.5), guides=guides(3, seed=5))
    assert apart(other, together) > 0.5


def test_branches_of_a_strength():
    text = text_guidance(2.0)
    assert scene_guidance(text, 0.0) == text
    full = scene_guidance(text, 1.0)
    assert [b.scene for b in full.branches] == [True, True]
    v = torch.randn(4, 1, 2, 1, 3, 3, generator=torch.Generator().manual_seed(3))
    mixed = scene_guidance(text, 0.25)
    assert mixed.branches == (
        Branch(text=False),
        Branch(text=True),
        Branch(text=False, scene=True),
        Branch(text=True, scene=True),
    )
    plain, scene = text.combine(v[:2]), text.combine(v[2:])
    assert torch.allclose(mixed.combine(v), plain + 0.25 * (scene - plain))
    assert len(scene_guidance(reference_guidance(), 0.5).branches) == 6
    with pytest.raises(ValueError, match=r"scene_strength is 1\.5"):
        scene_guidance(text, 1.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda g: g.depth_m_VTHW.__setitem__((1, 2, 9, 9), np.nan),
            "has the value nan in picture 2",
        ),
        (lambda g: g.depth_m_VTHW.__setitem__((1, 0, 9, 9), -2.0), "has the value -2 in picture 0"),
        (lambda g: g.depth_m_VTHW.__setitem__((1, 0, 9, 9), 0.0), "above 0 m"),
        (lambda g: g.depth_m_VTHW.__setitem__(1, np.inf), "sees nothing of the scene"),
    ],
)
def test_depth_that_cannot_be_is_one_sentence_with_the_cameras_name(pipeline, change, said):
    rig, wrong = rig_of(2, anchor=1), guides(2)
    change(wrong)
    with pytest.raises(SynCamError, match=said) as caught:
        pipeline.generate(request(rig), guides=wrong)
    assert repr(rig.cameras[1].name) in caught.value.sentence


def test_guides_of_another_size_and_presets_without_are_one_sentence(pipeline, tmp_path):
    rig = rig_of(2)
    with pytest.raises(
        SynCamError, match=r"of 3 cameras, 5 pictures and 160x96; the request has 2"
    ):
        pipeline.generate(request(rig), guides=guides(3))
    plain = load_pipeline(str(write_tiny(tmp_path)), placement=EXACT)
    with pytest.raises(SynCamError, match="takes no guides"):
        plain.generate(request(rig), guides=guides(2))
    with pytest.raises(ValueError, match="mode 'scene' needs the depth"):
        pipeline.generate(request(rig))


def test_a_network_that_begins_to_be_guided_is_the_one_that_it_was(tmp_path):
    """Zero layers at the end of the embedding and the refiner's part."""
    from syncam_engine.model.transformer import build_transformer
    from tests.sampling.tiny import randomize, tiny_preset

    torch.manual_seed(5)
    config = tiny_preset(tmp_path, guide_channels=GUIDE_CHANNELS).transformer
    model = build_transformer(config)
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    randomize(model)
    with torch.no_grad():
        model.guide_embedding.tokens.weight.copy_(kept["guide_embedding.tokens.weight"])
        model.guide_embedding.tokens.bias.copy_(kept["guide_embedding.tokens.bias"])
        model.refiner.guides.weight.copy_(kept["refiner.guides.weight"])
    z = torch.randn(1, 2, 6, 2, 12, 20, generator=torch.Generator().manual_seed(1))
    cameras = torch.randn(1, 2, 2, 60, config.camera_numbers)
    text, t = torch.randn(1, 4, 16), torch.full((1, 2), 500.0)
    told = torch.randn(1, 2, 5, GUIDE_CHANNELS, HEIGHT, WIDTH)
    plain = model(z, t, text, None, cameras)
    assert torch.equal(model(z, t, text, None, cameras, guides_BVTGHW=told), plain)
    with pytest.raises(ValueError, match=r"must be \[1 or 1, 2, 5, 10, 96, 160\]"):
        model(z, t, text, None, cameras, guides_BVTGHW=told[:, :, :4])
