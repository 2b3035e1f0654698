"""Content encodings: undone within bounds, in one piece or as a stream.

`decompress` takes whole bodies and holds no more than `limit` bytes of what comes out of them,
whatever they promise. `Decoder` follows a stream chunk by chunk. Bodies may consist of several
members or frames; one that ends early, or is followed by something else, is an error.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli

from budgetd.errors import CallerFault

if sys.version_info >= (3, 14):  # pragma: no cover -- the suite runs on one version at a time
    from compression import zstd
else:
    from backports import zstd

MOST_LAYERS = 3  # encodings on top of one another
MOST_MEMBERS = 64  # gzip members or zstd frames in one body: each costs a copy of the rest
_SLICE = 256 * 1024
_WINDOW: dict[int, int] = {
    zstd.DecompressionParameter.window_log_max: 25
}  # 32 MiB: nobody asks us for more
_BROKEN = (zlib.error, brotli.error, zstd.ZstdError, EOFError)


class _Machine(Protocol):
    """What decodes one member of a body. `limit` is the most bytes to give at a time."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused(self) -> bytes: ...
    def give(self, data: bytes, limit: int) -> bytes: ...


class _Zlib:
    def __init__(self, window: int) -> None:
        self._machine = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        return self._machine.eof

    @property
    def unused(self) -> bytes:
        return self._machine.unused_data

    def give(self, data: bytes, limit: int) -> bytes:
        return self._machine.decompress(self._machine.unconsumed_tail + data, limit)


class _Zstd:
    def __init__(self) -> None:
        self._machine = zstd.ZstdDecompressor(options=_WINDOW)

    @property
    def eof(self) -> bool:
        return self._machine.eof

    @property
    def unused(self) -> bytes:
        return self._machine.unused_data

    def give(self, data: bytes, limit: int) -> bytes:
        return self._machine.decompress(data, limit)


class _Brotli:
    unused = b""  # brotli itself refuses what follows its end

    def __init__(self) -> None:
        self._machine = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._machine.is_finished())

    def give(self, data: bytes, limit: int) -> bytes:
        return bytes(self._machine.process(data, output_buffer_limit=limit))


def _gzip() -> _Machine:
    return _Zlib(47)  # gzip or zlib by its own header


def _raw_deflate() -> _Machine:
    return _Zlib(-15)


_MACHINES: dict[str, Callable[[], _Machine]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _gzip,
    "br": _Brotli,
    "zstd": _Zstd,
}


class Decoder:
    """Undoes one encoding of a stream. `broken` once what came cannot be it."""

    def __init__(self, encoding: str) -> None:
        make = _MACHINES.get(encoding.strip().lower())
        self._machine = make() if make is not None else None
        self.broken = make is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out of a chunk, in pieces of bounded size. Stops where it breaks."""
        while not self.broken and self._machine is not None and not self._machine.eof:
            try:
                piece = self._machine.give(data, _SLICE)
            except _BROKEN:
                self.broken = True
                return
            if not piece:
                return
            yield piece
            data = b""


def is_coded(encoding: str) -> bool:
    """Whether a Content-Encoding header says that anything was done to the body."""
    return encoding.strip().lower() not in {"", "identity"}


def decompress(data: bytes, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding (several, comma-separated, outermost last). Raises CallerFault: 413,
    415 or 400.
    """
    names = [name for part in encoding.split(",") if (name := part.strip().lower())]
    names = [name for name in names if name != "identity"]
    if len(names) > MOST_LAYERS:
        raise CallerFault(415, "unsupported_encoding", f"more than {MOST_LAYERS} content encodings")
    for name in reversed(names):
        if name not in _MACHINES:
            raise CallerFault(
                415, "unsupported_encoding", f"content encoding {name[:40]!r} is not understood"
            )
        try:
            data = _undo(data, name, limit)
        except _BROKEN as error:
            raise CallerFault(400, "invalid_json", f"the body is not valid {name}") from error
        if len(data) > limit:
            raise too_large(limit)
    return data


def too_large(limit: int) -> CallerFault:
    """The fault of a body above the limit, in bytes."""
    return CallerFault(
        413,
        "request_too_large",
        f"the request body is larger than limits.body_bytes allows: {limit} bytes",
    )


def _undo(data: bytes, name: str, limit: int) -> bytes:
    try:
        return _members(data, _MACHINES[name], limit)
    except zlib.error:
        if name != "deflate":
            raise
        return _members(data, _raw_deflate, limit)  # what some senders mean by it


def _members(data: bytes, make: Callable[[], _Machine], limit: int) -> bytes:
    """Every member of a body, one after the other; at most a slice more than `limit` bytes."""
    plain = bytearray()
    for _ in range(MOST_MEMBERS):
        machine = make()
        while not machine.eof and len(plain) <= limit:
            piece = machine.give(data, _SLICE)
            if not piece and not machine.eof:
                raise EOFError
            plain += piece
            data = b""
        data = machine.unused
        if not data or len(plain) > limit:
            return bytes(plain)
    raise EOFError
