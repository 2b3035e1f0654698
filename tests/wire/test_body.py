"""Bodies: what is not changed on purpose is the same bytes; what cannot be read is the caller's fault."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetd.errors import CallerFault
from budgetd.wire.body import Body, elements, parse

SPACES = st.text(" \t\r\n", max_size=3)
NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "1e999",
        "-1E-999",
        "1.50",
        "12345678901234567890123456789",
        "9" * 5000,
        "1e+5",
        "-7",
    ]
)
STRINGS = st.one_of(
    st.text(max_size=8).map(lambda t: json.dumps(t, ensure_ascii=False)),
    st.text(max_size=8).map(json.dumps),
    st.sampled_from(
        [
            r'"\ud83d"',
            r'"\udc00x"',
            r'"\uD83D\uDE00"',
            r'"\/\b\f\n\r\t\"\\"',
            r'"A\u0041"',
            '"\x7f"',
        ]
    ),
)
SCALARS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["true", "false", "null", "[]", "{}"]))


@st.composite
def spaced(draw: st.DrawFn, value: str) -> str:
    return draw(SPACES) + value + draw(SPACES)


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    """JSON text with odd whitespace."""
    if depth == 0 or draw(st.booleans()):
        return draw(SCALARS)
    inner = [draw(spaced(draw(values(depth - 1)))) for _ in range(draw(st.integers(0, 3)))]
    if draw(st.booleans()):
        return "[" + ",".join(inner) + "]" if inner else "[" + draw(SPACES) + "]"
    members = [draw(spaced(draw(STRINGS))) + ":" + one for one in inner]
    return "{" + (",".join(members) if members else draw(SPACES)) + "}"


@st.composite
def objects(draw: st.DrawFn) -> tuple[bytes, dict[str, bytes]]:
    """An object's bytes, and what its top level means: the last of equal keys wins."""
    meant: dict[str, bytes] = {}
    parts = []
    for _ in range(draw(st.integers(0, 5))):
        key = draw(
            st.one_of(STRINGS, st.sampled_from(['"model"', '"mod\\u0065l"', '"n"', '"max_tokens"']))
        )
        value = draw(values())
        parts.append(draw(spaced(key)) + ":" + draw(spaced(value)))
        meant[json.loads(key)] = value.encode("utf-8", "surrogatepass")
    text = "{" + (",".join(parts) if parts else draw(SPACES)) + "}"
    bom = draw(st.sampled_from(["", "", "\ufeff"]))
    return (bom + draw(spaced(text))).encode("utf-8", "surrogatepass"), meant


def top(data: bytes) -> dict[str, bytes]:
    """Every top-level value's own bytes, by an independent reading."""
    text, found = data.decode("utf-8", "surrogatepass"), {}
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    at = 1
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        _, end = decoder.raw_decode(text, at + 1)
        found[key] = text[at + 1 : end].encode("utf-8", "surrogatepass")
        at = end + 1 if text[end] == "," else end
    assert at == len(text) - 1
    return found


@settings(max_examples=600, deadline=None)
@given(objects())
def test_every_value_is_the_same_bytes(case: tuple[bytes, dict[str, bytes]]) -> None:
    data, meant = case
    body = parse(data)
    assert body.size == len(data)
    assert top(body.emit({})) == meant
    for name, value in meant.items():
        assert name in body
        assert body.raw(name) == bytes(body.view(name)) == value


@settings(max_examples=300, deadline=None)
@given(
    objects(),
    st.dictionaries(st.sampled_from(["model", "n", "new"]), st.sampled_from([None, 5, "x"])),
)
def test_emit_changes_only_what_it_says(
    case: tuple[bytes, dict[str, bytes]], changes: dict[str, Any]
) -> None:
    data, meant = case
    body = parse(data)
    out = body.emit(changes)
    for name, value in changes.items():
        if value is None:
            meant.pop(name, None)
        else:
            meant[name] = json.dumps(value).encode()
    assert top(out) == meant
    assert list(top(out))[: len(top(body.emit({})))] == list(top(out))[: len(top(body.emit({})))]
    assert body.emit({}) == parse(data).emit({})  # and the body itself stays as it was


def test_order_stays_and_additions_come_last() -> None:
    body = parse(b'{"b": 1, "a" : [ 2 ] , "c":3}')
    assert body.emit({"a": None, "z": True}) == b'{"b":1,"c":3,"z":true}'
    odd = parse('\ufeff{"b": 1, "a" : [ 2 ] , "c":3}'.encode())
    assert odd.emit({"a": None, "z": True}) == b'{"b":1,"c":3,"z":true}'


def test_raw_lone_surrogates_and_bytes_that_are_no_utf8() -> None:
    data = b'{"a": "\xed\xa0\xbd", "b": "\xff"}'
    assert parse(data).emit({}) == b'{"a":"\xed\xa0\xbd","b":"\xff"}'
    odd = b'{"s": "\\ud83d", "a": "\xed\xa0\xbd"}'
    assert parse(odd).emit({}) == b'{"s":"\\ud83d","a":"\xed\xa0\xbd"}'
    assert parse(odd).get("s") == "\ud83d"


