# SPDX-License-Identifier: Apache-2.0
"""A hub on this machine: as much of its protocol as a download of one repository needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

COMMIT = "5" * 40


@dataclass
class Hub:
    """One repository, what goes wrong with it, and what was asked for."""

    repo: str
    files: dict[str, bytes]
    drop_after: dict[str, list[int]] = field(default_factory=dict)
    """For a file: after how many bytes each of its next answers breaks off."""
    damaged: set[str] = field(default_factory=set)
    """Files that arrive with their last byte changed."""
    asked: list[tuple[str, int]] = field(default_factory=list)
    """(file, first byte) of every answer, in order."""
    url: str = ""

    def tree(self) -> list[dict]:
        entries = []
        for path, data in self.files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry = {"type": "file", "path": path, "size": len(data), "oid": blob}
            if path.endswith(".safetensors"):
                oid = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 130}
            entries.append(entry)
        return entries


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve the hub on a free port of this machine; its address is `hub.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = urlparse(self.path).path
            if path.startswith(f"/api/models/{hub.repo}/tree/"):
                self._json(hub.tree())
            elif path.startswith(f"/api/models/{hub.repo}"):
                self._json({"id": hub.repo, "sha": COMMIT, "siblings": [], "private": False})
            elif path.startswith(f"/{hub.repo}/resolve/{COMMIT}/"):
                self._file(path.split(f"/{COMMIT}/", 1)[1])
            else:
                self.send_error(404)

        def _json(self, value):
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _file(self, name):
            data = hub.files[name]
            if name in hub.damaged:
                data = data[:-1] + bytes([data[-1] ^ 1])
            wanted = self.headers.get("Range", "bytes=0-")
            first = int(wanted.removeprefix("bytes=").split("-")[0])
            hub.asked.append((name, first))
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - first))
            self.end_headers()
            stop = len(data)
            if hub.drop_after.get(name):
                stop = first + hub.drop_after[name].pop(0)
                self.close_connection = True
            try:
                self.wfile.write(data[first:stop])
            except OSError:
                self.close_connection = True  # the other side is gone, as the test means it to be

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
