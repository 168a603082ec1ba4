# SPDX-License-Identifier: Apache-2.0
"""Messages to frames and back, with every limit checked before anything is believed."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from . import limits
from .errors import SynCamError
from .messages import TO_CLIENT, TO_ENGINE, ErrorInfo, Header, Preview, Submit, new_id
from .plain import plain

_TYPE_NAMES = {cls: name for table in (TO_ENGINE, TO_CLIENT) for name, cls in table.items()}
_DECODERS: dict[type[Struct], msgspec.msgpack.Decoder] = {}
_HEADER_DECODER = msgspec.msgpack.Decoder(Header)
_ENCODER = msgspec.msgpack.Encoder()


class Message(NamedTuple):
    header: Header
    body: Any
    buffers: list[bytes]


def encode(
    body: Struct,
    *,
    message_id: str = "",
    parent: str = "",
    job: str = "",
    buffers: Sequence[bytes | memoryview] = (),
) -> list[Any]:
    """Return the frames of a message. A `Preview`'s pixels move into a buffer of their own."""
    if isinstance(body, Preview) and body.rgb8:
        buffers = [body.rgb8]
        body = msgspec.structs.replace(body, rgb8=b"")
    header = Header(
        v=limits.PROTOCOL,
        id=message_id or new_id(),
        type=_TYPE_NAMES[type(body)],
        parent=parent,
        job=job,
    )
    return [_ENCODER.encode(header), _ENCODER.encode(body), *buffers]


def check(body: Struct) -> None:
    """Raise `SynCamError` "message.*" for a body that cannot be sent, or would be refused."""
    cls = type(body)
    try:
        data = _ENCODER.encode(body)
    except (OverflowError, ValueError, TypeError) as error:
        raise SynCamError(
            "message.invalid", f'The "{_TYPE_NAMES[cls]}" message cannot be sent: {error}.'
        ) from error
    if len(data) > limits.MAX_BODY_BYTES:
        raise SynCamError(
            "message.too_large",
            f'The "{_TYPE_NAMES[cls]}" message has {len(data)} bytes, more than '
            f"{limits.MAX_BODY_BYTES}.",
            value=len(data),
            nearest=limits.MAX_BODY_BYTES,
        )
    _decode(_decoder_of(cls), data, f'"{_TYPE_NAMES[cls]}" message')


def decode_header(frames: Sequence[bytes]) -> Header:
    """Read the header alone, in any protocol version; raises `SynCamError` "message.*"."""
    if not frames:
        raise SynCamError("message.empty", "The message has no frames.")
    if len(frames[0]) > limits.MAX_HEADER_BYTES:
        raise SynCamError(
            "message.too_large",
            f"The header has {len(frames[0])} bytes, more than {limits.MAX_HEADER_BYTES}.",
            value=len(frames[0]),
            nearest=limits.MAX_HEADER_BYTES,
        )
    return _decode(_HEADER_DECODER, frames[0], "header")


def decode(frames: Sequence[bytes], table: dict[str, type[Struct]]) -> Message:
    """Check and read a message; `table` is `TO_ENGINE` or `TO_CLIENT`, what this side may hear.

    A client hears plain data only (`link.plain`), and a preview that is as large as it says.

    Raises `SynCamError`: "protocol.version" for another version, "message.unknown" for a type that
    this side does not know, "message.too_large", "message.invalid".
    """
    header = decode_header(frames)
    if header.v != limits.PROTOCOL:
        raise SynCamError(
            "protocol.version",
            f"The message speaks protocol {header.v}; this side speaks {limits.PROTOCOL}.",
            value=header.v,
            nearest=limits.PROTOCOL,
            fix="Install the same SynCam version for the host's plug-in and the engine",
        )
    if header.type not in table:
        raise SynCamError(
            "message.unknown", f'There is no message type "{header.type}".', value=header.type
        )
    if len(frames) < 2:
        raise SynCamError("message.invalid", f'The "{header.type}" message has no body.')
    buffers = list(frames[2:])
    most_in_buffer = limits.CHUNK_BYTES if table is TO_ENGINE else limits.FETCH_CHUNK_BYTES
    largest = max((len(buffer) for buffer in buffers), default=0)
    for what, got, most in (
        ("bytes in the body", len(frames[1]), limits.MAX_BODY_BYTES),
        ("buffers", len(buffers), limits.MAX_BUFFERS),
        ("bytes in a buffer", largest, most_in_buffer),
    ):
        if got > most:
            raise SynCamError(
                "message.too_large",
                f'The "{header.type}" message has {got} {what}, more than {most}.',
                value=got,
                nearest=most,
            )
    cls = table[header.type]
    with _collector_waits():
        body = _decode(_decoder_of(cls), frames[1], f'"{header.type}" message')
        if isinstance(body, Submit):
            _check_depth(body.request.rig, limits.MAX_DEPTH)
    if table is TO_CLIENT:
        body = plain(body)
    if isinstance(body, Preview):
        body = msgspec.structs.replace(body, rgb8=_pixels_of(body, buffers))
    return Message(header, body, buffers)


def _pixels_of(preview: Preview, buffers: list[Any]) -> bytes:
    sides = (preview.width, preview.height)
    pixels = bytes(buffers[0]) if buffers else b""
    is_sized = all(0 < side <= limits.MAX_PREVIEW_PX for side in sides)
    if not is_sized or len(pixels) != preview.width * preview.height * 3:
        raise SynCamError(
            "message.invalid",
            f"A preview of {preview.width}x{preview.height} has {len(pixels)} bytes; it has 3 for "
            f"each pixel, and at most {limits.MAX_PREVIEW_PX} pixels a side.",
        )
    return pixels


def _decoder_of(cls: type[Struct]) -> msgspec.msgpack.Decoder:
    if cls not in _DECODERS:
        _DECODERS[cls] = msgspec.msgpack.Decoder(cls)
    return _DECODERS[cls]


def _decode(decoder: msgspec.msgpack.Decoder, data: bytes, what: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise SynCamError("message.invalid", f"The {what} is not valid: {error}.") from error
    except RecursionError as error:
        raise SynCamError(
            "message.too_deep",
            f"The {what} nests deeper than {limits.MAX_DEPTH} levels.",
            nearest=limits.MAX_DEPTH,
        ) from error


@contextmanager
def _collector_waits() -> Iterator[None]:
    """A body of 2 MiB may hold a million lists: to look for cycles among them again and again, as
    they come, takes five times as long as to read them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _check_depth(value: Any, most: int) -> None:
    """Free-form data (a rig) has no struct that bounds its nesting, so it is walked."""
    level, count = [value], 0
    for _ in range(most):
        inner = []
        for item in level:
            children = item.values() if isinstance(item, dict) else item
            inner += [child for child in children if isinstance(child, (dict, list))]
            if count + len(inner) > limits.MAX_VALUES:
                raise SynCamError(
                    "message.too_large",
                    f"The rig has more than {limits.MAX_VALUES} lists and maps.",
                    nearest=limits.MAX_VALUES,
                )
        if not inner:
            return
        level, count = inner, count + len(inner)
    raise SynCamError("message.too_deep", f"The rig nests deeper than {most} levels.", nearest=most)


def error_info(error: SynCamError) -> ErrorInfo:
    """Turn an error into what goes on the wire; values that it cannot carry become text."""
    info = ErrorInfo(**error.to_dict())
    try:
        _ENCODER.encode(info)
    except (TypeError, ValueError, OverflowError):
        info.value = None if info.value is None else repr(info.value)[:200]
        info.nearest = None if info.nearest is None else repr(info.nearest)[:200]
    return info
