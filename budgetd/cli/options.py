"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="BUDGETD_URL",
        metavar="URL",
        help="Where the daemon is. [dim]Default: what the configuration listens on.[/]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept beside it in the ledger.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration file. [dim]Default: $BUDGETD_CONFIG, the user's, the machine's.[/]",
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="The directory for ledger and secrets. [dim]Default: the configuration's.[/]",
    ),
]
KeyName = Annotated[str, typer.Argument(metavar="KEY", help="The name of a key.")]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="Dollars, like 2.50.")]
