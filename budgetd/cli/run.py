"""`budgetd run`: the daemon in the foreground, and a clear word when it cannot start.

Loads the configuration, sets the log up, starts `daemon.serve`, and prints the banner once it
serves. Every fault that an operator can do something about ends in a line or two; what remains is a
defect and keeps its traceback.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from budgetd.cli import banner, logs
from budgetd.cli.fault import CommandFault, bad_configuration
from budgetd.cli.link import Link
from budgetd.config.load import Loaded, load
from budgetd.config.pricelist import PriceListError
from budgetd.config.problems import ConfigError
from budgetd.config.secrets import SecretFault
from budgetd.daemon import Daemon, serve
from budgetd.errors import StateInUse, StoreFault
from budgetd.runtime import Tasks

ASKING = 2.0  # seconds for whoever has our address to say who it is
EXPECTED = (StateInUse, StoreFault, SecretFault, PriceListError, ConfigError, OSError)


def run(config: Path | None, state: Path | None) -> None:
    """Serve until a signal. Raises CommandFault if it cannot start."""
    environ = dict(os.environ)
    if state is not None:
        environ["BUDGETD_STATE"] = str(state)
    loaded = loaded_or_fault(config, environ)
    log = loaded.settings.log
    logs.configure(log.level, log.format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(loaded, environ))


def loaded_or_fault(config: Path | None, environ: Mapping[str, str]) -> Loaded:
    """The checked configuration. Raises CommandFault with every problem and its line."""
    try:
        return load(config, environ)
    except ConfigError as error:
        raise bad_configuration(error) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, else the standard loop."""
    try:
        import uvloop
    except ImportError:  # not on every platform
        return None
    return uvloop.new_event_loop


async def _serve(loaded: Loaded, environ: Mapping[str, str]) -> None:
    daemon = Daemon(loaded, environ)
    serving = False
    tasks = Tasks()

    def announce() -> None:
        nonlocal serving
        serving = True
        tasks.spawn(_tell_wait(daemon), name="tell what is waited for")
        with suppress(OSError):  # nobody reads it: no reason not to serve
            print(f"budgetd serves {daemon.url}", flush=True)
            if "NOTIFY_SOCKET" not in os.environ:  # a service's journal needs no instructions
                banner.show(daemon, loaded)
                sys.stdout.flush()

    try:
        await serve(daemon, announce)
    except Exception as error:
        if not serving and isinstance(error, EXPECTED):
            raise _cannot_start(error, loaded) from error
        raise
    finally:
        await tasks.cancel()


async def _tell_wait(daemon: Daemon) -> None:
    """Once it is to stop: say what it waits for, and how not to."""
    await daemon.wait()
    if number := daemon.gateway.open_calls:
        longest = daemon.gateway.setup.rules.patience.stop
        with suppress(OSError):
            print(
                f"budgetd waits for {number} open call{'' if number == 1 else 's'},"
                f" at most {longest:.0f} s (Ctrl-C again: end them now)",
                flush=True,
            )


def _cannot_start(error: Exception, loaded: Loaded) -> CommandFault:
    """Why it cannot start, and the way out."""
    match error:
        case StateInUse():
            other = f"stop it, or use another directory: --state DIR (now {loaded.state})"
            return CommandFault(str(error), other)
        case StoreFault(__cause__=OSError() as cause):
            return _no_state(cause, loaded)
        case StoreFault():
            advice = "look closer: budgetd doctor", "or use another directory: --state DIR"
            return CommandFault(str(error), *advice)
        case SecretFault() | PriceListError() | ConfigError():
            return CommandFault(str(error))
        case OSError(errno=errno.EADDRINUSE):
            return _address_in_use(loaded)
        case OSError(errno=errno.EADDRNOTAVAIL):
            listen = loaded.settings.listen
            return CommandFault(f"{listen} is not an address of this machine", _elsewhere())
        case OSError(errno=errno.EACCES) if error.filename is None:
            return CommandFault(
                f"no permission to listen on {loaded.settings.listen}", _elsewhere()
            )
    assert isinstance(error, OSError)
    return _no_state(error, loaded)


def _no_state(error: OSError, loaded: Loaded) -> CommandFault:
    place = error.filename or loaded.state
    if isinstance(error, PermissionError):
        return CommandFault(
            f"the state directory {loaded.state} cannot be used: no permission for {place}",
            "run this as the user that owns it, or choose another one: --state DIR",
        )
    return CommandFault(
        f"the state directory cannot be used: {place}: {error.strerror or error}",
        "choose another one: --state DIR",
    )


def _address_in_use(loaded: Loaded) -> CommandFault:
    """Who has the address, as far as can be seen."""
    listen = loaded.settings.listen
    url = f"http://{listen}"
    try:
        page = Link(url, ASKING).status()
        who = f"another budgetd (state directory {page['state']})"
    except (CommandFault, KeyError):
        who = banner.listener(loaded.settings.address[1]) or "another program"
    return CommandFault(f"{listen} is in use by {who}", "stop that, or " + _elsewhere())


def _elsewhere() -> str:
    return "choose another address: `listen:` in the configuration, or $BUDGETD_LISTEN"
