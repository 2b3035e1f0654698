"""The second check of the house: what import-linter cannot show (the rules are in house_rules.py).

Every rule runs over the whole package, and every rule is shown bad snippets that it must catch and good ones that
it must leave alone. An exception that no file needs any more is a failure too.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house_rules import (
    EXCEPTIONS,
    Module,
    Rule,
    breaches,
    counts_money_in_floats,
    excuses_itself_silently,
    has_a_weak_name,
    has_boolean_positionals,
    is_impure,
    is_too_long,
    leans_on_the_house,
    reads_the_clock,
    says_nothing,
    starts_a_bare_task,
    takes_too_much,
)

ROOT = Path(__file__).resolve().parent.parent


class Proof(NamedTuple):
    rule: Rule
    bad: list[str]
    good: list[str]
    path: str = "budgetd/proxy/relay.py"


def long_function(lines: int) -> str:
    return "def f():\n" + "    pass\n" * (lines - 1)


PROOFS = [
    Proof(
        reads_the_clock,
        [
            "import time\ntime.time()",
            "import time as t\nt.monotonic()",
            "from time import monotonic as m\nf = field(default_factory=m)",
            "import datetime as dt\ndt.datetime.now(tz=dt.UTC)",
            "from datetime import datetime\ndatetime.utcnow()",
            "from datetime import date\ndate.today()",
            "import asyncio\nasyncio.get_running_loop().time()",
            "def f(loop): return loop.time()",
            "SQL = 'INSERT INTO t VALUES (CURRENT_TIMESTAMP)'",
            "SQL = \"SELECT datetime('now')\"",
        ],
        [
            "def f(clock): return clock.now()",
            "import datetime\ndatetime.datetime.fromtimestamp(5, datetime.UTC)",
            "def f(moment): return moment.time()",
            'def f():\n    """Never CURRENT_TIMESTAMP."""',
        ],
    ),
    Proof(
        starts_a_bare_task,
        [
            "import asyncio\nasyncio.create_task(f())",
            "from asyncio import ensure_future\nensure_future(f())",
            "import asyncio\nasyncio.get_running_loop().create_task(f())",
            "class A:\n    def f(self): self._loop.create_task(f())",
        ],
        [
            "from budgetd import runtime\nruntime.spawn('reader', f())",
            "import asyncio\nasync def f():\n async with asyncio.TaskGroup() as group:\n  group.create_task(f())",
        ],
    ),
    Proof(is_too_long, ["x = 1\n" * 401, long_function(61)], ["x = 1\n" * 400, long_function(60)]),
    Proof(
        takes_too_much,
        ["def f(a, b, c, d, e, f, g): ...", "async def f(a, b, c, *, d, e, f, g): ..."],
        ["class A:\n def f(self, a, b, c, d, e, f): ..."],
    ),
    Proof(
        has_boolean_positionals,
        [
            "def f(a: bool): ...",
            "def f(a, b=True): ...",
            "def f(a: bool | None = None): ...",
            "def f(a: Annotated[bool, Option()] = False): ...",
        ],
        ["def f(a: int, *, b: bool = False): ...", "def f(a: Callable[[], bool]): ..."],
    ),
    Proof(says_nothing, ["x = 1", "", '"""  """'], ['"""Owns x."""']),
    Proof(has_a_weak_name, [""], [], "budgetd/wire/utils.py"),
    Proof(has_a_weak_name, [""], [], "budgetd/common/sse.py"),
    Proof(has_a_weak_name, [""], [], "budgetd/proxy/session_manager.py"),
    Proof(has_a_weak_name, [], ["x = 1"], "budgetd/wire/base_url.py"),
    *(
        Proof(
            counts_money_in_floats,
            ["x = 0.5", "x = 1e6", "x = float(y)"],
            ["x = 5 // 2", "isinstance(x, float)"],
            path,
        )
        for path in ("budgetd/core/money.py", "budgetd/ledger/writer.py")
    ),
    Proof(counts_money_in_floats, ["x = a / b", "a /= 2"], [], "budgetd/core/prices.py"),
    Proof(counts_money_in_floats, [], ["x = folder / 'f'"], "budgetd/ledger/writer.py"),
    Proof(counts_money_in_floats, [], ["x = 0.5"], "budgetd/status/api.py"),
    Proof(
        is_impure,
        [
            "import os",
            "import asyncio",
            "from urllib.request import x",
            "import msgspec",
            "open('f')",
        ],
        ["from zoneinfo import ZoneInfo", "from budgetd.core import money"],
        "budgetd/core/windows.py",
    ),
    Proof(is_impure, ["import socket", "print(1)"], ["import msgspec"], "budgetd/wire/body.py"),
    Proof(is_impure, [], ["import socket"], "budgetd/proxy/upstream.py"),
    Proof(
        leans_on_the_house,
        ["import budgetd.core", "from budgetd.core.money import x", "from budgetd import core"],
        ["from budgetd.simulator.bill import Bill", "import aiohttp"],
        "budgetd/simulator/server.py",
    ),
    Proof(
        excuses_itself_silently,
        [
            "x = 1  # noqa: E501",
            "x = 1  # type: ignore[arg-type]",
            "if x:  # pragma: no cover\n    pass",
            "import asyncio\nasync def f(): await asyncio.sleep(1)",
        ],
        [
            "x = 1  # noqa: E501 -- a table of prices",
            "x = 1  # type: ignore[arg-type]  # the stub is older than the library",
            "import asyncio\nasync def f(): await asyncio.sleep(0)  # lets the readers in",
        ],
    ),
]
RULES = list(dict.fromkeys(proof.rule for proof in PROOFS))


@pytest.fixture(scope="module")
def package() -> list[Module]:
    files = sorted((ROOT / "budgetd").rglob("*.py"))
    return [Module(f.relative_to(ROOT).as_posix(), f.read_text(encoding="utf-8")) for f in files]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule, package: list[Module]) -> None:
    assert package
    found = [
        f"{module.path}:{breach.line} {breach.what}"
        for module in package
        for breach in breaches(rule, module)
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "path", "snippet"),
    [(proof.rule, proof.path, bad) for proof in PROOFS for bad in proof.bad],
)
def test_a_rule_catches(rule: Rule, path: str, snippet: str) -> None:
    assert breaches(rule, Module(path, snippet))


@pytest.mark.parametrize(
    ("rule", "path", "snippet"),
    [(proof.rule, proof.path, good) for proof in PROOFS for good in proof.good],
)
def test_a_rule_leaves_alone(rule: Rule, path: str, snippet: str) -> None:
    assert not breaches(rule, Module(path, snippet))


def test_every_exception_is_needed(package: list[Module]) -> None:
    """A folder's exception needs a file in it, a file's exception a breach that it excuses."""
    rules = {rule.__name__: rule for rule in RULES}
    for name, places in EXCEPTIONS.items():
        for place, reason in places.items():
            assert reason
            excused = [module for module in package if module.within(place)]
            assert excused, f"{name}: nothing is at {place}"
            if not place.endswith("/"):
                assert any(True for m in excused for _ in rules[name](m)), (
                    f"{name}: {place} is clean"
                )
