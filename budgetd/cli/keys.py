"""`budgetd keys`: who may spend, and the tokens by which agents are known."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from budgetd.cli.options import Json, KeyName, Url

if TYPE_CHECKING:
    from rich.text import Text

app = typer.Typer(no_args_is_help=True, help="Keys, and tokens for agents.")


@app.command("list")
def list_(*, url: Url = None, as_json: Json = False) -> None:
    """List the keys with their budgets."""
    from budgetd.cli import paper
    from budgetd.cli.link import Link

    link = Link.find(url, os.environ)
    link.status()
    page = link.get("/status/keys")
    if as_json:
        paper.print_json(page)
        return
    out = paper.console()
    made = paper.table("KEY", "BUDGETS", "KNOWN BY", "STATE")
    made.columns[0].max_width = 24
    made.columns[1].no_wrap = False
    for key in page["keys"]:
        budgets = "\n".join(paper.budget_words(budget) for budget in key["budgets"])
        made.add_row(paper.plain(key["name"]), budgets or "none", _known_by(key), _state(key))
    out.print(made)
    patterns = page.get("patterns", [])
    if patterns:
        out.print()
        made = paper.table("PATTERN", "EACH NAME GETS", "KNOWN BY")
        made.columns[1].no_wrap = False
        for key in patterns:
            budgets = "\n".join(paper.budget_words(budget) for budget in key["budgets"])
            made.add_row(paper.plain(key["name"]), budgets or "no budget", _known_by(key))
        out.print(made)


@app.command()
def issue(
    key: KeyName,
    *,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it works, like 30d or 12h.")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a token for a key. It is shown this once."""
    from budgetd.cli import paper
    from budgetd.cli.link import Link

    link = Link.find(url, os.environ)
    made = link.change("keys/issue", key=key, expires_in_s=_seconds(expires))
    if as_json:
        paper.print_json(made)
        return
    name, token = made["key"], made["token"]
    until = f" until {paper.clock(made['expires_at'])}" if made["expires_at"] else ""
    print(f"A token for key {name}, valid{until}. It is not shown again:\n\n  {token}\n")
    print("The agent uses it as its API key:")
    print(f"  export ANTHROPIC_BASE_URL={link.url}")
    print(f"  export ANTHROPIC_API_KEY={token}")
    print("or")
    print(f"  export OPENAI_BASE_URL={link.url}/v1")
    print(f"  export OPENAI_API_KEY={token}")


@app.command()
def revoke(
    key: KeyName,
    *,
    token: Annotated[
        str | None,
        typer.Option(metavar="HINT", help="Only the token that begins so, as status KEY shows it."),
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a key's tokens stop working, at once."""
    from budgetd.cli import paper
    from budgetd.cli.fault import CommandFault
    from budgetd.cli.link import Link

    done = Link.find(url, os.environ).change("keys/revoke", key=key, hint=token)
    if as_json:
        paper.print_json(done)
    elif done["revoked"]:
        print(f"revoked {_tokens(done['revoked'])} of key {key}")
    if not done["revoked"]:
        which = f" that begins with {token}" if token else ""
        raise CommandFault(f"key {key} has no valid token{which}", f"see: budgetd status {key}")


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"


def _known_by(key: dict[str, Any]) -> str:
    if key["custody"] == "issued":
        return "token"
    return "anyone else" if key["name"] == "default" else "/k/ or credential"


def _state(key: dict[str, Any]) -> Text:
    from rich.text import Text

    from budgetd.cli import paper

    if key["stopped"]:
        return Text("stopped", style="red")
    if key["observe"]:
        return Text("observed", style="yellow")
    if key["expires_at"]:
        return Text(f"until {paper.clock(key['expires_at'])[:10]}")
    return Text("ok", style="green")


def _seconds(text: str | None) -> int | None:
    """A time like 30d in seconds."""
    if text is None:
        return None
    from budgetd.config.quantities import duration

    try:
        lasts = duration(text) // 1000
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expires") from None
    if lasts < 1:
        raise typer.BadParameter("must be at least a second", param_hint="--expires")
    return lasts
