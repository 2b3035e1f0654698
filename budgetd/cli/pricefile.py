"""Writing a price into the owner's configuration file.

The file is theirs: comments, order and spelling stay, only the price changes. What would be written
is checked whole before it replaces anything, and it replaces in one step; a file that the change
would break, or alter anywhere else, is left as it was.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from difflib import SequenceMatcher
from pathlib import Path
from textwrap import fill
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarfloat import ScalarFloat

from budgetd.cli.fault import CommandFault
from budgetd.cli.pricebook import compiled
from budgetd.config.document import parse
from budgetd.config.load import Loaded, load
from budgetd.config.places import find, user_file
from budgetd.config.problems import ConfigError, Problem, did_you_mean, dotted
from budgetd.config.problems import shown as plainly
from budgetd.config.providers import Prices
from budgetd.core.pricebook import PriceBook
from budgetd.runtime import SystemClock

Target = tuple[str, str]  # provider, model
# Ways to indent: (map, list, dash). The first is ours.
LAYOUTS = ((2, 4, 2), (2, 2, 0), (4, 4, 2), (4, 6, 4), (4, 2, 0), (4, 4, 0), (3, 5, 3))
FREE = {"true": True, "false": False}


def set_price(
    config: Path | None, target: Target, prices: Mapping[str, str], environ: Mapping[str, str]
) -> None:
    """Write it, and say so. Raises CommandFault; then the file is as it was."""
    path = config or find(environ) or user_file(environ)
    _are_prices(prices)
    real = path.resolve()  # a link stays a link
    if real.exists() and not (os.access(real, os.W_OK) and real.stat().st_mode & 0o222):
        raise CommandFault(f"{path} is read-only: nothing was changed")
    before = real.read_bytes() if real.exists() else b""
    after = _with_price(before, path, target, prices)
    _only_that_changed(before, after, path, target)
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(real, after)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CommandFault(f"{path} cannot be written: {real.parent}: {why}") from None
    try:
        loaded, book = _checked(draft, environ, target)
        _reads_as_typed(loaded, target, prices)
        draft.replace(real)
    finally:
        draft.unlink(missing_ok=True)
    provider, model = target
    written = loaded.settings.providers[provider].prices[model].dollars()
    words = ", ".join(f"{name}{_words(value)}" for name, value in written.items())
    print(f"{path}: {provider}/{model} is now {words}")
    for warning in book.warnings:
        print(f"Warning: {warning}")
    found = book.providers[provider].models.find(model)
    if found is not None and found.variants:
        names = ", ".join(name.partition("=")[2] or name for name in sorted(found.variants))
        print(f"Its list prices for {names} stay as they are.")
    if before:
        print("A running budgetd that uses this file takes it over by itself.")
    else:
        print("The file is new: restart budgetd to use it.")


def _are_prices(prices: Mapping[str, str]) -> None:
    for bucket in prices:
        if bucket not in Prices.model_fields:
            near = did_you_mean(bucket, Prices.model_fields)
            known = fill(f"there are {', '.join(Prices.model_fields)}", 76).splitlines()
            advice = (near, *known) if near.startswith("did") else known
            raise CommandFault(f"{plainly(bucket)} is no price", *advice)


def _words(value: Decimal | bool) -> str:
    return "" if isinstance(value, bool) else f" ${value:f}"


def _with_price(before: bytes, path: Path, target: Target, prices: Mapping[str, str]) -> bytes:
    """The file's text with the price in it."""
    try:
        parse(before, str(path))
        yaml = _in_their_hand(before)
        data = yaml.load(before)
    except ConfigError as error:
        raise CommandFault(str(error)) from None
    except (YAMLError, UnicodeError) as error:
        raise CommandFault(f"{path} cannot be edited: {error}") from None
    data = {} if data is None else data
    place = data
    for name in ("providers", target[0], "prices", target[1]):
        if not isinstance(place.get(name), dict):
            place[name] = {}
        place = place[name]
    if "free" in prices or "free" in place:
        place.clear()  # free and prices exclude each other
    for bucket, amount in prices.items():
        place[bucket] = _scalar(bucket, amount)
    lead = _leading_comment(before) if not data.keys() - {"providers"} else b""
    result = _dumped(yaml, data)
    return result if not lead or result.startswith(lead) else lead + result


