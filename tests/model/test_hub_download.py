# SPDX-License-Identifier: Apache-2.0
"""Downloads from a hub on this machine, with the hub's real client: killed, broken off, damaged."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model.hub_server import COMMIT, Hub, serving

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
REPO = "some-one/Base-Model"
BIG = "transformer/model.safetensors"
CHUNK = 10 * 2**20  # the client writes whole chunks of this many bytes
CODE = """
import os, sys
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.hub_files import find_base
kill_at, said = float(sys.argv[2]), []
def say(fraction, text):
    said.append((fraction, text))
    if fraction >= kill_at:
        os._exit(9)
try:
    folder = find_base(sys.argv[1], say, "Its-Licence")
except SynCamError as error:
    print(error.code, error)
else:
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions) and fractions[-1:] in ([1.0], []), fractions
    assert not said or ("Its-Licence" in said[0][1] and sys.argv[1] in said[-1][1]), said
    print("found", folder, len(said) > 3)
"""


def find_base(url: str, tmp_path: Path, kill_at: float = 2.0) -> subprocess.CompletedProcess[str]:
    """Run `find_base` in a process of its own, which dies once `kill_at` of all is there."""
    env = {
        **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
        "HF_ENDPOINT": url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SYNCAM_MODELS_DIR": str(tmp_path / "models"),
        "PYTHONPATH": str(ROOT),
    }
    env.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(
        [sys.executable, "-c", CODE, REPO, str(kill_at)], env=env, cwd=tmp_path,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def hub():
    files = {
        "model_index.json": b'{"_class_name": "WanPipeline"}',
        "tokenizer/tokenizer.json": b"{}" * 1000,
        BIG: random.Random(3).randbytes(2 * CHUNK + CHUNK // 2),
        "README.md": b"not wanted",
    }
    with serving(Hub(REPO, files)) as running:
        yield running


def test_a_killed_download_goes_on_where_it_stopped(hub, tmp_path):
    killed = find_base(hub.url, tmp_path, kill_at=0.7)
    assert killed.returncode == 9, killed.stderr
    part = tmp_path / "models" / f".Base-Model-{COMMIT[:12]}" / (BIG + ".part")
    have = part.stat().st_size
    assert have > 0
    assert not (tmp_path / "models" / "Base-Model").exists()

    hub.asked.clear()
    hub.drop_after[BIG] = [CHUNK + 1000]  # and the connection breaks once more on the way
    done = find_base(hub.url, tmp_path)
    folder = tmp_path / "models" / "Base-Model"
    assert done.stdout.strip() == f"found {folder} True", done.stdout + done.stderr
    assert [first for name, first in hub.asked if name == BIG] == [have, have + CHUNK]
    for name, data in hub.files.items():
        if name == "README.md":
            assert not (folder / name).exists()
        else:
            assert (folder / name).read_bytes() == data
    assert not list((tmp_path / "models").rglob("*.part"))

    hub.asked.clear()
    again = find_base(hub.url, tmp_path, kill_at=0.0)  # it is there: nothing is asked or said
    assert again.stdout.strip() == f"found {folder} False", again.stdout + again.stderr
    assert not hub.asked


def test_a_damaged_file_is_thrown_away(hub, tmp_path):
    hub.damaged.add(BIG)
    refused = find_base(hub.url, tmp_path)
    assert refused.stdout.startswith("weights.damaged"), refused.stdout + refused.stderr
    assert BIG in refused.stdout
    assert not list((tmp_path / "models").rglob("*.safetensors*"))
    hub.damaged.clear()
    assert find_base(hub.url, tmp_path).stdout.startswith("found")


def test_a_hub_that_does_not_answer_is_said_with_what_to_put_where(tmp_path):
    refused = find_base("http://127.0.0.1:9", tmp_path)
    assert refused.stdout.startswith("weights.offline"), refused.stdout + refused.stderr
    assert f"hf download {REPO}" in refused.stdout
    assert str(tmp_path / "models" / "Base-Model") in refused.stdout
