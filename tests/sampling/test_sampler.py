# SPDX-License-Identifier: Apache-2.0
"""Schedule, guidance, Euler steps, and the denoiser against a request written out plainly."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from syncam_engine.model.presets import CameraEncoding, SamplingDefaults
from syncam_engine.sampling.clips import fit_clip
from syncam_engine.sampling.denoiser import Conditions, Denoiser, Method
from syncam_engine.sampling.guidance import reference_guidance, text_guidance
from syncam_engine.sampling.noise import camera_noise, rig_noise
from syncam_engine.sampling.sampler import sample
from syncam_engine.sampling.schedule import make_sigmas, start_at, timestep_of
from tests.model.networks import base_of, inputs, randomized, small_config


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


# ---- schedule -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "shift"), [(50, 5.0), (6, 5.0), (7, 3.0), (1, 5.0)])
def test_sigmas_are_the_released_ones(steps, shift):
    ours = make_sigmas(steps, shift)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / steps, steps).tolist())
    assert len(ours) == steps + 1
    assert np.allclose(ours, scheduler.sigmas.numpy(), atol=1e-6)
    timesteps = [timestep_of(s) for s in ours[:-1]]
    assert np.allclose(timesteps, scheduler.timesteps.numpy(), atol=1e-3)


def test_euler_steps_are_the_schedulers():
    torch.manual_seed(0)
    z = torch.randn(2, 3, 4, 5, 6)
    matrix = torch.randn(3, 3) * 0.4
    scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / 9, 9).tolist())
    theirs = z
    for t in scheduler.timesteps:
        v = torch.einsum("cd,vdfhw->vcfhw", matrix, theirs) * (t / 1000)
        theirs = scheduler.step(v, t, theirs, return_dict=False)[0]
    ours = sample(
        lambda x, s: torch.einsum("cd,vdfhw->vcfhw", matrix, x) * s, z, make_sigmas(9, 5.0)
    )
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_straight_flow_is_solved_in_one_step():
    z0, noise = torch.randn(2, 3, 1, 2, 2), torch.randn(2, 3, 1, 2, 2)
    assert torch.allclose(sample(lambda x, s: noise - z0, noise, [1.0, 0.0]), z0, atol=1e-6)


def test_bf16_rounding_is_at_most_two_units():
    errors = [
        abs(timestep_of(s) - timestep_of(s, round_to_bf16=True)) for s in make_sigmas(50, 5.0)
    ]
    assert 0.5 < max(errors) <= 2.0


def test_start_at():
    sigmas = make_sigmas(8, 3.0)
    assert start_at(sigmas, 1.0) == sigmas
    part = start_at(sigmas, 0.6)
    assert part[0] == 0.6
    assert part[-1] == 0.0
    assert part == sorted(part, reverse=True)
    assert start_at(sigmas, 0.0) == [0.0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: make_sigmas(0, 5.0), "steps is 0"),
        (lambda: make_sigmas(2.5, 5.0), "steps is 2.5"),
        (lambda: make_sigmas(5, 0.0), "shift is 0.0"),
        (lambda: start_at([1.0, 0.0], 1.2), "strength is 1.2"),
        (lambda: start_at([1.0, 0.0], math.nan), "strength is nan"),
        (lambda: text_guidance(math.inf), "guidance_scale is inf"),
        (lambda: reference_guidance(7.5, 500.0), "video_scale is 500"),
    ],
)
def test_impossible_numbers_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# ---- noise --------------------------------------------------------------------------------------


def test_noise_is_a_cameras_own():
    shape = (3, 2, 4, 5)
    two = rig_noise(5, 0, ["left", "right"], shape)
    three = rig_noise(5, 0, ["front", "right", "left"], shape)
    assert np.array_equal(two[0], three[2])
    assert np.array_equal(two[1], three[1])
    assert not np.array_equal(three[0], three[1])
    assert not np.array_equal(two[0], camera_noise(6, 0, "left", shape))
    assert not np.array_equal(two[0], camera_noise(5, 1, "left", shape))
    many = camera_noise(1, 0, "a", (100, 10, 10, 10))
    assert abs(many.mean()) < 0.01
    assert abs(many.std() - 1) < 0.01


def test_frames_share_the_part_of_their_noise_that_is_asked_for():
    shape = (41, 3, 30, 50)
    own = camera_noise(5, 0, "left", shape)
    assert np.array_equal(own, camera_noise(5, 0, "left", shape, 0.0))
    for shared in (0.3, 0.8):
        noise_VFn = rig_noise(5, 0, ["left", "right"], shape, shared).swapaxes(1, 2)
        rows = np.corrcoef(noise_VFn.reshape(6, -1))
        wanted = np.kron(np.eye(2), np.full((3, 3), shared)) + (1 - shared) * np.eye(6)
        assert np.abs(rows - wanted).max() < 0.02
        assert abs(noise_VFn.std() - 1) < 0.01
    alike = camera_noise(5, 0, "left", shape, 1.0)
    assert np.array_equal(alike[:, 0], alike[:, 2])


def test_an_impossible_share_of_noise_is_named():
    with pytest.raises(ValueError, match=r"shared_noise is 1\.5; it must be from 0 to 1"):
        SamplingDefaults(steps=4, shift=1.0, guidance_scale=2.0, shared_noise=1.5)
    with pytest.raises(ValueError, match=r"previz_shared_noise is -0\.1; it must be from 0 to 1"):
        SamplingDefaults(steps=4, shift=1.0, guidance_scale=2.0, previz_shared_noise=-0.1)


# ---- guidance and denoiser ----------------------------------------------------------------------


def test_guidance_formulas():
    v = torch.randn(3, 2, 4, 1, 2, 2)
    text = text_guidance(4.0)
    assert torch.allclose(text.combine(v[:2]), v[0] + 4.0 * (v[1] - v[0]))
    eq7 = reference_guidance().combine(v)
    assert torch.allclose(eq7, v[0] + 1.8 * (v[1] - v[0]) + 7.5 * (v[2] - v[1]))
    assert len(text_guidance(1.0).branches) == 1
    assert torch.equal(text_guidance(1.0).combine(v[:1]), v[0])


class Request:
    """One request on a small random network, for asking `Denoiser` and the plain way alike."""

    def __init__(self, views, encoding=None, **config):
        self.encoding = encoding or CameraEncoding(encoding="plucker")
        self.config = small_config(camera_numbers=self.encoding.numbers, **config)
        self.model = randomized(self.config)
        given = inputs(self.config, self.encoding, views)
        self.z, self.cameras = given["z_BVCFHW"][0], given["cameras_BVFSR"]
        self.pattern, self.mask = given["pattern_FhKK"], given["text_mask_BL"]
        self.prompt = given["text_tokens_BLD"]
        self.negative = torch.randn_like(self.prompt)
        self.reference, self.reference_noise = torch.randn_like(self.z[0]), self.z[0]

    def denoiser(self, reference=False, **method):
        conditions = Conditions(
            prompt_LD=self.prompt[0],
            negative_LD=self.negative[0],
            prompt_mask_L=self.mask[0],
            negative_mask_L=~self.mask[0],
            cameras_VFSR=self.cameras[0],
            pattern_FhKK=self.pattern,
            reference_CFHW=self.reference if reference else None,
            reference_noise_CFHW=self.reference_noise if reference else None,
        )
        return Denoiser(self.model, conditions, Method(**method))

    def network(self, z, t, *, prompt, views=None):
        """One plain call of the network for some of the views."""
        pick = list(range(len(z))) if views is None else views
        pattern = self.pattern
        if pattern is not None and views is not None:
            tokens = pattern.shape[-1] // len(self.z)
            index = torch.cat([torch.arange(v * tokens, (v + 1) * tokens) for v in pick])
            pattern = pattern[..., index, :][..., index]
        return self.model(
            z[None],
            torch.as_tensor(t, dtype=torch.float32).expand(1, len(pick)),
            self.prompt if prompt else self.negative,
            self.mask if prompt else ~self.mask,
            self.cameras[:, pick],
            pattern_FhKK=pattern,
        )[0]


@pytest.mark.parametrize("rows_at_once", [64, 3, 1])
@torch.no_grad()
def test_text_guidance_batched_or_in_parts(rows_at_once):
    request = Request(3, mask_text=True)
    denoiser = request.denoiser(guidance=text_guidance(4.0), rows_at_once=rows_at_once)
    assert len(denoiser.batches) == (1 if rows_at_once == 64 else 2)
    for sigma in (0.9, 0.4):  # the second step reads what the first kept
        no, yes = (request.network(request.z, sigma * 1000, prompt=p) for p in (False, True))
        assert torch.allclose(denoiser(request.z, sigma), no + 4.0 * (yes - no), atol=1e-4)


def test_values_that_are_not_finite_are_named():
    request = Request(2)
    with pytest.raises(ValueError, match="z_VCFHW has values"):
        sample(lambda z, s: z, request.z * math.nan, [1.0, 0.0])
    request.cameras[0, 1, 0, 0, 0] = math.inf
    with pytest.raises(ValueError, match="cameras_VFSR has values"):
        request.denoiser(guidance=text_guidance(2.0))


@torch.no_grad()
def test_unfused_with_a_fresh_mvs_it_is_diffusers_model_bit_by_bit():
    request = Request(3, CameraEncoding())
    request.model.start_mvs_from_base()
    request.prompt = torch.nn.functional.pad(request.prompt, (0, 0, 0, 30))  # as Wan pads
    request.mask = torch.ones(1, 36, dtype=torch.bool)
    request.negative = torch.zeros_like(request.prompt)
    request.model.set_fused(False)
    denoiser = request.denoiser(guidance=text_guidance(4.0), rows_at_once=1)
    base = base_of(request.model)
    for sigma in (0.9, 0.4):
        t = torch.full((3,), sigma * 1000)
        no, yes = (
            base(request.z, t, text.expand(3, -1, -1), return_dict=False)[0]
            for text in (request.negative, request.prompt)
        )
        assert torch.equal(denoiser(request.z, sigma), no + 4.0 * (yes - no))


@torch.no_grad()
def test_clean_prediction_becomes_velocity():
    request = Request(2)
    denoiser = request.denoiser(guidance=text_guidance(1.0), prediction="x0")
    clean = request.network(request.z, 700.0, prompt=True)
    assert torch.allclose(denoiser(request.z, 0.7), (request.z - clean) / 0.7, atol=1e-4)


@pytest.mark.parametrize("timestep", ["shared", "zero"])
@torch.no_grad()
def test_reference_branches_are_eq_7(timestep):
    request = Request(3)
    denoiser = request.denoiser(
        reference=True, guidance=reference_guidance(7.5, 1.8), reference_timestep=timestep
    )
    sigma, z = 0.65, request.z
    noised = (1 - sigma) * request.reference + sigma * request.reference_noise
    without = torch.cat([noised[None], z[1:]])
    shown = torch.cat([request.reference[None], z[1:]])
    t = [650.0] * 3
    t_shown = [0.0, 650.0, 650.0] if timestep == "zero" else t
    v_none = request.network(without, t, prompt=False)
    v_video = request.network(shown, t_shown, prompt=False)
    v_both = request.network(shown, t_shown, prompt=True)
    expected = v_none + 1.8 * (v_video - v_none) + 7.5 * (v_both - v_video)
    assert torch.allclose(denoiser(z, sigma)[1:], expected[1:], atol=2e-4)
    clean = sample(denoiser, z, make_sigmas(2, 3.0), reference_CFHW=request.reference)
    assert torch.equal(clean[0], request.reference)


@pytest.mark.parametrize("pattern", ["full", "epipolar", "geometric"])
@pytest.mark.parametrize("rows_at_once", [64, 2])
@torch.no_grad()
def test_pairs_share_the_anchor(rows_at_once, pattern):
    request = Request(4, CameraEncoding(pattern=pattern))
    denoiser = request.denoiser(guidance=text_guidance(3.0), pairs=True, rows_at_once=rows_at_once)
    expected = torch.zeros_like(request.z)
    for i in (1, 2, 3):
        pair = request.z[[0, i]]
        no, yes = (request.network(pair, 500.0, prompt=p, views=[0, i]) for p in (False, True))
        v = no + 3.0 * (yes - no)
        expected[0] += v[0] / 3
        expected[i] = v[1]
    assert torch.allclose(denoiser(request.z, 0.5), expected, atol=1e-4)


@torch.no_grad()
def test_pairs_of_one_or_two_views_are_joint():
    for views in (1, 2):
        request = Request(views)
        joint = request.denoiser(guidance=text_guidance(3.0))
        pairs = request.denoiser(guidance=text_guidance(3.0), pairs=True)
        assert torch.equal(joint(request.z, 0.5), pairs(request.z, 0.5))


def test_latents_and_references_that_do_not_fit_are_named():
    request = Request(2)
    z, short = request.z, request.reference[:, :2]
    with pytest.raises(ValueError, match=r"reference_CFHW has shape .*; it must be .*one view's"):
        sample(lambda z, sigma: z, z, [1.0, 0.0], reference_CFHW=short)
    with pytest.raises(ValueError, match="steps_done is 2; it must be 0 to 1"):
        sample(lambda z, sigma: z, z, [1.0, 0.0], steps_done=2)
    with pytest.raises(ValueError, match="z_VCFHW has 1 views; it must have 2"):
        request.denoiser(guidance=text_guidance(2.0))(z[:1], 0.5)
    request.reference_noise = short
    with pytest.raises(ValueError, match=r"reference_noise_CFHW is of shape \(5, 2, 10, 14\)"):
        request.denoiser(reference=True, guidance=reference_guidance())
    request.reference = short
    with pytest.raises(ValueError, match=r"reference_CFHW has shape \(5, 2, 10, 14\); it must"):
        request.denoiser(reference=True, guidance=reference_guidance())(z, 0.5)


# ---- clips --------------------------------------------------------------------------------------


def test_clips_take_the_nearest_picture_in_time():
    clip = np.zeros((30, 4, 6, 3), np.uint8)
    clip[..., 0] = np.arange(30)[:, None, None]
    slower = fit_clip(clip, 6, 4, 9, clip_fps=24, fps=8)
    assert slower[:, 0, 0, 0].tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 24]
    ntsc = fit_clip(clip, 6, 4, 9, clip_fps=Fraction(30000, 1001), fps=15)
    assert ntsc[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    faster = fit_clip(clip, 6, 4, 5, clip_fps=10, fps=20)
    assert faster[:, 0, 0, 0].tolist() == [0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match=r"has 30 pictures; 17 pictures .* need 49"):
        fit_clip(clip, 6, 4, 17, clip_fps=24, fps=8)


@pytest.mark.parametrize("rate", [0, -8, float("nan"), float("inf"), "fast"])
def test_rates_that_are_none_are_named(rate):
    clip = np.zeros((9, 4, 6, 3), np.uint8)
    with pytest.raises(ValueError, match=f"the rate of clip_THW3 is {rate!r}; it must be a number"):
        fit_clip(clip, 6, 4, 5, clip_fps=rate, fps=8)
    with pytest.raises(ValueError, match=f"^fps is {rate!r}; it must be a number"):
        fit_clip(clip, 6, 4, 5, clip_fps=8, fps=rate)


def test_clips_are_cropped_or_letterboxed():
    clip = np.full((1, 50, 100, 3), 200, np.uint8)
    clip[:, :, :25] = 10  # the left quarter is dark
    cropped = fit_clip(clip, 48, 48, 1)
    assert cropped.shape == (1, 48, 48, 3)
    assert cropped[0, :, 3:].min() > 190  # of 96 columns the middle 48 stay
    boxed = fit_clip(clip, 48, 48, 1, rule="letterbox")
    assert not boxed[0, :11].any()
    assert not boxed[0, -11:].any()
    assert boxed[0, 24, 2, 0] == 10
    assert boxed[0, 24, 40, 0] == 200
