"""Changes: what differs between two configurations, as a journal for the log.

A line for each setting that was added, removed or changed, by its path. Settings hold only the
*names* of secrets, so nothing here needs hiding. Budgets are compared by their names, so that a
changed amount reads as one and a new window as another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from budgetd.config.budgets import BudgetSettings, budget_name, budget_words
from budgetd.config.keys import DefaultKeySettings, KeySettings
from budgetd.config.problems import Path, dotted
from budgetd.config.settings import Settings

NEEDS_RESTART = ("listen", "state")
WINDOW = ("align", "anchor", "timezone", "reset_at", "weekday", "day", "every", "per")
STAYS = ("limit", "models")
ABSENT = object()


def changes(old: Settings, new: Settings) -> list[str]:
    """What changed, a line each. Settings say if they need a restart, budgets what becomes of
    the money already spent."""
    before, after = _facts(old), _facts(new)
    was, now = _items(old), _items(new)
    gone = [path for path in was if path not in now]
    come = [path for path in now if path not in was]
    whole = {*gone, *come}
    lines = [f"{dotted(path)}: removed" for path in _outermost(gone)]
    lines += [f"{dotted(path)}: added{now[path]}" for path in _outermost(come)]
    for path in dict.fromkeys((*before, *after)):
        if not any(path[:length] in whole for length in range(len(path))):
            one, other = before.get(path, ABSENT), after.get(path, ABSENT)
            if one != other:
                effect = _effect(path, budget=path[:-1] in now)
                lines.append(f"{dotted(path)}: {_change(one, other)}{effect}")
    return lines


def _items(settings: Settings) -> dict[Path, str]:
    """What comes and goes as a whole, each with a few words about it: providers, keys, labels,
    budgets.
    """
    items: dict[Path, str] = {("providers", name): "" for name in settings.providers}
    items |= {("keys", name): "" for name in settings.keys}
    for path, budgets in _named(settings):
        words = " and ".join(map(budget_words, budgets))
        items[path] = f", {words or 'without a budget'}"
    for path, by_name in _lists(settings):
        for name, budget in by_name.items():
            items[(*path, name)] = f", {budget_words(budget)}"
    return items


def _lists(settings: Settings) -> Iterator[tuple[Path, dict[str, BudgetSettings]]]:
    """Every list of budgets, by its path, as budgets by their names."""
    yield ("budgets",), {budget_name(budget, shared=True): budget for budget in settings.budgets}
    own = [((*path, "budgets"), spender.budgets) for path, spender in _spenders(settings)]
    for path, budgets in (*own, *_named(settings)):
        yield path, {budget_name(budget): budget for budget in budgets}


def _named(settings: Settings) -> Iterator[tuple[Path, list[BudgetSettings]]]:
    """The lists of labels and of sessions that are named."""
    for label, budgets in settings.labels.items():
        yield ("labels", label), budgets
    for path, spender in _spenders(settings):
        for session, budgets in spender.sessions.items():
            yield (*path, "sessions", session), budgets


def _spenders(settings: Settings) -> Iterator[tuple[Path, KeySettings | DefaultKeySettings]]:
    yield ("default_key",), settings.default_key
    for name, key in settings.keys.items():
        yield ("keys", name), key


def _outermost(paths: list[Path]) -> list[Path]:
    return [
        path for path in paths if not any(path[:length] in paths for length in range(len(path)))
    ]


def _effect(path: Path, *, budget: bool) -> str:
    if path[0] in NEEDS_RESTART:
        return " (takes effect after a restart)"
    if budget and path[-1] in WINDOW:
        return " (a new window begins)"
    return " (what was spent stays)" if budget and path[-1] in STAYS else ""


def _facts(settings: Settings) -> dict[Path, Any]:
    """Every setting that has a value, by its path; budgets go by their names."""
    data = settings.model_dump(mode="json", exclude_none=True)
    for path, budgets in _lists(settings):
        holder: Any = data
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = dict(zip(budgets, holder[path[-1]], strict=True))
    facts: dict[Path, Any] = {}
    _collect(data, (), facts)
    return facts


def _collect(value: Any, path: Path, facts: dict[Path, Any]) -> None:
    if isinstance(value, dict):
        for name, below in value.items():
            _collect(below, (*path, name), facts)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            _collect(item, (*path, index), facts)
    else:
        facts[path] = value


def _change(was: Any, now: Any) -> str:
    if was is ABSENT:
        return f"set to {_text(now)}"
    return "removed" if now is ABSENT else f"{_text(was)} -> {_text(now)}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    return ("false", "true")[value] if isinstance(value, bool) else str(value)
