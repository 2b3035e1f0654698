"""What an owner changes in a running daemon: top-ups, the kill switch, corrections, tokens, a
reload.

Every route needs the admin token, which lies in the state directory where only the daemon's user
can read it. Each change is one durable operation of the ledger before it is answered.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import structlog
from aiohttp import web

from budgetd.config.problems import ConfigError
from budgetd.core.budgets import Balance, Budget
from budgetd.core.money import AmountError, pico_from_usd, usd_text
from budgetd.core.policy import KeyPolicy
from budgetd.core.windows import Instant
from budgetd.errors import CallerFault, StoreFault
from budgetd.ledger import desk, histories, keyring
from budgetd.ledger.store import Ledger
from budgetd.proxy.answers import problem
from budgetd.proxy.gateway import Gateway
from budgetd.proxy.intake import check_head
from budgetd.proxy.notices import iso
from budgetd.runtime import TimeKeeper
from budgetd.status import pictures

log = structlog.get_logger("budgetd.control")

# What the log tells of an owner's act: who, how much, which way. No note: it is free text.
TOLD = ("key", "session", "all", "budget", "usd", "call", "lift", "now", "hint", "expires_in_s")
MOST_BYTES = 64 * 1024
NOTE_LENGTH = 500
LONGEST_LIFE = 100 * 366 * 86_400  # of a token, in seconds

Action = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Owned = tuple[dict[str, str], tuple[Budget, ...]]  # whose they are, and the budgets


@dataclass(frozen=True, slots=True)
class Levers:
    """What the daemon lets the owner do to it. `reload` returns what changed, in words; it raises
    ConfigError or ValueError for a bad file.
    """

    token: str
    reload: Callable[[], Awaitable[list[str]]]


class Control:
    """Answers the state-changing routes."""

    def __init__(self, ledger: Ledger, gateway: Gateway, time: TimeKeeper, levers: Levers) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._time = time
        self._levers = levers

    def routes(self) -> list[web.RouteDef]:
        """The routes, all POST with a JSON object."""
        actions: tuple[tuple[str, Action, set[str]], ...] = (
            ("topup", self.topup, {"key", "session", "usd", "budget", "note"}),
            ("stop", self.stop, {"key", "all", "lift", "now", "note"}),
            ("adjust", self.adjust, {"call", "usd", "note"}),
            ("keys/issue", self.issue, {"key", "expires_in_s"}),
            ("keys/revoke", self.revoke, {"key", "hint"}),
            ("reload", self.reload, set()),
            ("audit", self.audit, set()),
        )
        return [
            web.post(f"/control/{verb}", self._guard(action, names))
            for verb, action, names in actions
        ]

    def _guard(
        self, action: Action, names: set[str]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """An argument that is not understood is refused: left out it might mean "all of them"."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                check_head(request, self._gateway.setup.hosts)
                self._authorise(request)
                arguments = await _arguments(request, names)
                done = await action(arguments)
                told = {name: arguments[name] for name in TOLD if name in arguments}
                log.info("by the owner", did=request.path, **told)
                return web.json_response(done, headers={"cache-control": "no-store"})
            except CallerFault as fault:
                return problem(fault.status, fault.code, fault.message)
            except StoreFault as fault:
                return problem(503, "ledger_unavailable", str(fault))

        return guarded

    def _authorise(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode(), self._levers.token.encode()
        ):
            raise CallerFault(
                401,
                "admin_token_required",
                "this route needs the admin token from the state directory",
            )

    async def topup(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{key | session, usd, budget?, note?}: more money in the current windows of the budgets
        that sit on a key or on a session, or of the one that is named.
        """
        if arguments.get("session") is not None:
            whose, on_it = await self._session(arguments)
        else:
            whose, on_it = self._key_budgets(arguments)
        amount = _amount(arguments, "usd")
        if amount <= 0:
            raise CallerFault(
                400,
                "bad_amount",
                "a top-up is more than nothing; to take money back lower the limit",
            )
        budgets = _chosen(on_it, whose, arguments.get("budget"))
        work = partial(
            desk.top_up, budgets=budgets, amount=amount, note=_note(arguments), now=self._time.now()
        )
        balances: tuple[Balance, ...] = await self._ledger.writer.submit(work)
        return {**whose, "budgets": [pictures.balance(found) for found in balances]}

    async def stop(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{key | all: true, lift?, now?, note?}: refuse new calls; with `now` end the running
        streams too.
        """
        everybody, now = _flag(arguments, "all"), _flag(arguments, "now")
        subject = desk.ALL if everybody else f"key:{self._key(arguments)[0]}"
        if _flag(arguments, "lift"):
            lifted: bool = await self._ledger.writer.submit(partial(desk.lift, subject=subject))
            return {"subject": subject, "lifted": lifted}
        work = partial(desk.stop, subject=subject, note=_note(arguments), now=self._time.now())
        await self._ledger.writer.submit(work)
        ended = self._gateway.end_flows(subject) if now else 0
        return {"subject": subject, "stopped": True, "streams_ended": ended}

    async def adjust(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{call, usd, note?}: a correcting row beside a call; `usd` may be negative."""
        call = arguments.get("call")
        if not isinstance(call, str):
            raise CallerFault(400, "bad_call", "`call` is the identifier of a call")
        amount = _amount(arguments, "usd")
        work = partial(
            desk.adjust, call=call, amount=amount, note=_note(arguments), now=self._time.now()
        )
        done = await self._ledger.writer.submit(work)
        if done is None:
            raise CallerFault(404, "unknown_call", f"there is no ended call {call!r}")
        return {
            "call": call,
            "before_usd": usd_text(done.before),
            "after_usd": usd_text(done.after),
        }

    async def issue(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{key, expires_in_s?}: a token for a key. Its text is in this answer and nowhere else."""
        name, policy = self._key(arguments)
        if policy.custody != "issued":
            raise CallerFault(
                409,
                "wrong_custody",
                f"key {name} passes its agents' own credentials through: set custody: issued",
            )
        now = self._time.now()
        expires = _expiry(arguments.get("expires_in_s"), now)
        text, token = await self._ledger.change_tokens(
            partial(keyring.issue, key=name, now=now, expires=expires)
        )
        return {"key": name, "token": text, "expires_at": iso(token.expires)}

    async def revoke(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{key, hint?}: a key's tokens, or the one that begins with `hint`, stop working at once."""
        name = arguments.get("key")
        if not isinstance(name, str):
            raise CallerFault(400, "bad_key", "`key` is the name of a key")
        hint = arguments.get("hint")
        if hint is not None:
            if not isinstance(hint, str) or len(hint) < keyring.HINT_LENGTH:
                raise CallerFault(
                    400, "bad_hint", f"`hint` is a token's first {keyring.HINT_LENGTH} characters"
                )
            hint = hint[: keyring.HINT_LENGTH]
        work = partial(keyring.revoke, key=name, now=self._time.now(), hint=hint)
        return {"key": name, "revoked": await self._ledger.change_tokens(work)}

    async def reload(self, _: dict[str, Any]) -> dict[str, Any]:
        """Read the configuration again. A bad one changes nothing and is told."""
        try:
            return {"changes": await self._levers.reload()}
        except (ConfigError, ValueError) as error:
            raise CallerFault(422, "bad_configuration", str(error)) from error

    async def audit(self, _: dict[str, Any]) -> dict[str, Any]:
        """Recompute every window from its rows. Reads the whole ledger."""
        return {"differences": await self._ledger.audit()}

    def _key(self, arguments: dict[str, Any]) -> tuple[str, KeyPolicy]:
        name = arguments.get("key")
        policy = self._gateway.setup.rules.key(name) if isinstance(name, str) else None
        if policy is None or (policy.is_pattern and policy.name == name):
            raise CallerFault(
                404, "unknown_key", f"there is no key named {name!r} in the configuration"
            )
        assert isinstance(name, str)
        return name, policy

    def _key_budgets(self, arguments: dict[str, Any]) -> Owned:
        """A key and the budgets that are its own."""
        name, policy = self._key(arguments)
        callers = self._gateway.setup.callers
        found = [*callers.binding(name, policy, "real"), *callers.binding(name, policy, "notional")]
        return {"key": name}, tuple(b for b in found if b.subject == f"key:{name}")

    async def _session(self, arguments: dict[str, Any]) -> Owned:
        """A session, by our id or the client's, and the budgets that sit on it."""
        name = arguments["session"]
        if not isinstance(name, str) or not name or "key" in arguments:
            raise CallerFault(400, "bad_session", "`session` is the id of a session, without a key")
        found = await self._ledger.writer.submit(partial(histories.find, name=name))
        if len(found) != 1:
            what = "several sessions begin so" if found else "there is no session"
            raise CallerFault(404, "unknown_session", f"{what}: {name[:100]!r}")
        session = found[0].session
        policy = self._gateway.setup.rules.key(session.key)
        bindings = self._gateway.setup.callers.bindings
        on_it = bindings.at_session(session.key, policy, session) if policy is not None else ()
        return {"session": session.id, "key": session.key}, on_it


def _chosen(budgets: tuple[Budget, ...], whose: dict[str, str], only: object) -> tuple[Budget, ...]:
    found = tuple(budget for budget in budgets if only is None or budget.name == only)
    if not found:
        what = f"no budget named {only!r}" if only is not None else "no budget"
        kind, name = next(iter(whose.items()))
        hint = "; its root may have" if kind == "session" else ""
        raise CallerFault(404, "unknown_budget", f"{kind} {name} has {what} of its own{hint}")
    return found


async def _arguments(request: web.Request, names: set[str]) -> dict[str, Any]:
    if (request.content_length or 0) > MOST_BYTES:
        raise CallerFault(413, "too_large", "that is more than any of these routes takes")
    try:
        value = msgspec.json.decode(await request.read() or b"{}")
    except (msgspec.DecodeError, web.HTTPRequestEntityTooLarge) as error:
        raise CallerFault(400, "invalid_json", "the body is not a JSON object") from error
    if not isinstance(value, dict):
        raise CallerFault(400, "invalid_json", "the body is not a JSON object")
    if odd := sorted(set(value) - names):
        raise CallerFault(400, "unknown_argument", f"{odd[0][:40]!r} is no argument of this route")
    return value


def _flag(arguments: dict[str, Any], name: str) -> bool:
    value = arguments.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise CallerFault(400, "bad_flag", f"`{name}` is true or false")


def _expiry(lasts: object, now: Instant) -> Instant | None:
    if lasts is None:
        return None
    if not isinstance(lasts, int) or isinstance(lasts, bool) or not 0 < lasts <= LONGEST_LIFE:
        raise CallerFault(
            400, "bad_expiry", f"`expires_in_s` is a number of seconds, at most {LONGEST_LIFE}"
        )
    return now + lasts * 1000


def _amount(arguments: dict[str, Any], name: str) -> int:
    value = arguments.get(name)
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise CallerFault(
            400, "bad_amount", f'`{name}` is an amount in dollars, as a string: "2.50"'
        )
    try:
        return pico_from_usd(value)
    except AmountError as error:
        raise CallerFault(400, "bad_amount", str(error)) from error


def _note(arguments: dict[str, Any]) -> str:
    note = arguments.get("note", "")
    if not isinstance(note, str) or len(note) > NOTE_LENGTH:
        raise CallerFault(400, "bad_note", f"`note` is a text of at most {NOTE_LENGTH} characters")
    return note
