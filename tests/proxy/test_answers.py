"""Answers that budgetd gives itself: shapes of both dialects, and who may come again."""

from __future__ import annotations

import json

import pytest

from budgetd.core.pricebook import PriceBook
from budgetd.errors import CallerFault, UpstreamFault
from budgetd.proxy import answers
from budgetd.wire import anthropic, openai_chat
from budgetd.wire.clients import Notice
from budgetd.wire.dialect import Dialect
from tests.e2e.line import ANTHROPIC, OPENAI, complained

DIALECTS: dict[str, Dialect] = {OPENAI: openai_chat.DIALECT, ANTHROPIC: anthropic.DIALECT}
BOTH = pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
FAULTS = (400, 401, 403, 404, 408, 413, 415, 503)
KINDS = {
    OPENAI: {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        503: "server_error",
    },
    ANTHROPIC: {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        503: "overloaded_error",
    },
}


@BOTH
def test_every_fault_of_a_caller_is_an_error_of_its_dialect(name: str) -> None:
    for status in FAULTS:
        answer = answers.complain(DIALECTS[name], CallerFault(status, "a_code", "do that"))
        assert answer.status == status
        assert isinstance(answer.body, bytes)
        assert complained(name, status, answer.headers, answer.body) == "budgetd: do that"
        kind = json.loads(answer.body)["error"]["type"]
        assert kind == KINDS[name].get(status, "invalid_request_error")


@BOTH
def test_what_passes_by_itself_may_be_asked_again(name: str) -> None:
    dialect = DIALECTS[name]
    for status in (408, 503):
        again = answers.complain(dialect, CallerFault(status, "x", "x"))
        assert (again.headers["x-should-retry"], again.headers["retry-after"]) == ("true", "2")
    for fault in (CallerFault(400, "x", "x"), CallerFault(503, "no_credential", "x")):
        never = answers.complain(dialect, fault)
        assert never.headers["x-should-retry"] == "false"
        assert "retry-after" not in never.headers


@BOTH
def test_a_provider_that_is_not_reached(name: str) -> None:
    dialect = DIALECTS[name]
    nothing = answers.unreachable(dialect, UpstreamFault("gone", sent=False), "c1")
    assert (nothing.status, nothing.headers["x-should-retry"]) == (502, "true")
    assert nothing.headers["x-budgetd-call"] == "c1"
    perhaps = answers.unreachable(dialect, UpstreamFault("gone", sent=True), None)
    assert (perhaps.status, perhaps.headers["x-should-retry"]) == (504, "false")
    assert "x-budgetd-call" not in perhaps.headers


@BOTH
def test_faults_of_ours(name: str) -> None:
    dialect = DIALECTS[name]
    assert answers.store_fault(dialect).status == 503
    assert answers.store_fault(dialect).headers["x-should-retry"] == "true"
    broken = answers.internal(dialect)
    assert (broken.status, broken.headers["x-should-retry"]) == (500, "false")


@BOTH
def test_a_refusal_carries_its_call(name: str) -> None:
    notice = Notice("spent", "Usage limit reached: x", "x", None, {"origin": "budgetd"})
    answer = answers.refusal(DIALECTS[name], notice, "unknown", "c1")
    assert answer.status == 429
    assert answer.headers["x-budgetd-call"] == "c1"
    assert "x-budgetd-session" not in answer.headers
    named = answers.refusal(DIALECTS[name], notice, "unknown", "c1", "s1")
    assert named.headers["x-budgetd-session"] == "s1"
    assert "retry-after" not in answer.headers
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body)["error"]["budgetd"] == {"origin": "budgetd"}


def test_a_provider_without_a_catalogue_lists_no_models() -> None:
    answer = answers.model_list(PriceBook({}, "x", "2026-01-01"), "nobody")
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {"object": "list", "data": []}


def test_a_problem_of_our_own_api() -> None:
    answer = answers.problem(401, "admin_token_required", "words")
    assert answer.content_type == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert json.loads(answer.text or "") == {
        "type": "about:blank",
        "title": "admin_token_required",
        "status": 401,
        "detail": "words",
    }
