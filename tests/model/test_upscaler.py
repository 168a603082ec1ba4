# SPDX-License-Identifier: Apache-2.0
"""The upscaler: against a plain reading of its layers, and against cubic enlargement."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from syncam_engine.evaluation.pictures import psnr_db
from syncam_engine.model.upscaler import WEIGHTS, Upscaler


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler.load()


def drawing(width: int, height: int) -> np.ndarray:
    """A picture of edges at all angles: bands, a disc and a ring on a slope of colour."""
    v, u = np.mgrid[0:height, 0:width] / height
    picture = np.stack([120 + 60 * u, 90 + 80 * v, 150 - 50 * u], -1)
    disc = np.hypot(u - 0.55, v - 0.45) < 0.2
    ring = np.abs(np.hypot(u - 1.2, v - 0.55) - 0.3) < 0.03
    bands = (np.sin(9 * (u + 0.6 * v)) > 0.75) & (v > 0.7)
    picture[disc], picture[ring], picture[bands] = (210, 70, 40), (30, 40, 60), (235, 230, 200)
    return picture.astype(np.uint8)


def plain(tensors: dict[str, np.ndarray], picture_HW3: np.ndarray) -> np.ndarray:
    """The network written out with numpy alone, in float64: uint8 HW3 -> float 4H 4W 3."""
    x = np.moveaxis(picture_HW3 / 255.0, -1, 0)
    start = x
    for number in range(18):
        weight, bias = tensors[f"body.{2 * number}.weight"], tensors[f"body.{2 * number}.bias"]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        x = np.einsum("chwab,ocab->ohw", windows, weight, optimize=True) + bias[:, None, None]
        if number < 17:
            leak = tensors[f"body.{2 * number + 1}.weight"][:, None, None]
            x = np.where(x > 0, x, leak * x)
    _, height, width = x.shape
    x = x.reshape(3, 4, 4, height, width).transpose(3, 1, 4, 2, 0)
    x = x.reshape(4 * height, 4 * width, 3)
    return x + np.moveaxis(start, 0, -1).repeat(4, 0).repeat(4, 1)


def test_it_is_the_network_that_its_layers_say(upscaler):
    tensors = {k: v.double().numpy() for k, v in load_file(WEIGHTS).items()}
    assert sum(v.size for v in tensors.values()) == 621_424
    picture = drawing(21, 13)
    wanted = plain(tensors, picture)
    got = upscaler(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0)
    assert np.abs(got[0].permute(1, 2, 0).numpy() - wanted).max() < 1e-4


def test_edges_come_out_sharper_than_by_cubic_enlargement(upscaler):
    true = drawing(320, 192)
    small = np.array(Image.fromarray(true).resize((80, 48), Image.Resampling.BOX))
    made = upscaler.enlarge(small[None], 4)[0]
    cubic = np.asarray(Image.fromarray(small).resize((320, 192), Image.Resampling.BICUBIC))
    assert made.shape == true.shape
    assert psnr_db(made[None], true[None]) > psnr_db(cubic[None], true[None]) + 0.2

    def steepest(picture: np.ndarray) -> float:
        return float(np.quantile(np.abs(np.diff(picture.astype(float), axis=1)), 0.999))

    assert steepest(made) > 1.5 * steepest(cubic)


def test_two_times_is_the_mean_of_four_times(upscaler):
    pictures = np.stack([drawing(37, 22), drawing(37, 22)[::-1]])
    four, two = upscaler.enlarge(pictures, 4), upscaler.enlarge(pictures, 2)
    mean = four.reshape(2, 44, 2, 74, 2, 3).mean((2, 4))
    assert two.shape == (2, 44, 74, 3)
    assert np.abs(two - mean).max() <= 1.0
    assert upscaler.enlarge(pictures, 1) is pictures
    with pytest.raises(ValueError, match="factor is 3; it must be 1, 2 or 4"):
        upscaler.enlarge(pictures, 3)


def test_many_pictures_are_the_same_as_each_alone(upscaler, monkeypatch):
    monkeypatch.setattr("syncam_engine.model.upscaler.PIXELS_AT_ONCE", 2 * 37 * 22)
    pictures = np.stack([drawing(37, 22) // (k + 1) for k in range(5)])
    together = upscaler.enlarge(pictures, 2)
    alone = np.concatenate([upscaler.enlarge(p[None], 2) for p in pictures])
    assert np.abs(together.astype(int) - alone).max() <= 1
