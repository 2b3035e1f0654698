"""Content encodings: every path, bombs, what is cut short, several members, and lies."""

from __future__ import annotations

import gzip
import os
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetd.errors import CallerFault
from budgetd.wire.coding import MOST_MEMBERS, Decoder, decompress, is_coded

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(data) + machine.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
}
PLAIN = b'{"model": "gpt-4o"}' * 50 + os.urandom(5000)


@pytest.mark.parametrize("name", ENCODERS)
def test_each_encoding(name: str) -> None:
    encoding, encode = ENCODERS[name]
    for plain in (PLAIN, b"", b"x", b"y" * MIB):
        assert decompress(encode(plain), encoding, MIB) == plain
        assert decompress(encode(plain), f" {encoding.upper()} ", MIB) == plain


def test_no_encoding() -> None:
    for encoding in ("", " ", "identity", "Identity, identity", ","):
        assert decompress(PLAIN, encoding, MIB) == PLAIN
        assert decompress(b"x" * 9, encoding, 5) == b"x" * 9  # its size is checked where it is read
    assert not is_coded(" Identity ")
    assert not is_coded("")
    assert is_coded("gzip")


def test_several_the_outermost_last() -> None:
    assert decompress(gzip.compress(brotli.compress(PLAIN)), "br, gzip", MIB) == PLAIN
    assert decompress(gzip.compress(PLAIN), "identity, gzip, identity", MIB) == PLAIN
    with pytest.raises(CallerFault) as caught:
        decompress(PLAIN, "gzip, gzip, gzip, gzip", MIB)
    assert caught.value.status == 415
    with pytest.raises(CallerFault):  # in the wrong order
        decompress(gzip.compress(brotli.compress(PLAIN)), "gzip, br", MIB)


@pytest.mark.parametrize("encoding", ["compress", "snappy", "gzip;q=1", "\u00e9"])
def test_an_encoding_nobody_knows(encoding: str) -> None:
    with pytest.raises(CallerFault) as caught:
        decompress(PLAIN, encoding, MIB)
    assert (caught.value.status, caught.value.code) == (415, "unsupported_encoding")


@pytest.mark.parametrize("name", ENCODERS)
def test_a_bomb_costs_no_more_than_the_limit(name: str) -> None:
    encoding, encode = ENCODERS[name]
    bomb = encode(b"\0" * (48 * MIB))
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(CallerFault) as caught:
        decompress(bomb, encoding, 4 * MIB)
    assert time.process_time() - began < 1
    assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    tracemalloc.stop()
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")
    assert str(4 * MIB) in caught.value.message


@pytest.mark.parametrize("name", ENCODERS)
def test_exactly_the_limit(name: str) -> None:
    encoding, encode = ENCODERS[name]
    assert len(decompress(encode(b"z" * 1000), encoding, 1000)) == 1000
    with pytest.raises(CallerFault) as caught:
        decompress(encode(b"z" * 1001), encoding, 1000)
    assert caught.value.status == 413


@pytest.mark.parametrize("name", ENCODERS)
def test_cut_short_anywhere(name: str) -> None:
    encoding, encode = ENCODERS[name]
    whole = encode(PLAIN[:300])
    for cut in range(len(whole)):
        with pytest.raises(CallerFault) as caught:
            decompress(whole[:cut], encoding, MIB)
        assert (caught.value.status, caught.value.code) == (400, "invalid_json")


@pytest.mark.parametrize("name", ENCODERS)
def test_wrong_data_and_what_follows(name: str) -> None:
    encoding, encode = ENCODERS[name]
    for data in (b"{}", PLAIN, b"\xff" * 100, encode(PLAIN) + b"more"):
        with pytest.raises(CallerFault) as caught:
            decompress(data, encoding, MIB)
        assert caught.value.status == 400


@pytest.mark.parametrize("name", ["gzip", "zlib", "zstd"])
def test_members_follow_one_another(name: str) -> None:
    encoding, encode = ENCODERS[name]
    assert decompress(encode(b"one ") + encode(b"") + encode(b"two"), encoding, MIB) == b"one two"
    assert decompress(encode(b"x") * MOST_MEMBERS, encoding, MIB) == b"x" * MOST_MEMBERS
    began = time.process_time()
    with pytest.raises(CallerFault) as caught:
        decompress(encode(b"x") * 300_000, encoding, MIB)
    assert caught.value.status == 400
    assert time.process_time() - began < 2  # each member copies the rest
    with pytest.raises(CallerFault) as caught:
        decompress(encode(b"x" * 600) * 2, encoding, 1000)
    assert caught.value.status == 413


def test_a_window_larger_than_we_give() -> None:
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    machine = zstd.ZstdCompressor(options=options)
    data = machine.compress(b"x" * 1000) + machine.flush()
    with pytest.raises(CallerFault) as caught:
        decompress(data, "zstd", MIB)
    assert caught.value.status == 400


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(ENCODERS)),
    st.binary(max_size=200),
    st.integers(0, 200),
    st.binary(max_size=3),
)
def test_nothing_but_a_callers_fault(name: str, plain: bytes, at: int, noise: bytes) -> None:
    encoding, encode = ENCODERS[name]
    data = encode(plain)
    with suppress(CallerFault):
        decompress(data[:at] + noise + data[at + len(noise) :], encoding, MIB)


@pytest.mark.parametrize("name", ["gzip", "zlib", "br", "zstd"])
def test_a_stream_in_any_pieces(name: str) -> None:
    encoding, encode = ENCODERS[name]
    data = encode(PLAIN + b"\0" * MIB)
    for size in (1, 13, len(data)):
        decoder = Decoder(encoding)
        pieces = [p for i in range(0, len(data), size) for p in decoder.feed(data[i : i + size])]
        assert b"".join(pieces) == PLAIN + b"\0" * MIB
        assert max(map(len, pieces)) < MIB  # brotli may go a little over what it was allowed
        assert not decoder.broken
        assert list(decoder.feed(b"after the end")) == []


def test_a_stream_that_breaks() -> None:
    for encoding in ("gzip", "br", "zstd"):
        decoder = Decoder(encoding)
        assert list(decoder.feed(b"\xff" * 100)) == []
        assert decoder.broken
        assert list(decoder.feed(b"more")) == []
    assert Decoder("nonsense").broken
    assert list(Decoder("nonsense").feed(b"x")) == []
