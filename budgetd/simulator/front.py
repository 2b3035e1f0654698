"""The provider's front: who asks, is it understood, what does the script say, then deliver.

Owns the order in which a request is judged: credential, JSON, script, scripted failure, the
dialect's own refusals, delivery. Also the state that lives longer than a request: the default
script, the prompt cache, how often a script has failed, the requests as they came and how many
are open. It knows no shapes and no sockets' faults; those are the dialects' and the delivery's.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from budgetd.simulator import anthropic, openai_chat, openai_text
from budgetd.simulator.answer import Answer, Bench, Call, Json, Refusal
from budgetd.simulator.bill import Bill
from budgetd.simulator.cache import PromptCache
from budgetd.simulator.conversation import user_texts
from budgetd.simulator.delivery import Delivery
from budgetd.simulator.prices import MODELS, Model
from budgetd.simulator.refusals import Dialect, refusal_body
from budgetd.simulator.script import Script, ScriptError, read_script, spoken
from budgetd.simulator.tokens import utf8

REQUESTS_KEPT = 1000
SCRIPT_HEADER = "x-sim-script"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Plan = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it came: `path` with its query, headers in order, the raw body."""

    id: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case."""
        return next((text for key, text in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Json:
        """The body as an object. Raises ValueError if it is not JSON."""
        body: Json = json.loads(self.body)
        return body


@dataclass(frozen=True, slots=True)
class Clocks:
    """`monotonic` for cache lifetimes, `wall` for dates; both in seconds, both replaceable."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Front:
    """Everything behind the provider's routes. `credentials` of None accepts any non-empty one."""

    def __init__(
        self,
        script: Script,
        bill: Bill,
        clocks: Clocks,
        models: Mapping[str, Model],
        credentials: frozenset[str] | None,
    ) -> None:
        self.script = script
        self.bill = bill
        self.requests: deque[RecordedRequest] = deque(maxlen=REQUESTS_KEPT)
        self._connections: dict[str, web.Request] = {}
        self._first_script = script
        self._clocks = clocks
        self._credentials = credentials
        offered = {**MODELS, **models}
        self._bench = Bench(offered, PromptCache(), clocks.monotonic)
        self._number = 0
        self._run = secrets.token_hex(3)
        self._seen: Counter[Script] = Counter()

    def reset(self) -> None:
        """Forget bill, requests, cache and failure counts; back to the first script."""
        self.bill.reset()
        self.requests.clear()
        self._bench.cache.clear()
        self.set_script(self._first_script)

    @property
    def open_requests(self) -> int:
        """Requests in progress, from the moment when their body was read."""
        return len(self._connections)

    def hang_up(self) -> None:
        """Break every connection with a request in progress, as if the machine had gone."""
        for request in self._connections.values():
            if request.transport is not None:
                request.transport.abort()

    def set_script(self, script: Script) -> None:
        """Take a default script; its `fail_first` counts from now."""
        self.script = script
        self._seen.clear()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The provider's own paths."""
        provider: tuple[tuple[str, Dialect, Plan], ...] = (
            ("/v1/chat/completions", "openai", openai_chat.plan),
            ("/v1/completions", "openai", openai_text.plan_completion),
            ("/v1/embeddings", "openai", openai_text.plan_embedding),
            ("/v1/messages", "anthropic", anthropic.plan),
            ("/v1/messages/count_tokens", "anthropic", anthropic.plan_count),
        )
        for path, dialect, plan in provider:
            router.add_post(path, self._handler(dialect, plan))
        router.add_get("/v1/models", self._models)
        router.add_get("/", _alive)
        router.add_get("/api/hello", _alive)

    def _handler(
        self, dialect: Dialect, plan: Plan
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            record = self._record(request, await request.read())
            with self._held(record.id, request):
                try:
                    return await self._serve(request, record, dialect, plan)
                except Refusal as refusal:
                    return _refused(dialect, refusal, record.id)
                except ScriptError as error:
                    return _refused(dialect, Refusal(400, str(error)), record.id)

        return handle

    async def _serve(
        self, request: web.Request, record: RecordedRequest, dialect: Dialect, plan: Plan
    ) -> web.StreamResponse:
        credential = self._credential(request, dialect)
        if dialect == "anthropic" and "anthropic-version" not in request.headers:
            raise Refusal(400, "anthropic-version: header is required")
        body = _decode(record.body)
        script = self._script_for(request, body)
        now = self._clocks.wall()
        call = Call(record.id, int(now), body, script, credential, self._bench)
        delivery = Delivery(request, record.id, dialect, script, self.bill, now)
        if script.fails_before_answer:
            return await delivery.fail(plan(call) if script.bills_failure else None)
        return await delivery.send(plan(call))

    def _script_for(self, request: web.Request, body: Json) -> Script:
        """The default, changed by what the user said, changed by the header."""
        script = spoken(user_texts(body), self.script)
        header = request.headers.get(SCRIPT_HEADER)
        if header is not None:
            script = read_script(header, script)
        if script.fail_first is None:
            return script
        self._seen[script] += 1
        return script if self._seen[script] <= script.fail_first else script.calm()

    def _credential(self, request: web.Request, dialect: Dialect) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        credential = token.strip() if scheme.lower() == "bearer" else ""
        if dialect == "anthropic":
            credential = request.headers.get("x-api-key", credential)
        if not credential:
            raise Refusal(401, _NO_CREDENTIAL[dialect], code="missing_api_key")
        if self._credentials is not None and credential not in self._credentials:
            raise Refusal(401, _BAD_CREDENTIAL[dialect], code="invalid_api_key")
        return credential

    def _record(self, request: web.Request, body: bytes) -> RecordedRequest:
        self._number += 1
        record = RecordedRequest(
            id=f"req_{self._run}_{self._number:06d}",
            method=request.method,
            path=request.raw_path,
            headers=tuple(request.headers.items()),
            body=body,
        )
        self.requests.append(record)
        return record

    @contextmanager
    def _held(self, request_id: str, request: web.Request) -> Iterator[None]:
        self._connections[request_id] = request
        try:
            yield
        finally:
            del self._connections[request_id]

    async def _models(self, request: web.Request) -> web.Response:
        record = self._record(request, b"")
        to_anthropic = "anthropic-version" in request.headers or "x-api-key" in request.headers
        dialect: Dialect = "anthropic" if to_anthropic else "openai"
        try:
            self._credential(request, dialect)
        except Refusal as refusal:
            return _refused(dialect, refusal, record.id)
        module = anthropic if to_anthropic else openai_text
        return web.json_response(module.list_models(self._bench.models))


_NO_CREDENTIAL = {
    "openai": "You didn't provide an API key.",
    "anthropic": "x-api-key header is required",
}
_BAD_CREDENTIAL = {"openai": "Incorrect API key provided.", "anthropic": "invalid x-api-key"}


async def _alive(request: web.Request) -> web.Response:
    """`/` and `/api/hello`, GET or HEAD: agents probe whether there is anybody."""
    return web.Response(text="simulator\n")


def _refused(dialect: Dialect, refusal: Refusal, request_id: str) -> web.Response:
    name = "request-id" if dialect == "anthropic" else "x-request-id"
    return web.Response(
        status=refusal.status,
        body=utf8(refusal_body(dialect, refusal, request_id)),
        headers={"Content-Type": "application/json", name: request_id},
    )


def _decode(raw: bytes) -> Json:
    """The body; numbers that are no integers stay as they were written, so that nothing in a
    prompt can grow by being read."""
    try:
        body = json.loads(raw, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise Refusal(400, "The body of your request is not a JSON object.")
    return body
