# SPDX-License-Identifier: Apache-2.0
"""Samples: drawn by seed and step alone, from every kind of scene; broken files are named."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from syncam_engine.data.draw import Draw, cameras_of, draw_views, fit_pictures
from syncam_engine.data.latents import LatentStore, encode_source, open_store
from syncam_engine.data.mixture import BatchRequest, Mixture, uneven_or_empty
from syncam_engine.link.errors import SynCamError
from tests.data.synthetic import BoxSource, make_scene

REQUEST = BatchRequest(views=3, frames=5, stills=0.5, batch=1, stills_batch=2)


def mixture(*sources, seed=11, **options) -> Mixture:
    pairs = [(s, 1.0) for s in sources]
    return Mixture(pairs, seed=seed, width_px=64, height_px=32, **options)


def test_a_batch_follows_from_seed_step_and_process_alone():
    first, second = mixture(BoxSource()), mixture(BoxSource())
    later = [second.batch(REQUEST, step=k) for k in (7, 2)][1]
    for a, b in zip(first.batch(REQUEST, step=2), later, strict=True):
        assert (a.key, a.caption) == (b.key, b.caption)
        assert (a.pictures_VTHW3 == b.pictures_VTHW3).all()
        assert (a.c2w_cv_m_VF44 == b.c2w_cv_m_VF44).all()
    other = [mixture(BoxSource(), seed=12).batch(REQUEST, step=k)[0].key for k in range(9)]
    assert other != [first.batch(REQUEST, step=k)[0].key for k in range(9)]


def test_processes_get_the_same_kind_but_other_scenes():
    data = mixture(BoxSource(scenes=40))
    for step in range(8):
        a, b = (data.batch(REQUEST, step=step, rank=r) for r in (0, 1))
        assert a[0].pictures_VTHW3.shape == b[0].pictures_VTHW3.shape
    keys = [[data.batch(REQUEST, step=k, rank=r)[0].key for k in range(12)] for r in (0, 1)]
    assert keys[0] != keys[1]


def test_micro_batches_of_a_step_are_drawn_apart():
    data = mixture(BoxSource(scenes=40))
    request = replace(REQUEST, stills=1.0, stills_batch=6)
    keys = [[s.key for s in data.batch(request, step=4, micro=m)] for m in range(3)]
    assert keys[0] != keys[1] != keys[2] != keys[0]


def test_the_anchor_of_a_set_is_view_0_and_the_others_come_in_any_order():
    sets = [(3, 0, 1), (2, 4, 0)]
    drawn = {
        draw_views(make_scene(0), np.random.default_rng(k), views=3, frames=5, sets=sets).cameras
        for k in range(40)
    }
    assert drawn == {(3, 0, 1), (3, 1, 0), (2, 4, 0), (2, 0, 4)}


def test_a_moving_cameras_pose_and_lens_are_those_of_each_latent_frames_picture():
    scene = make_scene(1, cameras=3, frames=17)
    c2w = np.repeat(scene.c2w_cv_m_CT44, 17, axis=1)
    K = np.repeat(scene.K_CT33, 17, axis=1)
    c2w[:, :, 0, 3] += np.arange(17)
    K[:, :, 0, 0] += np.arange(17)
    moving = replace(scene, c2w_cv_m_CT44=c2w, K_CT33=K)
    draw = Draw(cameras=(2, 0), start=3, frames=9, caption="")
    K_VF33, c2w_VF44 = cameras_of(moving, draw)
    for view, camera in enumerate(draw.cameras):
        first = scene.c2w_cv_m_CT44[camera, 0, 0, 3]
        assert c2w_VF44[view, :, 0, 3] == pytest.approx([first + k for k in (3, 7, 11)], abs=1e-5)
        focal = scene.K_CT33[camera, 0, 0, 0]
        assert K_VF33[view, :, 0, 0] == pytest.approx([focal + k for k in (3, 7, 11)], abs=1e-4)


def test_a_step_does_not_repeat_the_draws_of_the_one_before():
    data = mixture(BoxSource(scenes=400))
    request = replace(REQUEST, views=2, stills=1.0, stills_batch=8)
    steps = [{s.key for s in data.batch(request, step=k)} for k in range(40)]
    again = sum(len(a & b) for a, b in pairwise(steps))
    assert again < 20  # chance alone is 39 x 8 x 8 / 400, about 6


def test_a_source_with_few_scenes_for_its_weight_is_named():
    many, few = BoxSource(scenes=40), BoxSource(scenes=4)
    many.name, few.name = "many", "few"
    data = Mixture([(many, 1.0), (few, 1.0)], seed=1, width_px=64, height_px=32)
    draws = data.draws(REQUEST, 1)
    assert [str(d) for d in draws] == ["50% from many (40 scenes)", "50% from few (4 scenes)"]
    assert "A scene of few is drawn 10 times as often as one of many" in uneven_or_empty(draws)
    drawn = [s.source for k in range(200) for s in data.batch(replace(REQUEST, stills=1.0), step=k)]
    assert 0.4 < drawn.count("few") / len(drawn) < 0.6
    even = Mixture([(many, 1.0), (few, 0.1)], seed=1, width_px=64, height_px=32)
    assert uneven_or_empty(even.draws(REQUEST, 1)) == ""
    assert uneven_or_empty(mixture(many).draws(REQUEST, 5)) == ""


def test_views_and_cameras_belong_together():
    source = BoxSource()
    for step in range(6):
        sample = mixture(source).batch(replace(REQUEST, stills=0.0), step=step)[0]
        assert sample.pictures_VTHW3.shape == (3, 5, 32, 64, 3)
        assert sample.K_VF33.shape == (3, 2, 3, 3)
        scene = next(s for s in source.scenes if s.key == sample.key)
        index = source.scenes.index(scene)
        for view in range(3):
            poses = scene.c2w_cv_m_CT44[:, 0]
            camera = int(np.argmin(np.abs(poses - sample.c2w_cv_m_VF44[view, 0]).sum((1, 2))))
            shown = [
                source.read_pictures(index, [camera], range(start, start + 5))[0]
                for start in range(13)
            ]
            assert any((s == sample.pictures_VTHW3[view]).all() for s in shown)


def test_stills_share_is_met():
    data = mixture(BoxSource())
    stills = [data.batch(replace(REQUEST, stills=0.3), step=k)[0] for k in range(120)]
    share = np.mean([s.pictures_VTHW3.shape[1] == 1 for s in stills])
    assert 0.18 < share < 0.42


def test_source_weights_are_met():
    a, b = BoxSource(), BoxSource()
    a.name, b.name = "a", "b"
    data = Mixture([(a, 0.8), (b, 0.2)], seed=1, width_px=64, height_px=32)
    names = [data.batch(REQUEST, step=k)[0].source for k in range(150)]
    assert 0.68 < names.count("a") / 150 < 0.9


def hybrid(scenes: int = 3) -> dict[str, BoxSource]:
    """The paper's three kinds of sources, by name."""
    found = {
        "rendered": BoxSource(scenes=scenes),
        "moving": BoxSource(scenes=scenes, cameras=12, frames=1),
        "static": BoxSource(scenes=scenes, cameras=1),
    }
    for name, source in found.items():
        source.name = name
    moving = [replace(s, kind="moving", order=tuple(range(12))) for s in found["moving"].scenes]
    found["moving"].scenes = moving
    found["static"].scenes = [replace(s, kind="static") for s in found["static"].scenes]
    return found


