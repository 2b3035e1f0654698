"""The log's lines: their shape, and what may not be in them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from budgetd.cli import logs
from tests.rig import HandClock

TOKEN = "bgd_AbCdEfGhIjKlMnOp"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def log_to(out: io.BytesIO, *, level: str = "info", wanted: logs.Format = "json") -> Any:
    logs.configure(level, wanted, out, HandClock(wall=1_795_000_000_123))
    return structlog.get_logger("test")


def test_json_is_one_object_a_line() -> None:
    out = io.BytesIO()
    log_to(out).info("call", key="a", cost=1_500_000_000_000, cause=None)
    assert json.loads(out.getvalue()) == {
        "at": "2026-11-18T11:06:40.123Z",
        "level": "info",
        "event": "call",
        "key": "a",
        "cause": None,
        "cost_usd": "1.5",
    }
    assert out.getvalue().count(b"\n") == 1


def test_text_is_for_people() -> None:
    out = io.BytesIO()
    log_to(out, wanted="text").warning("call", key="a", cost=4_200_000_000, cause=None)
    line = out.getvalue().decode()
    assert line.startswith("11:06:40 [warning")
    assert "cost=$0.0042" in line
    assert "cause" not in line
    assert "\x1b" not in line  # not a terminal: no colours


def test_auto_is_json_where_nobody_looks() -> None:
    out = io.BytesIO()
    log_to(out, wanted="auto").info("x")
    assert out.getvalue().startswith(b"{")


def test_levels_below_are_silent() -> None:
    out = io.BytesIO()
    log = log_to(out, level="warning")
    log.info("x")
    log.debug("x")
    assert out.getvalue() == b""
    log.error("x")
    assert out.getvalue()


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        "bga_0123456789abc",
        "sk-proj-0123456789",
        "sk-ant-oat01-abcdefgh",
        "gsk_0123456789",
        "AIzaSyA0123456789",
        "Bearer 0123456789abc",
        "bearer opaque.token.value",
        "eyJhbGciOiJIUzI1NiJ9.e30.abc",
    ],
)
@pytest.mark.parametrize("wanted", ["json", "text"])
def test_credentials_are_cut_out(secret: str, wanted: logs.Format) -> None:
    out = io.BytesIO()
    log = log_to(out, wanted=wanted)
    log.info("call", model=f"x {secret}", nested={"headers": [secret]})
    try:
        raise ValueError(f"bad header: {secret}")
    except ValueError:
        log.exception("failed")
    text = out.getvalue().decode()
    assert secret.rpartition(" ")[2] not in text
    assert text.count("(hidden)") >= 3
    assert "ValueError" in text


def test_words_that_only_begin_alike_stay() -> None:
    out = io.BytesIO()
    log_to(out).info("call", model="risk-assessment-model-2", client="ask_me_anything")
    assert b"risk-assessment-model-2" in out.getvalue()
    assert b"ask_me_anything" in out.getvalue()


def test_local_variables_are_not_in_a_traceback() -> None:
    out = io.BytesIO()
    log = log_to(out, wanted="text")
    password = "plain-words-nobody-recognises"
    try:
        raise ValueError(len(password))
    except ValueError:
        log.exception("failed")
    assert b"plain-words" not in out.getvalue()


def test_what_libraries_log_comes_here_too() -> None:
    out = io.BytesIO()
    log_to(out)
    logging.getLogger("aiohttp.server").error("Error for %s", TOKEN)
    logging.getLogger("aiohttp.access").info("noise")
    line = json.loads(out.getvalue())
    assert line["logger"] == "aiohttp.server"
    assert line["event"] == "Error for (hidden)"


def test_a_log_that_nobody_takes_harms_nobody() -> None:
    class Gone(io.BytesIO):
        def write(self, _: object) -> int:
            raise BrokenPipeError

    log_to(Gone()).info("x")
    closed = io.BytesIO()
    log = log_to(closed)
    closed.close()
    log.info("x")


def test_what_json_cannot_say_is_said_as_text() -> None:
    out = io.BytesIO()
    log = log_to(out)
    log.info("x", what=ValueError("odd"))
    log.info("x", broken="\udcff")  # a model's name may hold a lone surrogate
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [lines[0]["what"], lines[1]["broken"]] == ["odd", "\udcff"]
