# SPDX-License-Identifier: Apache-2.0
"""The real preview model behind the real engine: every mode once, at the smallest size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from syncam_engine.devtools.harness import LocalEngine, follow, sample_request
from syncam_engine.link.messages import Done, Preview
from syncam_engine.media.read import read_clip
from syncam_engine.media.write import write_mp4
from syncam_engine.model.presets import get_preset, package_folder
from syncam_engine.sampling.placement import Placement

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        not (package_folder("preview") / "transformer.safetensors").is_file(),
        reason="the preview model's weights are not in this checkout",
    ),
]
PROMPT = "a person walks across a plaza"


@pytest.fixture(scope="module")
def engine():
    with LocalEngine() as running:
        yield running


def run(client, request, clips=()):
    client.submit(request, clips)
    ends, events = follow(client, [request.job_id], 500)
    return ends[request.job_id], events


@pytest.mark.timeout(900)
def test_every_mode(engine, tmp_path):
    client = engine.client()
    request = {"prompt": PROMPT, "steps": 2, "frames": 5, "seed": 3}
    first, events = run(client, sample_request(2, **request))
    assert isinstance(first, Done), first
    assert first.device.startswith(("cpu", "cuda"))
    assert len(first.weights_digest) == 64
    previews = [e for e in events if isinstance(e, Preview)]
    assert {e.index for e in previews} == {0, 1}
    pictures = [read_clip(engine.clip_file(first, k)).frames_THW3 for k in range(2)]
    assert pictures[0].shape == (5, 96, 160, 3)
    assert np.abs(pictures[0].astype(float) - pictures[1]).mean() > 1  # two views, two pictures

    again, _ = run(client, sample_request(2, **request))
    assert [c.digest for c in again.clips] == [c.digest for c in first.clips]

    # What the file says of itself is how this machine ran it.
    placement = read_clip(engine.clip_file(first, 0)).metadata["syncam"]["placement"]
    assert placement == first.placement
    device = first.device.partition(":")[0]
    usual = Placement.default(get_preset("preview"), device)
    assert {**usual.as_used(), "threads": 1} == {**placement, "threads": 1}
    assert placement.get("threads", 1) == 1, "as the engine was started"
    assert placement["matmul_dtype"] in ("float32", "bfloat16"), "never auto"

    start = np.zeros((9, 120, 200, 3), np.uint8)
    start[:, 60:] = 160
    write_mp4(tmp_path / "start.mp4", start, Fraction(24))
    previz = sample_request(2, **request, mode="previz", previz_strength=0.3)
    done, _ = run(client, previz, [tmp_path / "start.mp4"] * 2)
    assert isinstance(done, Done), done
    picture = read_clip(engine.clip_file(done, 1)).frames_THW3
    assert picture[:, 60:].mean() > picture[:, :40].mean() + 30  # it keeps what it started from

    reference = sample_request(2, **request, mode="reference")
    done, _ = run(client, reference, [tmp_path / "start.mp4"])
    assert isinstance(done, Done), done
