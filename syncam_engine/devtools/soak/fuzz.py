# SPDX-License-Identifier: Apache-2.0
"""atheris against the decoder: `python -m syncam_engine.devtools.soak.fuzz -runs=N CORPUS`."""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from syncam_engine.link import codec
    from syncam_engine.link.errors import SynCamError
    from syncam_engine.link.messages import TO_ENGINE


def one(data: bytes) -> None:
    """The first byte says how long the header is; the rest is the body."""
    if not data:
        return
    cut = 1 + data[0]
    with contextlib.suppress(SynCamError):
        codec.decode([data[1:cut], data[cut:]], TO_ENGINE)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
