"""Answers that budgetd gives itself: complaints in the caller's dialect, refusals in its client's
best form, and small talk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from budgetd.core.pricebook import PriceBook
from budgetd.errors import CallerFault, UpstreamFault
from budgetd.wire.clients import Notice, refuse
from budgetd.wire.dialect import Complaint, Dialect

NO_RETRY = {"x-should-retry": "false"}
MAY_RETRY = {"x-should-retry": "true", "retry-after": "2"}


def complain(dialect: Dialect, fault: CallerFault) -> web.Response:
    """A fault of the caller's. Only what may pass by itself is worth a retry."""
    headers = (
        MAY_RETRY if fault.status in {408, 503} and fault.code != "no_credential" else NO_RETRY
    )
    if fault.allow is not None:
        headers = {**headers, "allow": fault.allow}
    return _error(dialect, Complaint(fault.status, fault.code, _ours(fault.message)), headers)


def _ours(message: str) -> str:
    """A message that says whose it is: agents show it among their providers' own."""
    return message if message.startswith("budgetd") else f"budgetd: {message}"


def refusal(
    dialect: Dialect, notice: Notice, family: str, call: str, session: str | None = None
) -> web.Response:
    """A call that was refused: for money, by the kill switch, a cap or a loop."""
    complaint, headers = refuse(notice, family)
    headers |= {"x-budgetd-call": call}
    if session is not None:
        headers["x-budgetd-session"] = session
    return _error(dialect, complaint, headers)


def unreachable(dialect: Dialect, fault: UpstreamFault, call: str | None) -> web.Response:
    """A provider that did not answer: 502, and 504 where it had the request. `call` is None for a
    request that costs nothing.
    """
    status = 504 if fault.sent else 502
    retry = NO_RETRY if fault.sent else MAY_RETRY
    complaint = Complaint(status, "upstream_unreachable", f"budgetd: {fault.message}")
    return _error(dialect, complaint, retry if call is None else {**retry, "x-budgetd-call": call})


def store_fault(dialect: Dialect) -> web.Response:
    """The ledger cannot be written: nothing was sent."""
    complaint = Complaint(
        503,
        "ledger_unavailable",
        "budgetd: the ledger cannot be written, so nothing was sent to the provider",
    )
    return _error(dialect, complaint, MAY_RETRY)


def internal(dialect: Dialect) -> web.Response:
    """A fault of ours."""
    return _error(
        dialect,
        Complaint(500, "internal_error", "budgetd: internal error; its log has the details"),
        NO_RETRY,
    )


def hello(request: web.Request) -> web.Response:
    """`HEAD /` and `/api/hello`: a client wants to know whether somebody is there."""
    return web.json_response({"service": "budgetd", "status": "ok"})


def model_list(book: PriceBook, provider: str) -> web.Response:
    """`GET /v1/models` for a caller without a credential (a gateway's preflight): the models with a
    price.
    """
    known = book.providers.get(provider)
    names = sorted({prices.name for _, prices in known.models.items()}) if known else []
    data = [{"id": name, "object": "model", "created": 0, "owned_by": provider} for name in names]
    return web.json_response({"object": "list", "data": data})


def _error(dialect: Dialect, complaint: Complaint, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=complaint.status,
        body=dialect.error(complaint),
        headers=headers,
        content_type="application/json",
    )


def problem(
    status: int, title: str, detail: str, more: Mapping[str, object] | None = None
) -> web.Response:
    """An error of budgetd's own API: RFC 9457, with `more` members of its kind."""
    told = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return web.Response(
        status=status,
        text=json.dumps(told | dict(more or {})),
        content_type="application/problem+json",
        headers={"cache-control": "no-store"},
    )
