# SPDX-License-Identifier: Apache-2.0
"""The network agrees with the equations written plainly, and mutations of them are noticed."""

from __future__ import annotations

import pytest
import torch

from syncam_engine.model.presets import CameraEncoding
from syncam_engine.preview.config import PreviewCameraEncoding
from tests.model.networks import inputs, randomized, small_config
from tests.model.plain_reference import MUTATIONS, plain_forward

TOLERANCE = 2e-5


def both(form, encoding, pattern, views, *, scenes=1, mutation=None, **changes):
    """Return (ours, plain, tolerance for them)."""
    torch.set_num_threads(1)
    cameras = CameraEncoding(encoding=encoding, pattern=pattern, **changes.pop("cameras", {}))
    rig = changes.pop("rig", {})
    config = small_config(mvs_form=form, camera_numbers=cameras.numbers, **changes)
    model = randomized(config)
    given = inputs(config, cameras, views, scenes, **rig)
    with torch.no_grad():
        ours = model(**given)
        plain = plain_forward(
            dict(model.state_dict()),
            config,
            given["z_BVCFHW"],
            given["t_BV"],
            given["text_tokens_BLD"],
            given["text_mask_BL"],
            given["cameras_BVFSR"],
            given["pattern_FhKK"],
            mutation,
        )
    return ours, plain, TOLERANCE * max(1.0, float(plain.abs().max()))


@pytest.mark.parametrize("views", [1, 2, 3, 5])
@pytest.mark.parametrize("pattern", ["full", "epipolar", "geometric"])
@pytest.mark.parametrize("encoding", ["extrinsics", "plucker"])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_agrees(form, encoding, pattern, views):
    ours, plain, tolerance = both(form, encoding, pattern, views)
    assert float((ours - plain).abs().max()) < tolerance


@pytest.mark.parametrize(
    "changes",
    [
        {"mask_text": True},
        {"view_rope": False},
        {"cameras": {"anchor_gravity": True}},
        {"cameras": {"anchoring": "first_frame"}, "rig": {"moving": True}},
        {"pooled_text": True},
        {"refiner_width": 8},
        {"pooled_text": True, "refiner_width": 16, "mask_text": True},
    ],
    ids=lambda c: next(iter(c)),
)
@pytest.mark.parametrize("form", ["paper", "released"])
def test_agrees_with_options(form, changes):
    ours, plain, tolerance = both(form, "plucker", "full", 3, **changes)
    assert float((ours - plain).abs().max()) < tolerance


@pytest.mark.parametrize("form", ["paper", "released"])
def test_agrees_for_moving_cameras_and_epipolar_lines_that_move(form):
    ours, plain, tolerance = both(form, "extrinsics", "epipolar", 3, rig={"moving": True})
    assert float((ours - plain).abs().max()) < tolerance


@pytest.mark.parametrize("form", ["paper", "released"])
def test_a_batch_of_scenes_agrees(form):
    ours, plain, tolerance = both(form, "plucker", "full", 2, scenes=3)
    assert len(ours) == 3
    assert float((ours - plain).abs().max()) < tolerance


GRIDS = [(1, 1, 1), (2, 3, 1), (1, 2, 5), (5, 1, 2), (2, 4, 3)]


@pytest.mark.parametrize("views", range(1, 17))
@pytest.mark.parametrize("form", ["paper", "released"])
def test_any_number_of_views_on_any_grid(form, views):
    """1 to 16 views, on latent frames x token rows x token columns of all kinds."""
    torch.set_num_threads(1)
    frames, h, w = GRIDS[views % len(GRIDS)]
    config = small_config(mvs_form=form, num_layers=1)
    model = randomized(config)
    generator = torch.Generator().manual_seed(views)
    z = torch.randn(1, views, config.in_channels, frames, 2 * h, 2 * w, generator=generator)
    t = torch.rand(1, views, generator=generator) * 1000
    text = torch.randn(1, 4, config.text_dim, generator=generator)
    cameras = torch.randn(1, views, frames, 1, config.camera_numbers, generator=generator)
    with torch.no_grad():
        ours = model(z, t, text, None, cameras)
        plain = plain_forward(dict(model.state_dict()), config, z, t, text, None, cameras)
    assert float((ours - plain).abs().max()) < TOLERANCE * max(1.0, float(plain.abs().max()))


def test_a_batch_of_scenes_is_each_scene_alone():
    cameras = PreviewCameraEncoding(encoding="plucker", anchor_gravity=True, ground_frequencies=2)
    config = small_config(camera_numbers=cameras.numbers)
    model = randomized(config)
    given = inputs(config, cameras, views=3, scenes=2)
    with torch.no_grad():
        together = model(**given)
        for b in range(2):
            alone = model(**{k: v if v is None else v[b : b + 1] for k, v in given.items()})
            assert torch.allclose(together[b], alone[0], atol=2e-5)


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("form", ["paper", "released"])
def test_mutations_are_noticed(form, mutation):
    ours, mutated, tolerance = both(form, "extrinsics", "full", 3, mutation=mutation)
    assert float((ours - mutated).abs().max()) > 10 * tolerance