def test_sources_of_stills_and_of_clips_have_their_shares_of_all_samples():
    sources = hybrid()
    data = Mixture(
        [(sources["rendered"], 0.6), (sources["moving"], 0.2), (sources["static"], 0.2)],
        seed=4,
        width_px=64,
        height_px=32,
        serves=["clips", "stills", "clips"],
    )
    drawn = [data.batch(replace(REQUEST, stills=0.2), step=k)[0] for k in range(300)]
    for name, share in (("rendered", 0.6), ("moving", 0.2), ("static", 0.2)):
        clips = [s.pictures_VTHW3.shape[1] > 1 for s in drawn if s.source == name]
        assert len(clips) / 300 == pytest.approx(share, abs=0.08)
        assert set(clips) == {name != "moving"}


def test_broken_scenes_are_skipped_counted_and_named():
    source = BoxSource(scenes=6, broken=(1, 4))
    data = mixture(source)
    keys = {data.batch(REQUEST, step=k)[0].key for k in range(40)}
    assert keys == {"scene-00000", "scene-00002", "scene-00003", "scene-00005"}
    assert len(source.broken) == 2
    assert "scene-00004.tar (cut short)" in source.broken.report()
    found = data.take_broken()
    assert [file.reason for file in found] == ["cut short"] * 2
    assert {file.source for file in found} == {0}
    assert data.take_broken() == []


