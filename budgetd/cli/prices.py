"""`budgetd prices`: what budgetd believes a token costs, since when, and saying otherwise."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from budgetd.cli.options import Config, Json

app = typer.Typer(no_args_is_help=True, help="Prices: what they are, and your own.")


@app.command()
def show(
    provider: Annotated[
        str | None, typer.Argument(help="A provider; or a model, of whichever provider.")
    ] = None,
    model: Annotated[str | None, typer.Argument(help="One model, with every price.")] = None,
    *,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show prices in dollars per million tokens, with their source and date.

    Compiles the catalogue and your own prices as the daemon does; needs none running.
    """
    from budgetd.cli.pricebook import show as shown

    shown(config, provider, model, as_json=as_json)


@app.command("set")
def set_(
    provider: Annotated[str, typer.Argument(help="The provider, as the configuration calls it.")],
    model: Annotated[str, typer.Argument(help="The model's exact name.")],
    *,
    input_: Annotated[str | None, typer.Option("--input", help="Dollars per million.")] = None,
    output: Annotated[str | None, typer.Option("--output", help="Dollars per million.")] = None,
    other: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUCKET=DOLLARS",
            help="Any other price, like cache_read=0.25; free=true for a model that costs nothing."
            " May be repeated.",
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Write your own price into the configuration file. Comments stay as they are."""
    from budgetd.cli.pricefile import set_price

    given = {"input": input_, "output": output}
    prices = {bucket: text for bucket, text in given.items() if text is not None}
    for word in other or ():
        bucket, equals, text = word.partition("=")
        if not equals:
            raise typer.BadParameter(f"{word} is not BUCKET=DOLLARS", param_hint="--other")
        prices[bucket.strip()] = text.strip()
    if not prices:
        raise typer.BadParameter("say at least --input and --output, or --other free=true")
    set_price(config, (provider, model), prices, os.environ)


@app.command()
def update(*, as_json: Json = False) -> None:
    """Say how old the price catalogue is, and how to get a newer one."""
    from budgetd.cli.pricebook import tell_update

    tell_update(as_json=as_json)
