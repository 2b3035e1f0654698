"""The door's checks, one by one, and the account of bodies in memory."""

from __future__ import annotations

import gzip

import pytest
from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request

from budgetd.core.policy import Limits, Patience
from budgetd.errors import CallerFault
from budgetd.proxy.intake import LOOPBACK_HOSTS, Intake, Parcel, check_head

LIMITS = Limits(body_bytes=1000, bodies_bytes=1500)
PATIENCE = Patience(head=5.0)


def asked(path: str = "/v1/messages", host: str = "localhost", **headers: str) -> web.Request:
    """A request's head."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("POST", path, headers={"Host": host} | named)


def fault_of(request: web.Request) -> tuple[int, str] | None:
    """What is wrong with a head: status and code."""
    try:
        check_head(request, LOOPBACK_HOSTS)
    except CallerFault as fault:
        return fault.status, fault.code
    return None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (asked(), None),
        (asked(host="LOCALHOST:80"), None),
        (asked(host="[::1]:80"), None),
        (asked(host="[::1]"), None),
        (asked(host="ip6-localhost"), None),
        (asked(host=""), (403, "wrong_host")),
        (asked(host="localhost:x"), (403, "wrong_host")),
        (asked(host="localhost."), (403, "wrong_host")),
        (asked(host="a.localhost"), (403, "wrong_host")),
        (asked(origin="null"), (403, "browser_request")),
        (asked(origin=""), (403, "browser_request")),
        (asked("*"), (400, "bad_target")),
        (asked("/a/../b"), (400, "bad_target")),
        (asked("/a/%2e%2E/b"), (400, "bad_target")),
        (asked("/a/%25252e./b"), (400, "bad_target")),
        (asked("/a/.."), (400, "bad_target")),
        (asked("/a..b/c.d/...?x=../.."), None),
        (asked(x_note="café ✓"), None),
    ],
)
def test_heads(request_: web.Request, expected: tuple[int, str] | None) -> None:
    assert fault_of(request_) == expected


async def body(data: bytes, **headers: str) -> tuple[Intake, Parcel]:
    """Read a body that is all there."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    payload = StreamReader(_Flow(), 2**16)  # type: ignore[arg-type]  # a protocol that is never paused
    payload.feed_data(data)
    payload.feed_eof()
    request = make_mocked_request("POST", "/", headers=named, payload=payload)
    intake = Intake()
    return intake, await intake.read(request, LIMITS, PATIENCE)


class _Flow:
    """As much of a protocol as a reader wants."""

    _reading_paused = False

    def pause_reading(self) -> None:
        """Never mind."""

    def resume_reading(self, **_: object) -> None:
        """Never mind."""


async def test_a_body_is_accounted_for_until_it_is_dropped() -> None:
    intake, parcel = await body(b"x" * 900)
    assert (parcel.data, intake.held_bytes) == (b"x" * 900, 900)
    parcel.drop()
    parcel.drop()
    assert (parcel.data, intake.held_bytes) == (b"", 0)


async def test_an_encoded_body_is_accounted_for_as_what_it_becomes() -> None:
    intake, parcel = await body(gzip.compress(b"x" * 900), content_encoding="gzip")
    assert (parcel.data, intake.held_bytes) == (b"x" * 900, 900)


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        (b"x" * 1001, {}, 413),
        (b"", {"content_length": "1001"}, 413),
        (gzip.compress(b"x" * 1001), {"content_encoding": "gzip"}, 413),
        (b"plain", {"content_encoding": "gzip"}, 400),
        (b"plain", {"content_encoding": "cake"}, 415),
    ],
    # gzip stamps the time into its bytes: two workers would not collect the same test
    ids=["too long", "says it is", "too long once undone", "no gzip", "no such coding"],
)
async def test_bodies_that_are_refused(data: bytes, headers: dict[str, str], status: int) -> None:
    with pytest.raises(CallerFault) as caught:
        await body(data, **headers)
    assert caught.value.status == status


def test_there_is_room_for_so_many_bytes_and_no_more() -> None:
    intake = Intake()
    first, second = Parcel(intake), Parcel(intake)
    first.grow(900, LIMITS)
    with pytest.raises(CallerFault) as caught:
        second.grow(601, LIMITS)
    assert caught.value.status == 503
    second.grow(600, LIMITS)
    assert intake.held_bytes == 1500
    first.drop()
    second.drop()
    assert intake.held_bytes == 0
