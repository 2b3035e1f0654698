"""Budgets: does this call fit, and how much of it.

Owns the one decision about money. `decide` looks at every budget that binds a call and answers
`Admit`, `Busy` or `Refuse`; it is pure, and the ledger runs it inside the transaction that writes
the hold, so there is no gap between check and reserve. Two rules: a call is refused only for money
that is *spent*; money that others merely *hold* makes it `Busy`, to be tried again. What can cost
nothing always fits, in an overdrawn budget too. An output bound that the client left open or set
wide is lowered to what the unspent money allows, never below what makes sense for that call; what
it asks for beyond a generous answer may take up to half of what is free, because agents ask for
128,000 tokens, use 500, and would lock one another out. How a bound or a price came about is not
known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from budgetd.core.windows import Instant, Span, Window

GENEROUS_OUTPUT = 16_384  # tokens: hardly an answer is longer

Money = Literal["real", "notional"]  # dollars paid per token, or list price under a flat-rate plan
# Whom a budget is for: its subject as a whole (""), or each tree of sessions, or each session alone.
Scope = Literal["", "session", "agent"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit in pico-dollars over a window. `subject` is what it sits on: "key:research", "all",
    "label:thesis", "session:<id>" or "agent:<id>". One with a scope is a template until it is bound
    to a session, which then is its subject.
    """

    name: str
    subject: str
    limit: int
    window: Window
    counts: Money = "real"
    observe: bool = False  # say what it would have refused, refuse nothing
    per: Scope = ""
    models: tuple[str, ...] = ()  # patterns of the models it counts; none: every model

    def counts_model(self, model: str) -> bool:
        """Whether calls that ask for `model` count. It is compared as written, case and all: an
        aggregator's "anthropic/claude-..." is not "claude-...".
        """
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class Balance:
    """A budget's window at an instant, in pico-dollars. `held` is open holds, `topped_up` extra
    limit for this window.
    """

    budget: Budget
    span: Span
    settled: int = 0
    held: int = 0
    topped_up: int = 0

    @property
    def limit(self) -> int:
        """The limit of this window, top-ups included."""
        return self.budget.limit + self.topped_up

    @property
    def unspent(self) -> int:
        """What would be left if every open hold came to nothing. Negative after an overdraft."""
        return self.limit - self.settled

    @property
    def free(self) -> int:
        """What is neither spent nor held."""
        return self.unspent - self.held


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call may cost at most: `fixed` + `per_output` for each token of its output bound, in
    pico-dollars.
    """

    fixed: int
    per_output: int  # for one more token of the bound, times the number of answers asked for
    output: int  # the bound asked for, or to be injected
    least: int  # the smallest bound this call makes sense with; equal to `output` where it cannot be changed

    def hold(self, output: int) -> int:
        """The worst case at an output bound, in pico-dollars."""
        return self.fixed + self.per_output * output


@dataclass(frozen=True, slots=True)
class Admit:
    """Forward it: `hold` pico-dollars are reserved for an output bound of `output` tokens."""

    hold: int
    output: int
    observed: tuple[Balance, ...] = ()  # observing budgets that would have refused it


@dataclass(frozen=True, slots=True)
class Busy:
    """The money is there but other calls hold it; the same call may pass in a moment."""

    budgets: tuple[Balance, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """The money is spent. `resets_at` is the latest reset of the violated budgets, None if one of
    them never resets.
    """

    budgets: tuple[Balance, ...]
    needs: int  # pico-dollars the smallest form of this call would hold
    resets_at: Instant | None

    @property
    def hopeless(self) -> bool:
        """True if even an untouched window could not pay for the call: waiting does not help."""
        return any(self.needs > balance.limit for balance in self.budgets)


Verdict = Admit | Busy | Refuse


def decide(quote: Quote, balances: tuple[Balance, ...]) -> Verdict:
    """Whether the call fits every budget that binds it, and at which output bound."""
    smallest = quote.hold(quote.least)
    spent = tuple(b for b in balances if smallest > max(b.unspent, 0))
    violated = tuple(b for b in spent if not b.budget.observe)
    if violated:
        return Refuse(violated, smallest, latest_reset(violated))
    binding = tuple(b for b in balances if not b.budget.observe)
    output = _output_bound(quote, binding) if quote.per_output else quote.output
    hold = quote.hold(output)
    busy = tuple(b for b in binding if hold > max(b.free, 0))
    if busy:
        return Busy(busy)
    return Admit(hold, output, spent)


def _output_bound(quote: Quote, binding: tuple[Balance, ...]) -> int:
    """As much of the bound asked for as the money allows, and as leaves room for the next call."""
    output, generous = quote.output, max(quote.least, GENEROUS_OUTPUT)
    for balance in binding:
        most = (balance.unspent - quote.fixed) // quote.per_output
        half = (balance.free // 2 - quote.fixed) // quote.per_output
        output = min(output, most, max(half, generous))
    return max(output, quote.least)  # only a call that can cost nothing is below it here


def latest_reset(balances: tuple[Balance, ...]) -> Instant | None:
    """When the last of these windows ends; None if one of them has no end."""
    latest: Instant = 0
    for balance in balances:
        if balance.span.end is None:
            return None
        latest = max(latest, balance.span.end)
    return latest
