"""What an owner changes by hand: top up, stop, adjust, reload. Says what has become of it."""

from __future__ import annotations

import os
from typing import Any

from budgetd.cli import paper
from budgetd.cli.fault import MISUSE, CommandFault
from budgetd.cli.link import Link
from budgetd.cli.paper import print_json
from budgetd.core.money import AmountError, pico_from_usd, usd_text


def topup(url: str | None, subject: str, *, as_json: bool, **arguments: Any) -> None:
    """More money in the current windows of a key, or of a session."""
    usd = amount(arguments.pop("amount"))
    kind, _, name = subject.rpartition(":")  # no key's name has a colon
    whose = {"session": name} if kind == "session" else {"key": subject}
    done = Link.find(url, os.environ).change("topup", usd=usd, **whose, **arguments)
    if as_json:
        print_json(done)
        return
    for budget in done["budgets"]:
        limit, left = paper.dollars(budget["limit_usd"]), paper.dollars(budget["remaining_usd"])
        when = budget["resets_at"]
        until = f" until {paper.clock(when)}" if when else ""
        name = f"session {done['session']}" if "session" in done else done["key"]
        print(f"{name}, budget {budget['name']}: the limit is {limit}{until}, {left} left")


def stop(url: str | None, key: str | None, *, now: bool, lift: bool, note: str) -> None:
    """Stop a key or all of them, or lift that."""
    who = f"key {key}" if key is not None else "everything"
    link = Link.find(url, os.environ)
    done = link.change("stop", key=key, all=key is None, lift=lift, now=now, note=note)
    if lift:
        if not done["lifted"]:
            raise CommandFault(f"{who} was not stopped")
        print(f"{who} may call again{_still_stopped(link, key)}")
        return
    ended = f"; running streams ended: {done['streams_ended']}" if now else ""
    print(f"{who} is stopped: new calls are refused{ended}")
    print(f"  lift it: budgetd stop {key or '--all'} --lift")


def _still_stopped(link: Link, lifted: str | None) -> str:
    """Which other stops still bind those whose stop was lifted (None: everybody's)."""
    subjects = [stop["subject"] for stop in link.status()["stops"]]
    if lifted is not None:
        everything = ", once everything may: all keys are still stopped\n"
        lift = "  lift that too: budgetd stop --all --lift"
        return everything + lift if "all" in subjects else ""
    names = [subject.removeprefix("key:") for subject in subjects]
    if not names:
        return ""
    lines = [f"  still stopped: key {name} (lift it: budgetd stop {name} --lift)" for name in names]
    return "\n".join([", except keys that were stopped by themselves", *lines])


def adjust(url: str | None, *, as_json: bool, call: str, amount: str, note: str) -> None:
    """A correcting row beside a call."""
    usd = signed(amount)
    done = Link.find(url, os.environ).change("adjust", call=call, usd=usd, note=note)
    if as_json:
        print_json(done)
        return
    before, after = paper.dollars(done["before_usd"]), paper.dollars(done["after_usd"])
    print(f"call {done['call']}: {before} before, {after} now")


def reload(url: str | None, *, as_json: bool) -> None:
    """Read the configuration again."""
    done = Link.find(url, os.environ).change("reload")
    if as_json:
        print_json(done)
        return
    print("\n".join(done["changes"]) or "nothing has changed")


def amount(text: str) -> str:
    """An amount above nothing, for the daemon: exact decimal text without a dollar sign."""
    value = signed(text)
    if value.startswith("-") or value == "0":
        raise CommandFault(f"{text} is not more than nothing", code=MISUSE)
    return value


def signed(text: str) -> str:
    """An amount that may be negative."""
    try:
        return usd_text(pico_from_usd(text.strip().replace("$", "", 1)))
    except AmountError:
        raise CommandFault(f"{text} is not a dollar amount like 2.50", code=MISUSE) from None