NOT_JSON = [
    b"",
    b" ",
    b"[]",
    b"5",
    b'"x"',
    b"null",
    b"{",
    b'{"a"',
    b'{"a":',
    b'{"a":1',
    b'{"a":1,',
    b'{"a":1,}',
    b'{,"a":1}',
    b"{,}",
    b'{"a":1 "b":2}',
    b'{"a":1}x',
    b"{a:1}",
    b"{1:1}",
    b"{'a':1}",
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":[NaN]}',
    b'{"s":"\\ud83d","a":NaN}',
    b'{"a":01}',
    b'{"a":.5}',
    b'{"a":"\x01"}',
    b'{"a":"\\x"}',
    b'{"a":tru}',
    b'{"s":"\\ud83d","a":"\xff"}',
    b"\xff\xfe{\x00}\x00",
    '\ufeff[{"a":1}]'.encode(),
    b"\xef\xbb\xbf",
    b'{"a":' + b"[" * 1_000_000,
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"s":"\\ud83d","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
]


@pytest.mark.parametrize("data", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_no_object(data: bytes) -> None:
    with pytest.raises(CallerFault) as caught:
        parse(data)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")
    assert len(caught.value.message) < 200


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=40), objects().map(lambda c: c[0]), st.text(max_size=30).map(str.encode)
    ),
    st.integers(0, 60),
    st.binary(max_size=2),
)
def test_nothing_else_is_ever_raised(data: bytes, at: int, noise: bytes) -> None:
    try:
        body = parse(data[:at] + noise + data[at:])
    except CallerFault:
        return
    for name in ("model", "n", "max_tokens"):
        for read in (body.get, body.text, body.flag, body.count, body.words):
            with suppress(CallerFault):
                read(name)
    parse(body.emit({}))


def test_typed_values() -> None:
    body = parse(
        b'{"t":"x","n":null,"b":true,"c":1024.0,"i":7,"z":0,"l":[1],"f":1e999,"h":1e300,"m":-1,'
        b'"g":9007199254740992,"k":9007199254740991,"half":0.5,"big":' + b"9" * 30 + b"}"
    )
    assert (body.text("t"), body.text("n"), body.text("absent")) == ("x", None, None)
    assert (body.flag("b"), body.flag("n"), body.flag("absent")) == (True, False, False)
    assert (body.count("c"), body.count("i"), body.count("z"), body.count("n")) == (
        1024,
        7,
        0,
        None,
    )
    assert (body.count("absent"), body.count("k"), body.get("l")) == (None, 2**53 - 1, [1])
    assert (body.raw("absent"), bytes(body.words("absent")), "absent" in body) == (b"", b"", False)
    assert bytes(body.view("absent")) == b""
    for name in ("t", "b", "l", "f", "h", "m", "g", "half", "big"):
        with pytest.raises(CallerFault, match=name):
            body.count(name)
    for read, names in ((body.text, ["b", "i", "l"]), (body.flag, ["t", "i", "l", "z"])):
        for name in names:
            with pytest.raises(CallerFault) as caught:
                read(name)
            assert (caught.value.status, caught.value.code) == (400, "invalid_request")


@pytest.mark.parametrize("value", [b'"\xff"', b"9" * 5000, b"[" * 1100 + b"]" * 1100])
def test_a_value_that_decides_is_read_or_refused(value: bytes) -> None:
    import msgspec

    body = Body({"messages": msgspec.Raw(value)}, len(value))
    with pytest.raises(CallerFault) as caught:
        body.get("messages")
    assert caught.value.code == "invalid_json"
    assert body.emit({}) == b'{"messages":' + value + b"}"


def test_no_word_hides_behind_an_escape() -> None:
    def seen(text: str) -> bytes:
        return bytes(parse(b'{"m":' + text.encode() + b"}").words("m"))

    assert seen(r'{"type":"im\u0061ge"}') == b'{"type": "image"}'
    assert seen(r'{"typ\u0065":"im\u0041ge\ud83d"}') == rb'{"type": "imAge\ud83d"}'
    assert seen(r'["\\\u0061"]') == rb'["\\a"]'
    for plain in (r'["\\u0061"]', r'["\u00e9\u001b"]', '["é"]', r'["\u2028"]'):  # nothing to undo
        assert seen(plain) == plain.encode()
    body = parse(rb'{"m":["\u0061"]}')
    assert body.words("m") is body.words("m")


@given(st.lists(values(), max_size=4), st.booleans())
def test_the_values_of_an_array_are_their_own_bytes(raws: list[str], odd: bool) -> None:
    raws = [*raws, *([r'"\ud83d"'] if odd else [])]
    body = parse(('{"m": [ ' + " ,\n".join(raws) + " ]}").encode("utf-8", "surrogatepass"))
    found = elements(body.view("m"))
    assert found is not None
    assert [bytes(one).decode("utf-8", "surrogatepass") for one in found] == raws


@pytest.mark.parametrize(
    "value",
    [
        "{}",
        "5",
        '"x"',
        "null",
        "[1,]",
        "[1 2]",
        "[1",
        "[" * 100_000,
        r'["\ud83d" 1]',
        r'["\ud83d",]',
    ],
)
def test_what_is_no_array(value: str) -> None:
    assert elements(memoryview(value.encode())) is None


def test_deep_arrays_with_odd_strings_and_what_is_not_utf8() -> None:
    deep = rb'["\ud83d", ' + b"[" * 100_000 + b"]"
    assert elements(memoryview(deep)) is None
    assert elements(memoryview(rb'["\ud83d", "' + b'\xff"]')) is None


def test_the_names_of_the_fields() -> None:
    assert list(parse(b'{"b": 1, "a": 2, "b": 3}').names) == ["b", "a"]
