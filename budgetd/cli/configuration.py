"""`budgetd config`: is it right, what can be in it, what is in force."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from budgetd.cli.options import Config, Json

app = typer.Typer(no_args_is_help=True, help="The configuration: check it, show it.")


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="[dim]Default: the file that `run` would use.[/]"),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check a configuration file: every mistake with its line. Exits 1 if there is one."""
    from budgetd.cli.examine import check as examined

    raise typer.Exit(examined(file, os.environ, as_json=as_json))


@app.command()
def schema() -> None:
    """Print the JSON schema of the file, for editors."""
    from budgetd.config.schema import schema_text

    print(schema_text(), end="")


@app.command()
def show(*, config: Config = None, as_json: Json = False) -> None:
    """Show what is in force: the file, the environment and the defaults together.

    Where a secret comes from is shown; the secret is not.
    """
    from budgetd.cli.examine import show as shown

    shown(config, os.environ, as_json=as_json)
