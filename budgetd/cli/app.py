"""The `budgetd` command."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=True)


@app.callback()
def budgetd() -> None:
    """A local daemon that keeps AI agents inside a dollar budget."""


@app.command()
def run(
    config: Annotated[Path | None, typer.Option(help="The configuration file.")] = None,
    state: Annotated[Path | None, typer.Option(help="The state directory.")] = None,
) -> None:
    """Run the daemon in the foreground."""
    import uvloop

    from budgetd.config.load import load
    from budgetd.daemon import Daemon, serve

    environ = dict(os.environ)
    if state is not None:
        environ["BUDGETD_STATE"] = str(state)
    loaded = load(config, environ)

    async def running() -> None:
        daemon = Daemon(loaded, environ)
        await serve(daemon, lambda: typer.echo(f"budgetd serves {daemon.url}"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(running())


def main() -> None:
    """Entry point."""
    app()