def _in_their_hand(text: bytes) -> YAML:
    """A writer with the indentation that gives this text back with the fewest changed lines."""
    lines = text.splitlines()

    def changed(layout: tuple[int, int, int]) -> int:
        yaml = _writer(layout)
        again = _dumped(yaml, yaml.load(text)).splitlines()
        return sum(kind != "  " for kind in _kinds(lines, again))

    return _writer(min(LAYOUTS, key=changed) if lines else LAYOUTS[0])


def _kinds(one: list[bytes], other: list[bytes]) -> Iterator[str]:
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    for tag, start, end, begin, finish in matcher.get_opcodes():
        yield from ["  " if tag == "equal" else "- "] * max(end - start, finish - begin)


def _writer(layout: tuple[int, int, int]) -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100_000  # fold no line
    mapping, sequence, offset = layout
    yaml.indent(mapping=mapping, sequence=sequence, offset=offset)
    return yaml


def _dumped(yaml: YAML, data: Any) -> bytes:
    out = io.BytesIO()
    if data is not None:
        yaml.dump(data, out)
    return out.getvalue()


def _leading_comment(before: bytes) -> bytes:
    """All of a file that holds nothing but comments: the parser keeps none of those."""
    lines = before.splitlines(keepends=True)
    return before if all(not x.strip() or x.lstrip().startswith(b"#") for x in lines) else b""


def _scalar(bucket: str, text: str) -> Any:
    """A price as it will stand in the file: with the digits that were typed."""
    if bucket == "free":
        if text.lower() not in FREE:
            raise CommandFault("free is true or false")
        return FREE[text.lower()]
    amount = text.removeprefix("$")
    whole, point, places = amount.partition(".")
    if not (whole + places).isdecimal() or not (whole + places).isascii():
        raise CommandFault(f"{bucket}: {text} is not an amount in dollars, like 2.50")
    if not point:
        return int(whole)
    return ScalarFloat(float(amount), width=len(amount), prec=len(whole), m_lead0=0, underscore=[])


def _only_that_changed(before: bytes, after: bytes, path: Path, target: Target) -> None:
    """Compare what both texts mean, without the price. A round trip that lost something is told."""
    if _meaning(before, path, target) != _meaning(after, path, target):
        raise CommandFault(
            f"{path} could not be rewritten without changing something else", "edit it by hand"
        )


def _meaning(text: bytes, path: Path, target: Target) -> Any:
    data = parse(text, str(path)).data()
    providers = data.get("providers") or {}
    provider = providers.get(target[0]) or {}
    prices = provider.get("prices") or {}
    prices.pop(target[1], None)
    rest = {name: value for name, value in provider.items() if name != "prices"}
    others = {name: value for name, value in providers.items() if name != target[0]}
    top = {name: value for name, value in data.items() if name != "providers"}
    return top, others, rest, prices


def _reads_as_typed(loaded: Loaded, target: Target, prices: Mapping[str, str]) -> None:
    written = loaded.settings.providers[target[0]].prices[target[1]].dollars()
    for bucket, text in prices.items():
        if bucket != "free" and written[bucket] != Decimal(text.removeprefix("$")):
            raise CommandFault(f"{bucket}: {text} could not be written exactly")


def _draft(real: Path, text: bytes) -> Path:
    """The new text on disk beside the file, with the file's permissions."""
    descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        mode = stat.S_IMODE(real.stat().st_mode) if real.exists() else 0o600
        os.fchmod(file.fileno(), mode)
    return Path(name)


def _checked(draft: Path, environ: Mapping[str, str], target: Target) -> tuple[Loaded, PriceBook]:
    """The draft as a configuration, and its prices. Its lines are not the file's: none is named."""
    try:
        loaded = load(draft, environ, reading="unread")
        return loaded, compiled(loaded, SystemClock().wall())
    except ConfigError as error:
        lines = [_told(problem, target) for problem in error.problems]
        raise CommandFault("nothing was changed, because then", *lines) from None


def _told(problem: Problem, target: Target) -> str:
    """A problem of the draft, without its place; one of the price by the price's name."""
    price = dotted(("providers", target[0], "prices", target[1]))
    what = problem.path.removeprefix(f"{price}.")
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{what}: {problem.message}{hint}" if what else f"{problem.message}{hint}"