def test_all_broken_is_one_sentence():
    with pytest.raises(SynCamError, match="20 scenes in a row cannot be read"):
        mixture(BoxSource(scenes=2, broken=(0, 1))).batch(REQUEST, step=0)


def test_angles_that_no_scene_meets_are_said():
    source = BoxSource(scenes=2, cameras=4)
    request = replace(REQUEST, views=4, degrees=(60, 90))
    with pytest.raises(SynCamError, match=r"No scene has 4 views 60 to 90 degrees apart") as error:
        mixture(source, angle_rule="pairwise").batch(request, step=0)
    assert str(error.value).count("2 scenes of boxes cannot give 4 views") == 1


def test_static_clip_is_copied_to_all_views_with_equal_cameras():
    source = BoxSource(scenes=1, cameras=1)
    source.scenes = [replace(source.scenes[0], kind="static")]
    sample = mixture(source).batch(replace(REQUEST, stills=0.0), step=0)[0]
    assert (sample.pictures_VTHW3 == sample.pictures_VTHW3[:1]).all()
    assert (sample.c2w_cv_m_VF44 == sample.c2w_cv_m_VF44[:1]).all()


def test_moving_video_views_are_at_most_so_many_frames_apart():
    scene = replace(
        make_scene(0, cameras=30, frames=1), kind="moving", order=tuple(range(0, 210, 7))
    )
    for seed in range(60):
        draw = draw_views(scene, np.random.default_rng(seed), views=4, frames=1, apart=40)
        numbers = [scene.order[c] for c in draw.cameras]
        assert len(set(numbers)) == 4
        assert max(numbers) - min(numbers) <= 40


def test_moving_video_serves_stills_only():
    source = BoxSource(scenes=2, cameras=12, frames=1)
    source.scenes = [replace(s, kind="moving", order=tuple(range(12))) for s in source.scenes]
    sample = mixture(source).batch(replace(REQUEST, stills=0.0), step=0)[0]
    assert sample.pictures_VTHW3.shape[1] == 1


def test_crop_keeps_points_where_K_says():
    pictures = np.zeros((1, 1, 60, 160, 3), np.uint8)
    pictures[0, 0, 30:34, 90:94] = 255
    K = np.array([[[[80.0, 0, 80], [0, 80, 30], [0, 0, 1]]]], np.float32)
    fitted, K_fitted = fit_pictures(pictures, K, 64, 32)
    assert fitted.shape == (1, 1, 32, 64, 3)
    y, x = np.argwhere(fitted[0, 0, :, :, 0] > 100).mean(axis=0) + 0.5
    ray = np.linalg.inv(K[0, 0]) @ [92.0, 32.0, 1.0]
    assert (K_fitted[0, 0] @ ray)[:2] == pytest.approx([x, y], abs=0.5)


@pytest.fixture
def store(tmp_path):
    """A store of made-up latents (means of blocks), and its source."""
    source = BoxSource(scenes=5, broken=(2,))
    open_store(tmp_path, "abc", 64, 32)
    assert encode_source(source, fake_encode, tmp_path, width_px=64, height_px=32) == 4
    return tmp_path, source


