# SPDX-License-Identifier: Apache-2.0
"""The hard limits of the wire. They are part of the protocol (docs/protocol.md).

A message beyond them is refused before it is understood. They are wide: what a model can do is in
its envelope (`link.envelope`), which is narrower and answers with the nearest valid value.
"""

from __future__ import annotations

PROTOCOL = 3
"""Version of the wire. Both sides must have the same; `hello` is answered in any version."""

MIB = 1024 * 1024

MAX_HEADER_BYTES = 1024
MAX_BODY_BYTES = 2 * MIB
MAX_BUFFERS = 4
CHUNK_BYTES = MIB
"""Bytes in one chunk of an upload; also the largest buffer that the engine takes."""
FETCH_CHUNK_BYTES = 2 * MIB
"""Bytes in one chunk of a fetch at most; also the largest buffer that a client takes."""
MAX_DEPTH = 12
"""Nesting of maps and lists in a body."""
MAX_FRAME_BYTES = 2 * MIB + 1024
"""What the socket itself takes for one frame (ZMQ_MAXMSGSIZE): it drops the peer beyond it."""

MAX_ID_CHARS = 64
ID_PATTERN = r"^[A-Za-z0-9_-]{8,64}\Z"
"""Job and client ids. They name folders and rows, so nothing else is let through."""
DIGEST_PATTERN = r"^[0-9a-f]{64}\Z"
MAX_NAME_CHARS = 200
MAX_PROMPT_CHARS = 4000
MAX_VIEWS = 32
MAX_FRAMES = 1001
MAX_INPUTS = MAX_VIEWS
MAX_SYNC_JOBS = 256

MAX_SIDE_PX = 16384
"""Of a clip that a client takes."""
MAX_PREVIEW_PX = 1024
"""Of a preview that a client takes."""
MAX_TEXT_CHARS = 4000
"""Of a text that a client takes; what is longer is cut."""
MAX_VALUES = 200_000
"""Numbers, texts and containers in a body that a client takes."""
MAX_NOTICES = 256
"""Of one job, that a client takes."""
MAX_PRESETS = 64
"""That a client takes from one engine."""

HIGH_WATER_SEND = 64
"""Messages that wait for one slow reader; more are dropped, and `sync` makes up for them."""
HIGH_WATER_RECEIVE = 16
HIGH_WATER_CLIENT = 64
"""Messages that wait in a client that does not read, such as a host in the middle of a render."""
MAX_UNREAD_BYTES = 64 * MIB
"""What may have come to a client that it has not read yet, unfinished messages included."""
FETCH_BYTES = 8 * MIB
"""What one `fetch` may ask for; it is answered in chunks."""
CREDIT_BYTES = 16 * MIB
"""What a client may have asked for and not yet received and dealt with."""
UPLOAD_CREDIT_CHUNKS = 4
"""Chunks of an input that may be under way without an answer."""

MAX_JOBS_PER_CLIENT = 64
"""Jobs of one client that wait or run."""
MAX_KEPT_JOBS_PER_CLIENT = 50_000
"""Jobs of one client in all: those that ended count until they are removed."""
MAX_INPUTS_PER_CLIENT = 4096
"""Whole inputs of one client at a time, however small."""
PAGE_BYTES = MIB
"""Bytes of the jobs that one answer lists; the rest is on the next page, or in the next `sync`."""
MAX_DISK_BYTES_PER_CLIENT = 20 * 1024 * MIB
MAX_UPLOAD_BYTES = 2 * 1024 * MIB
MAX_CLIP_BYTES = 2 * 1024 * MIB

SYNC_INTERVAL_S = 1.0
RESEND_AFTER_S = 5.0
SILENCE_S = 8.0
"""An engine that says nothing for so long, although asked, is lost."""
