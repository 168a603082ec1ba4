# SPDX-License-Identifier: Apache-2.0
"""Rectified flow's times, weights and targets; the shipped configs; averaged weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from syncam_engine.link.errors import SynCamError
from syncam_engine.training import flow
from syncam_engine.training.averaging import AveragedWeights
from syncam_engine.training.config import FlowConfig, TrainConfig
from syncam_engine.training.config_file import config_from_dict, read_config
from syncam_engine.training.estimate import duration, state_bytes

CONFIGS = Path(__file__).parents[2] / "configs"


def draws(config: FlowConfig, count: int = 4000) -> torch.Tensor:
    return flow.draw_times(config, count, torch.Generator().manual_seed(3))


def test_error_in_the_middle_weighs_as_asked_and_the_mean_stays():
    plain = flow.place_weights(FlowConfig(), 12, 20)
    assert torch.equal(plain, torch.ones(12, 20))
    weight_HW = flow.place_weights(FlowConfig(middle_weight=5.0), 12, 20)
    assert weight_HW.mean() == pytest.approx(1.0, rel=1e-5)
    middle, corner = weight_HW[5:7, 9:11].mean(), weight_HW[0, 0]
    assert 4.5 < middle / corner <= 5.0
    for flipped in (weight_HW.flip(0), weight_HW.flip(1)):
        torch.testing.assert_close(weight_HW, flipped)


def test_noise_is_the_papers_line_and_a_time_of_zero_is_clean():
    z0, noise = torch.full((1, 2, 1, 1, 1, 1), 5.0), torch.full((1, 2, 1, 1, 1, 1), -3.0)
    z_t = flow.add_noise(z0, noise, torch.tensor([[0.0, 0.25]]))
    assert z_t.flatten().tolist() == [5.0, 3.0]


def test_noise_of_frames_is_alike_as_asked_and_a_stills_is_as_ever():
    def drawn(shared: float, frames: int) -> torch.Tensor:
        shape = (1, 2, 40, frames, 20, 30)
        return flow.draw_noise(
            FlowConfig(shared_noise=shared), shape, torch.Generator().manual_seed(4)
        )

    noise = drawn(0.4, 3)
    rows = torch.corrcoef(noise.transpose(2, 3).reshape(6, -1))
    wanted = torch.block_diag(*[torch.full((3, 3), 0.4)] * 2) + 0.6 * torch.eye(6)
    assert (rows - wanted).abs().max() < 0.03
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(drawn(0.4, 1), drawn(0.0, 1))


def test_both_predictions_mean_the_same_clean_latents():
    generator = torch.Generator().manual_seed(1)
    z0, noise = (torch.randn(2, 3, 4, 1, 2, 2, generator=generator) for _ in range(2))
    t_BV = torch.tensor([[0.3, 0.3, 0.3], [0.0, 0.8, 0.8]])
    z_t = flow.add_noise(z0, noise, t_BV)
    for prediction in ("x0", "velocity"):
        config = FlowConfig(prediction=prediction)
        output = flow.target(config, z0, noise)
        assert torch.allclose(flow.to_x0(config, output, z_t, t_BV), z0, atol=1e-6)


def test_times_have_their_distribution():
    uniform = draws(FlowConfig(time="uniform"))
    assert 0 < uniform.min() < 0.01
    assert uniform.mean() == pytest.approx(0.5, abs=0.02)
    normal = torch.logit(draws(FlowConfig(time="logit-normal", time_mean=0.4, time_std=1.0)))
    assert normal.mean() == pytest.approx(0.4, abs=0.05)
    assert normal.std() == pytest.approx(1.0, abs=0.05)
    shifted = draws(FlowConfig(time="shifted-uniform", shift=5.0))
    # Half of the sampler's steps lie above 5 * 0.5 / (1 + 4 * 0.5) = 0.833.
    assert (shifted > 0.8333).float().mean() == pytest.approx(0.5, abs=0.03)


def test_weights_are_their_formulas():
    t = torch.tensor([0.05, 0.15, 0.5, 1.0])
    weights = flow.loss_weights(FlowConfig(weight="inverse-time"), t)
    expected = [0.15**-1.5, 0.15**-1.5, 0.5**-1.5, 1.0]
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)
    bell = FlowConfig(time="shifted-uniform", weight="bell", shift=5.0)
    grid = flow.shifted_times(5.0)
    assert flow.loss_weights(bell, grid).mean() == pytest.approx(1.0, rel=1e-5)
    assert flow.loss_weights(bell, grid).min() == 0.0
    assert int(flow.loss_weights(bell, grid).argmax()) == int((grid - 0.5).abs().argmin())
    assert flow.loss_weights(FlowConfig(), t).tolist() == [1, 1, 1, 1]


SHIPPED = ["preview", "preview-autoencoder", "prompt-classifier", "paper", "released"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_are_valid(name):
    config = read_config(CONFIGS / f"{name}.yaml")
    assert config.name == name
    assert len(config.digest()) == 16


def test_paper_config_says_what_the_paper_says():
    config = read_config(CONFIGS / "paper.yaml")
    assert [p.degrees for p in config.phases] == [(0, 60), (30, 90), (60, 120)]
    assert [p.until_step for p in config.phases] == [10000, 20000, 50000]
    weights = {}
    for source in config.data.sources:
        weights[source.kind] = source.weight
    assert weights["rendered"] == 0.6
    assert weights["realestate10k"] + weights["nerfstudio"] == pytest.approx(0.2)
    assert weights["static-clips"] == 0.2
    # Moving cameras give stills alone: without a share of stills they would never be drawn.
    for phase in config.phases:
        assert phase.stills == 0.2
    serves = {source.kind: source.serves for source in config.data.sources}
    assert serves["realestate10k"] == serves["nerfstudio"] == "stills"
    assert serves["rendered"] == serves["static-clips"] == "clips"
    assert config.phase_at(9999).degrees == (0, 60)
    assert config.phase_at(10000).degrees == (30, 90)
    assert config.phase_at(60000).degrees == (60, 120)
    assert config.model.trainable == "new"


def minimal(**changes) -> dict:
    document = {
        "name": "x",
        "data": {"sources": [{"kind": "rendered", "path": "."}]},
        "phases": [{"until_step": 5}],
    }
    return {**document, **changes}


def test_digest_holds_what_must_stay_and_lets_rates_change():
    plain = config_from_dict(TrainConfig, minimal(), "")
    faster = config_from_dict(TrainConfig, minimal(optim={"learning_rate": "1e-2"}), "")
    other = config_from_dict(TrainConfig, minimal(flow={"prediction": "x0"}), "")
    assert plain.digest() == faster.digest() != other.digest()
    assert faster.optim.learning_rate == 0.01


def test_faults_name_their_field():
    for changes, words in (
        ({"phases": []}, "phases is"),
        ({"phases": [{"until_step": 5}, {"until_step": 5}]}, "rising until_step"),
        ({"phases": [{"until_step": 5, "degrees": [60, 30]}]}, "two rising angles"),
        ({"data": {"sources": []}}, "data.sources"),
        ({"data": {}}, "lacks data.'sources'"),
        ({"conditioning": {"reference": 1.5}}, "conditioning.reference is 1.5"),
        ({"conditioning": {"camera_jitter": -0.1}}, "conditioning.camera_jitter is -0.1"),
        ({"model": {"dropout": 2.0}}, "model.dropout is 2"),
        ({"seed": 1.5}, "seed is 1.5; it must be of type int"),
        ({"optim": {"betas": [0.9]}}, "optim.betas"),
        ({"optim": {"betas": [0.9, 1.0]}}, "optim.betas"),
        ({"optim": {"learning_rate": float("inf")}}, "learning_rate is inf; it must be a finite"),
        ({"model": {"fps": -4}}, "model.fps is -4"),
        ({"seed": -1}, "seed is -1"),
        ({"autoencoder": {"width": 12}}, "autoencoder.width is 12; it must be a multiple of 8"),
        ({"autoencoder": {"decoder_blocks": 0}}, "autoencoder.decoder_blocks is 0"),
        ({"autoencoder": {"z_channels": 769}}, "autoencoder.z_channels is 769"),
        (
            {"kind": "classifier", "classifier": {"attributes": {"a": {"b": 5, "c": ["x"]}}}},
            "two classes or more, each a list of words",
        ),
        ({"name": ".."}, "name is '..'"),
    ):
        with pytest.raises(SynCamError, match=words.replace("[", r"\[")):
            config_from_dict(TrainConfig, minimal(**changes), "")


def test_averages_follow_slowly_and_are_put_back():
    layer = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    averaged = AveragedWeights(layer, 0.9)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    averaged.update(layer, 1)  # decay (1+1)/(10+1)
    assert averaged.tensors["weight"].flatten().tolist() == pytest.approx([9 / 11] * 2)
    averaged.update(layer, 10**6)  # decay 0.9
    assert averaged.tensors["weight"][0, 0] == pytest.approx(0.9 * 9 / 11 + 0.1)
    with averaged.used_by(layer):
        assert layer.weight[0, 0].item() == pytest.approx(0.9 * 9 / 11 + 0.1)
    assert layer.weight[0, 0].item() == 1.0


def test_state_memory_counts_only_what_learns():
    layer = torch.nn.Linear(10, 10)
    assert state_bytes(layer, averaged=False) == 4 * 4 * 110
    layer.weight.requires_grad_(False)
    assert state_bytes(layer, averaged=True) == 4 * (2 * 110 + 3 * 10)


def test_durations_are_said_as_people_do():
    said = [duration(s) for s in (12, 600, 4 * 3600, 5 * 86400)]
    assert said == ["12 s", "10 min", "4.0 h", "5.0 days"]
