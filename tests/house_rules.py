"""The rules of the house that an import graph cannot show, each a function from one parsed module to its breaches.

Knows no file and no test framework: tests/test_architecture.py runs every rule over the tree and proves that each
can fail. An exception is a line of EXCEPTIONS with its reason.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6

CLOCKS = {
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "sleep")),
    *(f"time.{name}" for name in ("perf_counter", "perf_counter_ns", "localtime", "gmtime")),
    *(f"time.{name}" for name in ("ctime", "asctime", "strftime", "clock_gettime")),
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
}
SQL_CLOCK = re.compile(
    r"CURRENT_(?:TIMESTAMP|DATE|TIME)\b|(?:date|time|datetime|julianday|unixepoch|strftime)\([^)]*'now'|unixepoch\(\)",
    re.IGNORECASE,
)
BARE_TASKS = {"asyncio.create_task", "asyncio.ensure_future", "asyncio.Task"}
WEAK_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common"}
# Input, output and chance: pure code and sans-I/O code take them as arguments.
IMPURE = {
    *("asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "pathlib", "random"),
    *("secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl"),
    *("subprocess", "tempfile", "threading", "urllib.request"),
}
EXCUSE = re.compile(
    r"#\s*(?:noqa|type:\s*ignore|pragma:\s*no\s*(?:cover|branch)|fmt:\s*(?:off|skip))"
)
CODES = re.compile(r"\[[^\]]*\]|\b[A-Z]+\d+\b")

# rule name -> {path, or folder with a slash: reason}
EXCEPTIONS: dict[str, dict[str, str]] = {
    "reads_the_clock": {
        "budgetd/runtime.py": "owns the clock",
        "budgetd/simulator/": "a witness of its own: it may not import runtime",
    },
    "starts_a_bare_task": {
        "budgetd/runtime.py": "owns the named tasks",
        "budgetd/simulator/": "a witness of its own: it may not import runtime",
    },
    "counts_money_in_floats": {
        "budgetd/core/policy.py": "timeouts, in seconds; its money is integers like everyone's",
    },
}


@dataclass(frozen=True)
class Module:
    """One file, parsed. `path` is relative to the checkout, with forward slashes."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @cached_property
    def imported(self) -> dict[str, str]:
        """Local name -> what it stands for: `from time import time as t` gives t -> time.time."""
        names: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    local = alias.asname or alias.name.partition(".")[0]
                    names[local] = alias.name if alias.asname else local
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return names

    def meaning(self, node: ast.AST) -> str | None:
        """The full dotted name behind a name or attribute, if it comes from an import."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id)
        if isinstance(node, ast.Attribute) and (owner := self.meaning(node.value)):
            return f"{owner}.{node.attr}"
        return None

    def imports(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = "." * node.level + (node.module or "")
                yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)

    def mentions(self) -> Iterator[tuple[int, str]]:
        """Every use of something imported, by its full name; in attributes the longest one too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and (name := self.meaning(node)):
                yield node.lineno, name

    def method_calls(self, *names: str) -> Iterator[tuple[int, str, str]]:
        """Calls of `owner.name(…)`: line, the owner's text, name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in names:
                    yield node.lineno, ast.unparse(node.func.value), node.func.attr

    def texts(self) -> Iterator[tuple[int, str]]:
        """String literals, without those that stand alone as a statement: docstrings."""
        alone = {id(n.value) for n in ast.walk(self.tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if id(node) not in alone:
                    yield node.lineno, node.value

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def within(self, *places: str) -> bool:
        return any(self.path == p or (p.endswith("/") and self.path.startswith(p)) for p in places)


class Breach(NamedTuple):
    line: int
    what: str


Rule = Callable[[Module], Iterator[Breach]]


# ------------------------------------------------------------------------------------------ the rules


def reads_the_clock(module: Module) -> Iterator[Breach]:
    """Time comes from runtime's clock, which tests move. A mention is enough: it may be passed on."""
    for line, name in module.mentions():
        if name in CLOCKS:
            yield Breach(line, f"reads the clock with {name}; take `now` from runtime")
    for line, owner, _ in module.method_calls("time"):
        if owner.rstrip("()").endswith("loop"):
            yield Breach(line, f"reads the loop's clock with {owner}.time()")
    for line, text in module.texts():
        if SQL_CLOCK.search(text):
            yield Breach(line, "lets SQLite read the clock; bind `now` instead")


def starts_a_bare_task(module: Module) -> Iterator[Breach]:
    """A task that nobody holds can vanish or fail unheard. Task groups hold theirs."""
    for line, name in module.mentions():
        if name in BARE_TASKS:
            yield Breach(line, f"starts a bare task with {name}; use runtime's named tasks")
    groups = set(task_groups(module))
    for line, owner, method in module.method_calls("create_task", "ensure_future"):
        if owner not in groups and owner not in module.imported:
            yield Breach(line, f"starts a bare task with {owner}.{method}")


