"""Error answers: bodies in each dialect's shape, and the headers of rate limits.

Owns what a client sees when the provider says no: for a `Refusal` that the provider itself
raises, and for a status that a script asks for. Retry hints come in every form that is met in
the field: seconds, HTTP date, milliseconds, Anthropic's request and unified windows, OpenAI's
reset strings such as `6m0s`. Times are arguments. It sends nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal

from budgetd.simulator.answer import Json, Refusal, dumps
from budgetd.simulator.script import Script

Dialect = Literal["openai", "anthropic"]

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {429: "requests", 400: "invalid_request_error", 401: "invalid_request_error"}
_OPENAI_CODES = {429: "rate_limit_exceeded", 401: "invalid_api_key"}
_MESSAGES = {
    429: "Rate limit reached. Please slow down.",
    500: "The server had an error while processing your request.",
    502: "Bad gateway.",
    503: "The service is temporarily unavailable.",
    504: "The request took too long.",
    529: "Overloaded",
}


def refusal_body(dialect: Dialect, refusal: Refusal, request_id: str) -> str:
    """A provider's own refusal in its dialect."""
    if dialect == "anthropic":
        kind = refusal.kind or _ANTHROPIC_TYPES.get(refusal.status, "api_error")
        return dumps(_anthropic(kind, refusal.message, request_id))
    kind = refusal.kind or "invalid_request_error"
    return dumps(_openai(kind, refusal.message, refusal.code, refusal.param))


def scripted_body(dialect: Dialect, script: Script, request_id: str) -> str:
    """The body for a script's status; `error_body` is sent as it is."""
    if script.error_body is not None:
        return script.error_body
    text = script.message or _MESSAGES.get(script.status, "Simulated error.")
    if dialect == "anthropic":
        kind = script.error_type or _ANTHROPIC_TYPES.get(script.status, "api_error")
        return dumps(_anthropic(kind, text, request_id))
    kind = script.error_type or _OPENAI_TYPES.get(script.status, "server_error")
    return dumps(_openai(kind, text, script.error_code or _OPENAI_CODES.get(script.status), None))


def error_event(dialect: Dialect, script: Script, request_id: str) -> tuple[str | None, str]:
    """Name and data of an error inside a stream; overloaded unless the script says what."""
    if dialect == "anthropic":
        kind = script.error_type or "overloaded_error"
        return "error", dumps(_anthropic(kind, script.message or "Overloaded", request_id))
    text = script.message or _MESSAGES[500]
    return None, dumps(_openai(script.error_type or "server_error", text, script.error_code, None))


def scripted_headers(script: Script, now: float) -> dict[str, str]:
    """Retry and limit headers of a script; `now` in Unix seconds."""
    headers: dict[str, str] = {}
    if script.retry_after_date is not None:
        at = datetime.fromtimestamp(now + script.retry_after_date, UTC)
        headers["Retry-After"] = format_datetime(at, usegmt=True)
    if script.retry_after is not None:
        headers["Retry-After"] = str(script.retry_after)
    if script.retry_after_ms is not None:
        headers["retry-after-ms"] = str(script.retry_after_ms)
    return headers | limit_headers(script, now)


def limit_headers(script: Script, now: float) -> dict[str, str]:
    """The limit headers that `limits` names, for a limit that resets `reset_in` from now."""
    reset = now + script.reset_in
    match script.limits:
        case None:
            return {}
        case "anthropic":
            return _anthropic_limits(datetime.fromtimestamp(reset, UTC))
        case "openai":
            return _openai_limits(script.reset_in)
        case "unified_5h" | "unified_7d":
            return _unified_limits(script.limits.removeprefix("unified_"), int(reset))


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: `120ms`, `8.64s`, `6m0s`, `1h30m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    tail = f"{round(rest, 3):g}s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{tail}"
    return f"{int(minutes)}m{tail}" if minutes else tail


def _anthropic(kind: str, text: str, request_id: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": request_id}


def _openai(kind: str, text: str, code: str | None, param: str | None) -> Json:
    return {"error": {"message": text, "type": kind, "param": param, "code": code}}


def _anthropic_limits(reset: datetime) -> dict[str, str]:
    headers: dict[str, str] = {}
    for what in ("requests", "tokens", "input-tokens", "output-tokens"):
        headers[f"anthropic-ratelimit-{what}-limit"] = "50"
        headers[f"anthropic-ratelimit-{what}-remaining"] = "0"
        headers[f"anthropic-ratelimit-{what}-reset"] = reset.strftime("%Y-%m-%dT%H:%M:%SZ")
    return headers


def _openai_limits(reset_in: float) -> dict[str, str]:
    headers: dict[str, str] = {}
    for what in ("requests", "tokens"):
        headers[f"x-ratelimit-limit-{what}"] = "500"
        headers[f"x-ratelimit-remaining-{what}"] = "0"
        headers[f"x-ratelimit-reset-{what}"] = duration(reset_in)
    return headers


def _unified_limits(window: str, reset: int) -> dict[str, str]:
    """A subscription's windows: the named one is used up, the other is not."""
    claims = {"5h": "five_hour", "7d": "seven_day"}
    other = "7d" if window == "5h" else "5h"
    start = "anthropic-ratelimit-unified"
    return {
        f"{start}-status": "rejected",
        f"{start}-reset": str(reset),
        f"{start}-representative-claim": claims[window],
        f"{start}-{window}-status": "rejected",
        f"{start}-{window}-reset": str(reset),
        f"{start}-{window}-utilization": "1.0",
        f"{start}-{other}-status": "allowed",
        f"{start}-{other}-reset": str(reset + 86_400),
        f"{start}-{other}-utilization": "0.4",
    }
