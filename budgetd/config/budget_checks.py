"""Checks of budgets: what a single one cannot know of the others, and of the calls it is for.

Windows whose settings go together, names that are taken, budgets that stand where they cannot work,
and what is allowed but limits less than it seems to (a warning). Pure: settings in, findings out.

Two budgets of one list need different names, and so do those of different lists that can meet on
one session: its key's and everybody's `per` budgets, and the ones that `sessions` gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from budgetd.config.budgets import PERIODS, BudgetSettings, budget_name
from budgetd.config.keys import CapsSettings, DefaultKeySettings, KeySettings
from budgetd.config.problems import Finding, Path, shown
from budgetd.config.quantities import duration
from budgetd.config.settings import Settings
from budgetd.config.words import shadows
from budgetd.core.policy import which

DAY = 86_400_000
OWN_NAME = "give one of them a name of its own"
Spender = KeySettings | DefaultKeySettings


def check_budgets(settings: Settings) -> Iterator[Finding]:
    """Everything about budgets and caps, wherever they stand."""
    yield from _listed(("budgets",), settings.budgets, shared=True)
    for label, budgets in settings.labels.items():
        yield from _named(("labels", label), budgets)
    yield from _shadowed(("labels",), settings.labels)
    for path, spender in _spenders(settings):
        yield from _listed((*path, "budgets"), spender.budgets)
        for session, budgets in spender.sessions.items():
            yield from _named((*path, "sessions", session), budgets)
        yield from _shadowed((*path, "sessions"), spender.sessions)
        yield from _meeting(path, spender, settings.budgets)
        yield from _holes(path, spender, settings)
        yield from _caps((*path, "caps"), spender.caps)


def _spenders(settings: Settings) -> Iterator[tuple[Path, Spender]]:
    yield ("default_key",), settings.default_key
    for name, key in settings.keys.items():
        yield ("keys", name), key


def _listed(
    path: Path, budgets: Iterable[BudgetSettings], *, shared: bool = False
) -> Iterator[Finding]:
    """One list of budgets."""
    names: set[str] = set()
    trees: list[BudgetSettings] = [budget for budget in budgets if budget.per == "session"]
    for index, budget in enumerate(budgets):
        here = (*path, index)
        yield from _window(here, budget)
        name = budget_name(budget, shared=shared)
        if name in names:
            yield Finding(here, f"a second budget called {shown(name)}", OWN_NAME)
        names.add(name)
        if budget.per == "agent" and any(_within(budget, tree) for tree in trees):
            yield Finding(
                here,
                "never reached: the budget per session is not larger, and counts all its agents",
                "",
                "warning",
            )


def _within(agent: BudgetSettings, tree: BudgetSettings) -> bool:
    """Whether whatever counts for the one counts for the other, which has no more money."""
    alike = {"per": None, "limit": tree.limit, "name": None}
    same = agent.model_copy(update=alike) == tree.model_copy(update=alike)
    return same and agent.limit >= tree.limit


def _named(path: Path, budgets: Iterable[BudgetSettings]) -> Iterator[Finding]:
    """The budgets of a label, or of a session that is named."""
    yield from _listed(path, budgets)
    for index, budget in enumerate(budgets):
        if budget.per:
            yield Finding(
                (*path, index, "per"),
                "only goes with the budgets of a key, or of everything",
                "write it under budgets",
            )


def _shadowed(path: Path, names: Iterable[str]) -> Iterator[Finding]:
    for name, above in shadows(names).items():
        message = f"never used: {shown(above)} above matches the same names"
        yield Finding((*path, name), message, "swap them", "warning")


def _meeting(
    path: Path, spender: Spender, everybody: Iterable[BudgetSettings]
) -> Iterator[Finding]:
    """Names in lists that can meet on one session."""
    taken: set[tuple[str | None, str]] = {
        (budget.per, budget_name(budget, shared=True)) for budget in everybody if budget.per
    }
    own = [((*path, "budgets", index), b) for index, b in enumerate(spender.budgets) if b.per]
    for here, budget in own:
        if (budget.per, budget_name(budget)) in taken:
            yield _taken(here, budget, "the general budgets have it")
    taken |= {(budget.per, budget_name(budget)) for _, budget in own}
    for session, budgets in spender.sessions.items():
        for index, budget in enumerate(budgets):
            if ("session", budget_name(budget)) in taken:
                here = (*path, "sessions", session, index)
                yield _taken(here, budget, "a budget per session has it")


def _taken(path: Path, budget: BudgetSettings, by: str) -> Finding:
    return Finding(path, f"the name {shown(budget_name(budget))} is taken: {by}", OWN_NAME)


def _holes(path: Path, spender: Spender, settings: Settings) -> Iterator[Finding]:
    """What no budget limits."""
    budgets = [*spender.budgets, *settings.budgets]
    if any(not budget.per and not budget.models for budget in budgets):
        return
    message, hint = "has no budget: nothing limits it", "give it budgets, like [2.00 per 5h]"
    if any(not budget.models for budget in budgets):
        message = "each session is limited, but nothing limits how many there are"
        hint = "add a budget over all of them, like 20.00 per day"
    elif budgets:
        message = "calls of other models are not limited"
        hint = "add a budget without models, like 20.00 per day"
    elif spender.label is not None and _limited(spender.label, settings):
        message = "only its label limits it, and a caller may name another one in its URL"
    elif path == ("default_key",):
        return  # somebody has written that it has none
    yield Finding(path, message, hint, "warning")


def _limited(label: str, settings: Settings) -> bool:
    name = which(settings.labels, label)
    return name is not None and bool(settings.labels[name])


def _caps(path: Path, caps: CapsSettings) -> Iterator[Finding]:
    """Caps that another one always comes before."""
    pairs = (
        ("turns_per_session", "calls_per_session", "every turn is a call"),
        ("identical_failures", "consecutive_errors", "each of them is an error"),
    )
    for name, other, why in pairs:
        cap, before = getattr(caps, name), getattr(caps, other)
        if cap is not None and before is not None and cap > before:
            yield Finding(
                (*path, name), f"never reached: {other} is smaller, and {why}", "", "warning"
            )


def _window(path: Path, budget: BudgetSettings) -> Iterator[Finding]:
    fixed = budget.every not in PERIODS
    aligned = fixed and budget.align is not None
    allowed = {
        "align": (fixed, "a fixed length, like every: 5h"),
        "anchor": (fixed and not aligned, "a fixed length without align"),
        "reset_at": (
            aligned or (not fixed and budget.every != "total"),
            "day, week, month, or align: day",
        ),
        "timezone": (budget.every != "total", "windows that end"),
        "weekday": (budget.every == "week", "every: week"),
        "day": (budget.every == "month", "every: month"),
    }
    for name, (fits, partner) in allowed.items():
        if getattr(budget, name) is not None and not fits:
            yield Finding((*path, name), f"only goes with {partner}")
    if aligned and duration(budget.every) >= DAY:
        yield Finding(
            (*path, "align"), "only goes with windows shorter than a day", "write every: day"
        )
