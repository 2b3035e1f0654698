"""The `budgetd` command: its verbs, and what becomes of their faults.

Declares the commands and nothing else: what one does is imported when it runs, so that asking for
the status does not load a web server. A `CommandFault` is told in a line with what to do; so is
every error of the machine that can be expected (a directory that is not writable, a closed pipe).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from budgetd.cli import configuration, keys, prices
from budgetd.cli.fault import PROBLEM, CommandFault
from budgetd.cli.options import Amount, Config, Json, Note, State, Url

INTERRUPTED = 130

app = typer.Typer(
    name="budgetd",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys.app, name="keys")
app.add_typer(prices.app, name="prices")
app.add_typer(configuration.app, name="config")


def _version(wanted: object) -> None:
    if wanted:
        from budgetd import __version__

        print(f"budgetd {__version__}")
        raise typer.Exit


@app.callback()
def budgetd(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Keeps AI agents inside a dollar budget.

    Start it with [bold]budgetd run[/], point an agent's base URL at it, and look at
    [bold]budgetd status[/]. [bold]budgetd demo[/] shows it all without any account.
    """


@app.command()
def run(config: Config = None, state: State = None) -> None:
    """Run the daemon in the foreground."""
    from budgetd.cli.run import run as start

    start(config, state)


@app.command()
def status(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="One key in detail.")] = None,
    *,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show where the money stands."""
    from budgetd.cli.link import Link
    from budgetd.cli.paper import print_json

    link = Link.find(url, os.environ)
    page = link.status()
    detail = link.key(key) if key else None
    if as_json:
        print_json(detail or page)
        return
    from budgetd.cli import overview

    if detail is not None:
        overview.show_key(detail, page["now"])
    else:
        overview.show(page, link.url)


@app.command()
def sessions(
    *,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only of this key.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Busy since 22:00, for 2h, or a date.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=500, metavar="N", help="How many, the newest.")
    ] = 20,
    all_: Annotated[bool, typer.Option("--all", help="As many as can be shown.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List conversations: cost, growth, and how far each still goes."""
    from budgetd.cli import sessions as listing
    from budgetd.cli.link import Link

    wanted = listing.Wanted(key, since, listing.MOST_TREES if all_ else limit)
    listing.show(Link.find(url, os.environ), wanted, as_json=as_json)


@app.command()
def session(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="A session's id or name, or how it begins.")
    ],
    *,
    turns: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many turns.")] = 12,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show one conversation: turn by turn, and where money and tokens went."""
    from budgetd.cli import session as conversation
    from budgetd.cli.link import Link

    conversation.show(Link.find(url, os.environ), name, turns=turns, as_json=as_json)


@app.command()
def topup(
    subject: Annotated[
        str, typer.Argument(metavar="KEY", help="A key, or session:ID for a single session.")
    ],
    amount: Amount,
    *,
    budget: Annotated[
        str | None, typer.Option(help="Only this budget. [dim]Default: all that sit on it.[/]")
    ] = None,
    note: Note = "",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Give a key, or a session, more money in its current windows."""
    from budgetd.cli import desk

    desk.topup(url, subject, as_json=as_json, amount=amount, budget=budget, note=note)


@app.command()
def stop(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="The key to stop.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Stop every key.")] = False,
    now: Annotated[bool, typer.Option("--now", help="End running streams too.")] = False,
    lift: Annotated[bool, typer.Option("--lift", help="Let it call again.")] = False,
    note: Note = "",
    url: Url = None,
) -> None:
    """The kill switch: refuse a key's calls until it is lifted."""
    from budgetd.cli import desk

    if (key is None) is not all_:
        raise typer.BadParameter("name one key, or say --all")
    if lift and now:
        raise typer.BadParameter("--now goes with stopping, not with --lift")
    desk.stop(url, key, now=now, lift=lift, note=note)


@app.command(context_settings={"ignore_unknown_options": True})  # so that -0.02 is an amount
def adjust(
    call: Annotated[str, typer.Argument(metavar="CALL", help="A call, as status KEY names it.")],
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="Dollars to add; -0.02 takes two cents off.")
    ],
    *,
    note: Note = "",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Correct what a call cost, with a row of its own beside it."""
    from budgetd.cli import desk

    desk.adjust(url, as_json=as_json, call=call, amount=amount, note=note)


@app.command()
def reload(*, url: Url = None, as_json: Json = False) -> None:
    """Make the daemon read its configuration again."""
    from budgetd.cli import desk

    desk.reload(url, as_json=as_json)


@app.command()
def doctor(
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Reach for no provider.")] = False,
    config: Config = None,
    state: State = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Check the installation, the ledger and the way to the providers."""
    from budgetd.cli import doctor as surgery

    raise typer.Exit(surgery.examine(surgery.Patient(config, state, url, offline), as_json=as_json))


@app.command()
def demo() -> None:
    """Watch simulated agents meet their budgets; no account needed, under a minute."""
    from budgetd.cli.demo.stage import perform

    raise typer.Exit(perform())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code, except that typer exits by itself for its own."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without box characters is no reason
    try:
        app(arguments, prog_name="budgetd")
    except CommandFault as fault:
        _tell(fault)
        return fault.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush into
        return PROBLEM
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _tell(CommandFault(f"{name}{error.strerror or error}"))
        return PROBLEM
    return 0


def _tell(fault: CommandFault) -> None:
    print(f"budgetd: {fault.message}", file=sys.stderr)
    for line in fault.advice:
        print(f"  {line}", file=sys.stderr)