def is_too_long(module: Module) -> Iterator[Breach]:
    lines = module.source.count("\n")
    if lines > MAX_MODULE_LINES:
        yield Breach(lines, f"the module has {lines} lines of {MAX_MODULE_LINES}")
    for function in module.functions():
        size = (function.end_lineno or function.lineno) - function.lineno + 1
        if size > MAX_FUNCTION_LINES:
            what = f"{function.name} has {size} lines of {MAX_FUNCTION_LINES}"
            yield Breach(function.lineno, what)


def takes_too_much(module: Module) -> Iterator[Breach]:
    for function in module.functions():
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        count = sum(a.arg not in {"self", "cls"} for a in named)
        if count > MAX_PARAMETERS:
            yield Breach(function.lineno, f"{function.name} takes {count} of {MAX_PARAMETERS}")


def has_boolean_positionals(module: Module) -> Iterator[Breach]:
    """`send(body, True)` says nothing: a flag is given by its name."""
    for function in module.functions():
        positional = [*function.args.posonlyargs, *function.args.args]
        defaults = [None] * (len(positional) - len(function.args.defaults))
        for argument, default in zip(positional, [*defaults, *function.args.defaults], strict=True):
            annotation = ast.unparse(argument.annotation) if argument.annotation else ""
            flag = isinstance(default, ast.Constant) and isinstance(default.value, bool)
            if flag or re.match(r"(Annotated\[)?(Optional\[)?bool\b", annotation):
                what = f"{function.name}: {argument.arg} must be keyword-only"
                yield Breach(argument.lineno, what)


def says_nothing(module: Module) -> Iterator[Breach]:
    """Each module opens with what it owns, its rules, and what it refuses to know."""
    if not (ast.get_docstring(module.tree) or "").strip():
        yield Breach(1, "the module has no docstring")


def has_a_weak_name(module: Module) -> Iterator[Breach]:
    for part in Path(module.path).with_suffix("").parts:
        if part == "base" or WEAK_NAMES & set(part.split("_")):
            yield Breach(1, f"{part} is no domain noun")


def counts_money_in_floats(module: Module) -> Iterator[Breach]:
    """No float where money is counted: no literal, no conversion, and in core no true division.

    The whole of core, and not a list of files: a new one must ask for its exception.
    """
    if not module.within("budgetd/core/", "budgetd/ledger/"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield Breach(node.lineno, f"a float literal, {node.value}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "float":
            yield Breach(node.lineno, "a conversion to float")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            if module.within("budgetd/core/"):
                yield Breach(node.lineno, "a true division; use // or core.money.ceil_ratio")


def is_impure(module: Module) -> Iterator[Breach]:
    """Core is pure and the wire is sans-I/O; core is also the standard library alone."""
    core = module.within("budgetd/core/")
    if not core and not module.within("budgetd/wire/"):
        return
    for line, name in module.imports():
        if any(name == bad or name.startswith(f"{bad}.") for bad in IMPURE):
            yield Breach(line, f"imports {name}, which does I/O")
        elif core and name.partition(".")[0] not in {"budgetd", *sys.stdlib_module_names}:
            yield Breach(line, f"core imports {name}, which is no part of the standard library")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"open", "print", "input"}:
            yield Breach(node.lineno, f"calls {ast.unparse(node.func)}")


def leans_on_the_house(module: Module) -> Iterator[Breach]:
    """The simulator is an independent witness: a mistake it shared could not be seen."""
    if module.within("budgetd/simulator/"):
        for line, name in module.imports():
            package, _, room = name.partition(".")
            if package == "budgetd" and room.partition(".")[0] != "simulator":
                yield Breach(line, f"the simulator imports {name}")


def excuses_itself_silently(module: Module) -> Iterator[Breach]:
    """An ignore and a sleep carry their reason on the line."""
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(module.source).readline)
        if token.type == tokenize.COMMENT
    }
    for line, comment in comments.items():
        if EXCUSE.match(comment):
            reason = CODES.sub("", EXCUSE.sub("", comment))
            if len(re.findall(r"[a-z]", reason)) < 8:
                yield Breach(line, f"no reason: {comment} -- why")
    for line, name in module.mentions():
        if name == "asyncio.sleep" and line not in comments:
            yield Breach(line, "a sleep without a reason on its line")


# ------------------------------------------------------------------------------------ what rules share


def task_groups(module: Module) -> Iterator[str]:
    """The names bound by `async with asyncio.TaskGroup() as name`, or annotated as one."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.withitem) and isinstance(node.context_expr, ast.Call):
            if module.meaning(node.context_expr.func) == "asyncio.TaskGroup" and node.optional_vars:
                yield ast.unparse(node.optional_vars)
        elif isinstance(node, ast.arg) and node.annotation is not None:
            if module.meaning(node.annotation) == "asyncio.TaskGroup":
                yield node.arg


def breaches(rule: Rule, module: Module) -> list[Breach]:
    return [] if module.within(*EXCEPTIONS.get(rule.__name__, {})) else list(rule(module))
