"""Whose fault it is.

Exceptions are faults, never outcomes: a refusal for money is a value (`core.budgets.Refuse`), a
request that cannot be understood is a `CallerFault`. Each class says who has to do something about
it.
"""

from __future__ import annotations


class BudgetdError(Exception):
    """Anything budgetd raises on purpose."""


class CallerFault(BudgetdError):
    """The request is wrong, and the caller is told so in its own dialect. `status` is the HTTP
    status; `code` a word for machines; `allow` the method that a 405 must name.
    """

    def __init__(self, status: int, code: str, message: str, *, allow: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.allow = allow


class UpstreamFault(BudgetdError):
    """The provider could not be reached, or broke off. `sent` says whether it may have seen (and
    billed) the request.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.sent = sent


class StoreFault(BudgetdError):
    """The ledger could not be written or read; nothing was promised."""


class StateInUse(BudgetdError):
    """Another daemon owns this state directory."""
