"""The pages of sessions: which conversations there are, and one of them in every detail.

Reads only. A page's figures come from one snapshot of the ledger, gathered and put together in a
thread, so that a session of thousands of turns delays no call. Every page is bounded: it says what
it leaves out. Like all of the status it shows no secret and no text of a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from aiohttp import web

from budgetd.core.sessions import session_id
from budgetd.core.windows import Instant
from budgetd.errors import CallerFault
from budgetd.ledger.histories import Profile, Wanted
from budgetd.ledger.store import Ledger
from budgetd.proxy.answers import problem
from budgetd.proxy.gateway import Gateway
from budgetd.runtime import TimeKeeper
from budgetd.status import portraits, stories
from budgetd.status.limits import JSON
from budgetd.status.prospects import ACTIVE
from budgetd.status.stories import Ambiguous, Page
from budgetd.wire.claims import claim
from budgetd.wire.dialects import Labels

TREES = 50  # roots on a page, if nothing else is asked for
MOST_TREES = 500
TURNS = 50  # turns on a session's page
MOST_TURNS = 1_000


class SessionPages:
    """Answers for sessions."""

    def __init__(self, ledger: Ledger, gateway: Gateway, time: TimeKeeper) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._time = time

    async def trees(self, request: web.Request) -> web.StreamResponse:
        """`GET /status/sessions`: the newest trees. `key`, `since` and `limit` choose; `tree=1`
        shows their sub-agents too.
        """
        query = request.query
        limit = _count(query, "limit", TREES, MOST_TREES)
        wanted = Wanted(query.get("key"), _instant(query.get("since")), limit)
        whole = query.get("tree", "0") not in {"", "0", "false", "no"}
        setup, now = self._gateway.setup, self._time.now()
        gather = partial(stories.trees, setup=setup, now=now, wanted=wanted, whole=whole)
        return _json(await self._ledger.histories.ask(gather))

    async def one(self, request: web.Request) -> web.StreamResponse:
        """`GET /status/sessions/{id}`: our id, the client's own, or the beginning of either.
        `turns` and `before` page through its calls.
        """
        name, query = request.match_info["id"], request.query
        page = Page(name, _count(query, "turns", TURNS, MOST_TURNS), query.get("before"))
        setup, now = self._gateway.setup, self._time.now()
        gather = partial(stories.story, setup=setup, now=now, page=page)
        try:
            return _json(await self._ledger.histories.ask(gather))
        except Ambiguous as several:
            return _several(name, several.found)

    async def glance(self) -> JSON:
        """What the overview says of sessions: how many are active, and which go in circles."""
        since = self._time.now() - ACTIVE + 1
        told: JSON = await self._ledger.histories.ask(partial(stories.glance, since=since))
        return told

    async def own(
        self, headers: Mapping[str, str], labels: Labels, family: str, key: str
    ) -> JSON | None:
        """What an agent may know of its own session, for `/v1/usage`: the one that the request
        names, of its own key. None if it names none, or none that has made a call.
        """
        longest = self._gateway.setup.rules.limits.label_length
        ref = claim(headers, labels, None, family, longest).id
        if ref is None:
            return None
        setup, now = self._gateway.setup, self._time.now()
        gather = partial(stories.own, setup=setup, now=now, session=session_id(key, ref))
        told: JSON | None = await self._ledger.histories.ask(gather)
        return told


def _several(name: str, found: Sequence[Profile]) -> web.Response:
    """A name that fits several sessions: 409, and these."""
    people = [portraits.person(one) for one in found]
    detail = f"{name!r} fits several sessions; use more of the name, or the id"
    return problem(409, "ambiguous_session", detail, {"candidates": people})


def _count(query: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = query.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= most):
        raise CallerFault(400, "bad_parameter", f"{name} must be a number from 1 to {most}")
    return int(text)


def _instant(text: str | None) -> Instant | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        message = "since must be an instant with its zone, like 2026-11-20T22:00:00Z"
        raise CallerFault(400, "bad_parameter", message)
    return round(at.timestamp() * 1000)


def _json(data: JSON) -> web.Response:
    return web.json_response(data, headers={"cache-control": "no-store"})
