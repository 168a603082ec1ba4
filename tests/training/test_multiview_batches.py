# SPDX-License-Identifier: Apache-2.0
"""What a batch of views is made of: references, texts, cameras, scenes; and what is scored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from syncam_engine.data.mixture import BatchRequest, Mixture
from syncam_engine.link.errors import SynCamError
from syncam_engine.sampling.schedule import timestep_of
from syncam_engine.training import sheets
from syncam_engine.training.multiview import MultiViewTask, jittered
from syncam_engine.training.runs import draws_in_words
from tests.data.synthetic import BoxSource, make_scene
from tests.training.small_runs import SMALL, make_trainer, mixture_of, multiview_config

pytestmark = pytest.mark.usefixtures("one_thread")


def test_reference_view_is_clean_and_not_scored(tmp_path, autoencoder_folder):
    trainer = make_trainer(
        tmp_path, autoencoder_folder, conditioning={"reference": 1.0, "text_dropout": 0.0}
    )
    request = replace(trainer.task.request(trainer.config.phases[0]), stills=1.0)
    samples = trainer.mixture.batch(request, step=0)
    batch = trainer.task.prepare(samples, torch.Generator().manual_seed(1))
    assert (batch.t_BV[:, 0] == 0).all()
    assert (batch.t_BV[:, 1:] > 0).all()

    class Broken(torch.nn.Module):
        def forward(self, z, t, cameras, pattern, text):
            output = batch.z0_BVCFHW.clone()
            output[:, 0] = 77.0
            return output

    loss, _ = trainer.task.loss(Broken(), batch)
    assert float(loss) == 0.0


def test_error_in_the_middle_counts_as_the_config_says(tmp_path, autoencoder_folder):
    flow = {"prediction": "x0", "middle_weight": 4.0}
    trainer = make_trainer(tmp_path, autoencoder_folder, flow=flow)
    request = replace(trainer.task.request(trainer.config.phases[0]), stills=1.0)
    samples = trainer.mixture.batch(request, step=0)
    batch = trainer.task.prepare(samples, torch.Generator().manual_seed(1))
    height, width = batch.z0_BVCFHW.shape[-2:]

    def loss_of(y, x):
        output = batch.z0_BVCFHW.clone()
        output[..., y, x] += 1.0
        loss, logged = trainer.task.loss(lambda *_: output, batch)
        assert logged["error_stills"] == pytest.approx(1 / (height * width), rel=1e-4)
        return float(loss)

    assert 2.0 < loss_of(height // 2, width // 2) / loss_of(0, 0) <= 4.0


def test_conditions_are_dropped_as_often_as_the_config_says(tmp_path, autoencoder_folder):
    """Eq. 7 needs all of them: neither, the video alone, and both."""
    shares = {"reference": 0.9, "text_dropout": 0.25}
    trainer = make_trainer(tmp_path, autoencoder_folder, conditioning=shares)
    request = replace(trainer.task.request(trainer.config.phases[0]), stills=1.0, stills_batch=300)
    samples = trainer.mixture.batch(request, step=0)
    batch = trainer.task.prepare(samples, torch.Generator().manual_seed(6))
    clean, empty = batch.t_BV[:, 0] == 0, (batch.text.ids_BL > 0).sum(1) == 1
    assert clean.float().mean() == pytest.approx(0.9, abs=0.06)
    assert empty.float().mean() == pytest.approx(0.25, abs=0.08)
    kinds = {(bool(c), bool(e)) for c, e in zip(clean, empty, strict=True)}
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}


def test_scenes_that_cannot_serve_are_said(tmp_path, autoencoder_folder):
    """A scene with one camera among others; and nothing but such scenes."""
    source, said = BoxSource(scenes=3), []
    source.scenes[1] = make_scene(1, cameras=1)
    make_trainer(tmp_path / "some", autoencoder_folder, source=source, said=said).train(until=1)
    assert any("1 scenes of boxes cannot give 3 views" in text for text in said)
    with pytest.raises(SynCamError, match="No scene has 3 views"):
        make_trainer(tmp_path, autoencoder_folder, source=BoxSource(cameras=1)).train()


def test_what_is_asked_for_and_never_drawn_is_said(autoencoder_folder):
    moving, clips = BoxSource(scenes=2, cameras=12, frames=1), BoxSource(scenes=2)
    moving.name = "moving"
    moving.scenes = [replace(s, kind="moving", order=tuple(range(12))) for s in moving.scenes]

    def said(*sources: BoxSource, stills: float) -> str:
        config = multiview_config(autoencoder_folder, phases=[{"until_step": 4, "stills": stills}])
        mixture = Mixture([(s, 1.0) for s in sources], seed=1, width_px=64, height_px=32)
        task = MultiViewTask(config, clips.scenes)
        return " ".join(draws_in_words(config, task, mixture))

    assert "moving is never drawn" in said(moving, clips, stills=0.0)
    assert "never drawn" not in said(moving, clips, stills=0.5)
    assert "No source gives clips: stills are drawn in their place" in said(moving, stills=0.5)
    assert said(clips, stills=0.5) == ""


def test_jittered_cameras_are_a_little_off_and_stay_cameras(tmp_path, autoencoder_folder):
    conditioning = {"camera_jitter": 0.01}
    trainer = make_trainer(tmp_path, autoencoder_folder, conditioning=conditioning)
    plain = make_trainer(tmp_path / "plain", autoencoder_folder)
    samples = trainer.mixture.batch(trainer.task.request(trainer.config.phases[0]), step=0)
    a, b = (one.task.prepare(samples, torch.Generator().manual_seed(3)) for one in (trainer, plain))
    assert torch.equal(a.z0_BVCFHW, b.z0_BVCFHW)
    away = (a.cameras_BVFSR - b.cameras_BVFSR).abs()
    assert 0.0 < float(away.mean()) < 0.05  # waves of far ground turn fast
    pose = np.array(jittered(samples[0], 0.01, torch.Generator()).c2w_cv_m_VF44)
    given = np.array(samples[0].c2w_cv_m_VF44)
    rotation = pose[..., :3, :3]
    assert np.allclose(rotation @ rotation.swapaxes(-1, -2), np.eye(3), atol=1e-5)
    turned = np.linalg.norm(rotation - given[..., :3, :3], axis=(-2, -1)) / np.sqrt(2.0)
    assert 0.001 < turned.mean() < 0.04
    assert np.allclose(turned, turned[:, :1], atol=1e-5)  # a view is off alike at all moments
    # Copies of a static clip have one camera: what is told of them stays equal too.
    copies = replace(samples[0], c2w_cv_m_VF44=np.repeat(given[:1], len(given), axis=0))
    assert jittered(copies, 0.01, torch.Generator()) is copies


def test_jitter_is_a_share_of_the_distance_and_a_turn_of_the_camera_about_itself(
    autoencoder_folder,
):
    sample = mixture_of(multiview_config(autoencoder_folder)).batch(
        BatchRequest(views=3, frames=5, stills=0.0, batch=1, stills_batch=1), step=0
    )[0]
    given = np.array(sample.c2w_cv_m_VF44, np.float64)
    far = given.copy()
    far[..., :3, 3] *= 10.0
    world = np.eye(4)
    world[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    moved = [
        jittered(replace(sample, c2w_cv_m_VF44=poses), 0.01, torch.Generator().manual_seed(7))
        for poses in (given, far, world @ given)
    ]
    near, farther, turned = (m.c2w_cv_m_VF44 for m in moved)
    away, away_far = near - given, farther - far
    assert np.allclose(away_far[..., :3, 3], 10.0 * away[..., :3, 3], rtol=0.05)
    assert np.linalg.norm(away[..., :3, 3]) > 1e-3
    # In the camera's own axes: a turned world turns alike.
    assert np.allclose(turned[..., :3, :3], (world @ near)[..., :3, :3], atol=1e-12)


def test_captions_of_too_many_words_are_one_sentence(autoencoder_folder):
    words = " ".join(f"{a}{b}zz" for a in "abcdefghijklmnopqrstuvw" for b in "bcdfghklmnprtv")
    scene = replace(make_scene(0), captions=(words,))
    with pytest.raises(SynCamError, match=r"322 words do not fit a table of 256 rows"):
        MultiViewTask(multiview_config(autoencoder_folder), [scene])


def test_patterns_of_cameras_that_move_and_that_stand_go_in_one_batch(autoencoder_folder):
    config = multiview_config(
        autoencoder_folder,
        model={
            "transformer": SMALL,
            "autoencoder": str(autoencoder_folder),
            "camera": {"pattern": "geometric"},
        },
    )
    mixture = mixture_of(config)
    task = MultiViewTask(config, mixture.sources[0][0].scenes)
    request = BatchRequest(views=3, frames=5, stills=0.0, batch=2, stills_batch=1)
    stands, moves = mixture.batch(request, step=0)
    poses = np.array(moves.c2w_cv_m_VF44)
    poses[1, 1, 2, 3] += 0.7
    moves = replace(moves, c2w_cv_m_VF44=poses)
    pattern = task.prepare([stands, moves], torch.Generator()).pattern_BFhKK
    assert pattern.shape[:3] == (2, 2, 6)
    assert torch.equal(pattern[0, 0], pattern[0, 1])
    assert not torch.equal(pattern[1, 0], pattern[1, 1])
    alone = task.prepare([stands, stands], torch.Generator()).pattern_BFhKK
    assert alone.shape[:3] == (2, 1, 6)
    assert torch.equal(alone[0, 0], pattern[0, 1])


def test_the_network_is_told_times_as_the_sampler_tells_them(tmp_path, autoencoder_folder):
    trainer, told = make_trainer(tmp_path, autoencoder_folder), []
    samples = trainer.mixture.batch(trainer.task.request(trainer.config.phases[0]), step=0)
    batch = trainer.task.prepare(samples, torch.Generator().manual_seed(3))
    trainer.net.transformer.register_forward_pre_hook(lambda net, args: told.append(args[1]))
    trainer.task.loss(trainer.net, batch)
    expected = [[timestep_of(float(t)) for t in row] for row in batch.t_BV]
    assert torch.allclose(told[0], torch.tensor(expected))


def test_shared_noise_is_trained_with_sampled_with_and_exported(autoencoder_folder, monkeypatch):
    config = multiview_config(autoencoder_folder, flow={"prediction": "x0", "shared_noise": 1.0})
    mixture = mixture_of(config)
    task = MultiViewTask(config, mixture.sources[0][0].scenes)
    assert task.preset.sampling.shared_noise == 1.0
    request = BatchRequest(views=3, frames=5, stills=0.0, batch=1, stills_batch=1)
    sample = mixture.batch(request, step=0)[0]
    noise = task.prepare([sample], torch.Generator()).noise_BVCFHW
    assert torch.equal(noise[:, :, :, 0], noise[:, :, :, 1])
    begun = []
    monkeypatch.setattr(
        sheets, "run_sampler", lambda denoiser, z, *rest, **options: begun.append(z)
    )
    sheets.sample_latents(task, task.build().eval(), sample, "a red box", seed=3)
    assert torch.equal(begun[0][:, :, 0], begun[0][:, :, 1])
    assert not torch.equal(begun[0][0], begun[0][1])
