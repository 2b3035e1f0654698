"""The status API: what the daemon is doing and where the money is, as JSON.

Reads only; asks the ledger's reader, the rules in force and the process itself. Anybody on this
machine may read it, so it holds no secret. `/healthz` says the process answers, `/readyz` that it
would take a call. An agent's own view is `/v1/usage`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from budgetd import __version__
from budgetd.core.budgets import Balance
from budgetd.core.money import usd_text
from budgetd.core.policy import KeyPolicy, is_pattern
from budgetd.core.windows import Instant
from budgetd.errors import CallerFault, StoreFault
from budgetd.ledger.rows import MS_PER_HOUR
from budgetd.ledger.store import Ledger
from budgetd.proxy.answers import problem
from budgetd.proxy.callers import Claims
from budgetd.proxy.gateway import Gateway
from budgetd.proxy.intake import check_head
from budgetd.proxy.notices import iso
from budgetd.runtime import TimeKeeper
from budgetd.status import pictures
from budgetd.status.sessions import SessionPages
from budgetd.wire.dialects import Labels
from budgetd.wire.identity import client_family, credentials

DAY_HOURS = 24
NEWEST = 20

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Standing:
    """What the daemon says of itself. Written by the daemon, read here."""

    started: Instant
    config: str
    listening: str
    state: str = ""
    config_error: str | None = None
    config_warnings: tuple[str, ...] = ()
    ready: bool = False
    prices: dict[str, str] = field(default_factory=dict)


class StatusAPI:
    """Answers the read-only routes."""

    def __init__(
        self, ledger: Ledger, gateway: Gateway, time: TimeKeeper, standing: Standing
    ) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._time = time
        self._standing = standing
        self._sessions = SessionPages(ledger, gateway, time)

    def routes(self) -> list[web.RouteDef]:
        """The routes, to be put in front of the gateway's."""
        return [
            web.get("/status", self._guard(self.status)),
            web.get("/status/keys", self._guard(self.keys)),
            web.get("/status/keys/{name}", self._guard(self.key)),
            web.get("/status/sessions", self._guard(self._sessions.trees)),
            web.get("/status/sessions/{id:.+}", self._guard(self._sessions.one)),
            web.get("/healthz", self._guard(self.healthz)),
            web.get("/readyz", self._guard(self.readyz)),
        ]

    def _guard(self, handler: Handler) -> Handler:
        """Host and Origin are checked here as on every other path; faults are told as RFC 9457
        problems.
        """

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                check_head(request, self._gateway.setup.hosts)
                return await handler(request)
            except CallerFault as fault:
                return problem(fault.status, fault.code, fault.message)
            except StoreFault as fault:
                return problem(503, "ledger_unavailable", str(fault))

        return guarded

    async def healthz(self, _: web.Request) -> web.StreamResponse:
        """The process answers."""
        return _json({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.StreamResponse:
        """It would take a call: started, not stopping, and the ledger answers."""
        if not self._standing.ready or self._gateway.closing:
            return problem(503, "not_ready", "starting or stopping")
        await self._ledger.reader.open_holds()
        return _json({"status": "ready"})

    async def status(self, _: web.Request) -> web.StreamResponse:
        """Everything at a glance."""
        reader, now, standing = self._ledger.reader, self._time.now(), self._standing
        rules = self._gateway.setup.rules
        holds, held = await reader.open_holds()
        orphans, orphaned = await reader.orphans(now - DAY_HOURS * MS_PER_HOUR)
        day = await reader.spend(now // MS_PER_HOUR - DAY_HOURS + 1)
        stops = await reader.stops()
        shared = await reader.balances((b for b in rules.everything if not b.per), now)
        return _json(
            {
                "service": "budgetd",
                "version": __version__,
                "now": iso(now),
                "started_at": iso(standing.started),
                "clock_in_doubt": self._time.doubt,
                "listening": standing.listening,
                "state": standing.state,
                "config": {
                    "file": standing.config,
                    "generation": rules.generation,
                    "error": standing.config_error,
                    "warnings": list(standing.config_warnings),
                },
                "prices": standing.prices,
                "stand_in_prices": dict(self._gateway.setup.stand_ins),
                "calls": {
                    "open": self._gateway.open_calls,
                    "holds": holds,
                    "held_usd": usd_text(held),
                },
                "sessions": await self._sessions.glance(),
                "orphans_24h": {"calls": orphans, "charged_usd": usd_text(orphaned)},
                "last_24h": {money: pictures.spend(sums) for money, sums in day.items()},
                "stops": [
                    {"subject": s.subject, "since": iso(s.at), "note": s.note} for s in stops
                ],
                "everything": [pictures.balance(found) for found in shared],
                "each": [pictures.terms(budget) for budget in rules.everything if budget.per],
                "labels": await self._labels(now),
                "keys": await self._all_keys(now),
                "recent_refusals": [_refusal(row) for row in await reader.refusals(None, NEWEST)],
            }
        )

    async def keys(self, _: web.Request) -> web.StreamResponse:
        """Every key with its budgets, and the patterns that further names can match."""
        patterns = [pictures.pattern(policy) for policy in self._gateway.setup.rules.patterns]
        return _json({"keys": await self._all_keys(self._time.now()), "patterns": patterns})

    async def key(self, request: web.Request) -> web.StreamResponse:
        """One key: budgets, tokens, where its money went, its newest calls and refusals."""
        name, reader, now = request.match_info["name"], self._ledger.reader, self._time.now()
        policy = self._gateway.setup.rules.key(name)
        if policy is None:
            raise CallerFault(404, "unknown_key", f"there is no key named {name!r}")
        shown = pictures.key(
            name, policy, await self._balances(name, policy, now), await reader.stops()
        )
        models = await reader.spend_by_model(now // MS_PER_HOUR - 30 * DAY_HOURS, name)
        return _json(
            shown
            | {
                "tokens": [pictures.token(token) for token in self._ledger.keyring.of(name)],
                "models_30d": [
                    {"provider": provider, "model": model, "money": money, **pictures.spend(sums)}
                    for provider, model, money, sums in models
                ],
                "calls": [pictures.call(row) for row in await reader.calls(name, NEWEST)],
                "refusals": [_refusal(row) for row in await reader.refusals(name, NEWEST)],
            }
        )

    async def usage(self, request: web.Request, labels: Labels) -> web.StreamResponse:
        """`GET /v1/usage`: what an agent may know, with the credential it calls with: its own key's
        money.
        """
        now, setup = self._time.now(), self._gateway.setup
        family = client_family(request.headers)
        claims = Claims(labels, credentials(request.headers), family, "openai_chat")
        name, policy, _ = setup.callers.key_of(claims, now)
        found = await self._balances(name, policy, now)
        binding = [one for one in found if not one.budget.observe]
        whole = [one for one in binding if not one.budget.models] or binding
        tightest = min(whole, key=lambda one: one.unspent, default=None)
        return _json(
            {
                "key": name,
                "budget": _own(tightest) if tightest is not None else None,
                "budgets": [_own(one) for one in found],
                "session": await self._sessions.own(request.headers, labels, family, name),
            }
        )

    async def _all_keys(self, now: Instant) -> list[dict[str, object]]:
        rules, reader = self._gateway.setup.rules, self._ledger.reader
        stops = await reader.stops()
        names = dict.fromkeys([rules.default_key, *rules.keys])
        seen = [*await reader.active_keys(now), *sorted(self._ledger.keyring.keys())]
        names |= dict.fromkeys(seen)
        shown = []
        for name in names:
            policy = rules.key(name)
            if policy is not None:
                shown.append(
                    pictures.key(name, policy, await self._balances(name, policy, now), stops)
                )
        return shown

    async def _labels(self, now: Instant) -> list[dict[str, object]]:
        """The labels that have budgets: those that are named, and those in use that match."""
        callers, reader = self._gateway.setup.callers, self._ledger.reader
        named = [name for name, _ in self._gateway.setup.rules.labels if not is_pattern(name)]
        names = dict.fromkeys([*named, *await reader.active_labels(now)])
        return [
            pictures.label(name, await reader.balances(budgets, now))
            for name in names
            if (budgets := callers.bindings.of_label(name))
        ]

    async def _balances(self, name: str, policy: KeyPolicy, now: Instant) -> list[Balance]:
        callers = self._gateway.setup.callers
        budgets = (
            *callers.binding(name, policy, "real"),
            *callers.binding(name, policy, "notional"),
        )
        own = tuple(budget for budget in budgets if budget.subject == f"key:{name}")
        return await self._ledger.reader.balances(own, now)


def _own(found: Balance) -> dict[str, object]:
    """A budget as its agent sees it: dollars as numbers, for arithmetic in a prompt."""
    return {
        "name": found.budget.name,
        **({"models": list(found.budget.models)} if found.budget.models else {}),
        "limit": pictures.number(found.limit),
        "spent": pictures.number(found.settled),
        "held": pictures.number(found.held),
        "remaining": pictures.number(max(found.unspent, 0)),
        "resets_at": iso(found.span.end),
    }


def _refusal(row: tuple[str, Instant, str, str, str]) -> dict[str, object]:
    decision, at, key, reason, detail = row
    return {"decision": decision, "at": iso(at), "key": key, "reason": reason, **json.loads(detail)}


def _json(data: object) -> web.Response:
    return web.json_response(data, headers={"cache-control": "no-store"})