def fake_encode(video_VCTHW):
    pooled = torch.nn.functional.avg_pool3d(video_VCTHW[:, :, ::4], (1, 8, 8))
    return torch.cat([pooled, pooled], dim=1)


def test_store_gives_what_was_encoded(store):
    folder, source = store
    read = LatentStore(folder)
    assert len(read.scenes) == 4
    assert len(source.broken) == 1
    pictures = source.read_pictures(3, [4, 1], range(5))
    wanted = fake_encode(torch.from_numpy(pictures).permute(0, 4, 1, 2, 3).float() / 127.5 - 1)
    index = [s.key for s in read.scenes].index("scene-00003")
    assert read.scenes[index].captions == source.scenes[3].captions
    got = torch.from_numpy(read.read_latents(index, [4, 1], 2)).float()
    assert torch.allclose(got, wanted, atol=2e-3)


def test_store_goes_on_and_refuses_another_autoencoder(store):
    folder, source = store
    assert encode_source(source, fake_encode, folder, width_px=64, height_px=32) == 0
    with pytest.raises(SynCamError, match="autoencoder 'abc'"):
        open_store(folder, "other", 64, 32)


def test_store_with_a_cut_file_names_it(store):
    folder, _ = store
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    read = LatentStore(folder)
    assert read.scenes == []
    assert file.name in read.broken.report()


def test_parts_share_the_groups(tmp_path):
    source = BoxSource(scenes=6)
    source.groups = {f"shard-{k}": [2 * k, 2 * k + 1] for k in range(3)}
    for part in ((0, 2), (1, 2)):
        encode_source(source, fake_encode, tmp_path, width_px=64, height_px=32, part=part)
    names = sorted(p.stem for p in tmp_path.glob("*.safetensors"))
    assert names == ["shard-0", "shard-1", "shard-2"]


def test_mirror_images_are_scenes_whose_cameras_see_them(tmp_path):
    source = BoxSource(scenes=3, broken=(1,))
    options = {"width_px": 64, "height_px": 32, "mirror": True}
    open_store(tmp_path, "abc", **options)
    assert encode_source(source, fake_encode, tmp_path, **options) == 4
    read = LatentStore(tmp_path)
    keys = [scene.key for scene in read.scenes]
    assert keys == ["scene-00000", "scene-00000~mirrored", "scene-00002", "scene-00002~mirrored"]
    true, mirrored = read.scenes[2:]
    pictures = read.read_latents(2, [1, 4], 5), read.read_latents(3, [1, 4], 5)
    assert np.array_equal(pictures[0], pictures[1][..., ::-1])
    rng = np.random.default_rng(4)
    for camera in range(5):
        point = np.append(rng.uniform(-1.0, 1.0, 3), 1.0)
        u, v, depth = _projected(true, camera, point)
        assert np.allclose(
            _projected(mirrored, camera, point * (-1.0, 1.0, 1.0, 1.0)),
            (64 - u, v, depth),
            atol=1e-3,
        )
        rotation = mirrored.c2w_cv_m_CT44[camera, 0, :3, :3]
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(rotation) > 0
    with pytest.raises(SynCamError, match="mirror True, this run has False"):
        open_store(tmp_path, "abc", 64, 32)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"format": "syn'])
def test_a_damaged_store_is_one_sentence(tmp_path, text):
    (tmp_path / "store.json").write_text(text)
    for read in (LatentStore, lambda folder: open_store(folder, "abc", 64, 32)):
        with pytest.raises(SynCamError, match=r"store\.json cannot be read: ") as told:
            read(tmp_path)
        assert "syncam data latents" in told.value.fix


def _projected(scene, camera, point_4):
    x, y, z, _ = np.linalg.inv(scene.c2w_cv_m_CT44[camera, 0]) @ point_4
    u, v = scene.K_at(camera, 0)[:2] @ np.array([x / z, y / z, 1.0])
    return u, v, z
