"""The composition root: builds every part, serves, reloads, stops.

The only module that knows them all. `Daemon.start` opens the ledger, charges what a crash left,
compiles prices, and listens; `reload` builds a whole new setup and swaps it, or changes nothing and
says why; `stop` lets open calls end, then ends them legally. `serve` is all of it under the signals
and the service manager's protocol.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from aiohttp import web

from budgetd.config import changes
from budgetd.config.build import price_overrides
from budgetd.config.catalogue import compile_prices
from budgetd.config.load import Loaded, load
from budgetd.config.models import ModelTable
from budgetd.config.problems import ConfigError
from budgetd.config.secrets import LocalSecret
from budgetd.config.watch import watch
from budgetd.core.tariff import Tariff
from budgetd.ledger.store import Ledger
from budgetd.proxy.callers import Callers
from budgetd.proxy.carriage import Works
from budgetd.proxy.gateway import Gateway
from budgetd.proxy.intake import LOOPBACK_HOSTS
from budgetd.proxy.order import Setup
from budgetd.proxy.relay import CLOSING_GRACE
from budgetd.proxy.upstream import Upstream
from budgetd.runtime import Clock, SystemClock, Tasks, TimeKeeper, notify
from budgetd.status.api import Standing, StatusAPI
from budgetd.status.control import Control, Levers

log = structlog.get_logger("budgetd.daemon")

ADMIN_TOKEN = "admin.token"  # noqa: S105  a file's name
TICK_SECONDS = 30.0


class Daemon:
    """One running budgetd."""

    def __init__(
        self, loaded: Loaded, environ: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        self._loaded = loaded
        self._environ = environ
        self._clock = clock or SystemClock()
        self._ledger = Ledger(loaded.state)
        self._upstream = Upstream()
        self._tasks = Tasks()
        self._background = Tasks()
        self._over = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._generation = 0
        self._models = ModelTable.load()
        self.url = ""

    async def start(self) -> None:
        """Open, recover, build, listen. Raises StateInUse, StoreFault, ConfigError, or OSError when
        the address is taken.
        """
        last = await self._ledger.open()
        self.time = TimeKeeper(self._clock, last)
        orphans = await self._ledger.recover(self.time.now())
        if orphans:
            log.warning("calls left open by a crash were charged in full", calls=orphans)
        self._secret = LocalSecret.load_or_create(self._loaded.state)
        await self._upstream.open()
        works = Works(self._ledger.writer, self._upstream, self.time)
        self.gateway = Gateway(self._build(self._loaded), works, self._tasks)
        self.standing = Standing(
            started=self.time.now(),
            config=str(self._loaded.path or "built-in defaults"),
            listening="",
            config_warnings=tuple(str(problem) for problem in self._loaded.warnings),
        )
        self._tell_prices()
        await self._listen()
        self._background.spawn(self._tick(), name="tick")
        if self._loaded.path is not None:
            following = watch(
                self._loaded.path, self.reload_soon, self._over, digest=self._loaded.digest
            )
            self._background.spawn(following, name="configuration watch")
        self.standing.ready = True

    async def reload(self) -> list[str]:
        """Read the configuration again and swap it in. Returns what changed, in words. Raises
        ConfigError; nothing changes then.
        """
        notify(f"RELOADING=1\nMONOTONIC_USEC={self._clock.boot() * 1000}")
        try:
            loaded = load(self._loaded.path, self._environ)
            self._generation += 1
            setup = self._build(loaded)
        except ConfigError as error:
            self.standing.config_error = str(error)
            log.error("configuration not taken over", error=str(error))
            raise
        finally:
            notify("READY=1")
        told = changes.changes(self._loaded.settings, loaded.settings)
        self._loaded, self.gateway.setup = loaded, setup
        self.standing.config_error = None
        self.standing.config_warnings = tuple(str(problem) for problem in loaded.warnings)
        self._tell_prices()
        log.info("configuration taken over", changes=told)
        return told

    async def stop(self) -> None:
        """Take no more calls, let the open ones end, end the rest legally, close the books."""
        notify("STOPPING=1")
        self._over.set()
        if self._runner is not None:
            self.gateway.closing = True
            for site in tuple(self._runner.sites):
                await site.stop()
            patience = self.gateway.setup.rules.patience
            if not await self._tasks.join(patience.stop):
                self.gateway.end_flows("all")
                await self._tasks.join(2 * CLOSING_GRACE)
            await self._tasks.cancel()
            await self._runner.cleanup()
        await self._background.cancel()
        await self._upstream.close()
        await self._ledger.close()

    def request_stop(self) -> None:
        """Make `serve` return."""
        self._over.set()

    async def wait(self) -> None:
        """Until a stop is requested."""
        await self._over.wait()

    def _build(self, loaded: Loaded) -> Setup:
        """A setup from a checked configuration: everything that does not depend on a call is
        computed here.
        """
        rules = loaded.rules(fingerprint=self._secret.fingerprint, generation=self._generation)
        catalogues = {name: provider.catalogue for name, provider in rules.providers.items()}
        book = compile_prices(catalogues, price_overrides(loaded.settings), self.time.now())
        tariff = Tariff(book, self._models.limits)
        return Setup(
            rules,
            Callers(rules, self._ledger.keyring, self._secret.fingerprint),
            tariff,
            _hosts(loaded),
        )

    async def _listen(self) -> None:
        app = web.Application(client_max_size=64 * 1024)
        status = StatusAPI(self._ledger, self.gateway, self.time, self.standing)
        control = Control(
            self._ledger,
            self.gateway,
            self.time,
            Levers(_admin_token(self._loaded.state), self.reload),
        )
        self.gateway.answers[("GET", "/v1/usage")] = status.usage
        app.add_routes([*status.routes(), *control.routes()])
        app.router.add_route("*", "/{tail:.*}", self.gateway.handle)
        limits = self.gateway.setup.rules.limits
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_field_size=limits.header_bytes,
            max_line_size=limits.header_bytes,
            keepalive_timeout=75.0,
        )
        await self._runner.setup()
        host, port = self._loaded.settings.address
        await web.TCPSite(self._runner, host, port, backlog=1024, reuse_address=True).start()
        bound = self._runner.addresses[0]
        self.url = f"http://{bound[0] if ':' not in bound[0] else f'[{bound[0]}]'}:{bound[1]}"
        self.standing.listening = self.url

    async def _tick(self) -> None:
        """Now and then: look at the clock, at stuck clients, and tell the service manager that all
        is well.
        """
        while True:
            await asyncio.sleep(TICK_SECONDS)  # the ticker itself: nothing to wait for but time
            self.time.now()
            self.gateway.check_clients()
            notify(f"WATCHDOG=1\nSTATUS={self.gateway.open_calls} calls open")

    def reload_soon(self) -> None:
        """Reload in the background; what is wrong with the file is logged and shown."""
        self._background.spawn(self._reload_quietly(), name="reload")

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except ConfigError:
            notify("STATUS=the configuration file has errors; the one before is in force")

    def _tell_prices(self) -> None:
        book = self.gateway.setup.tariff.book
        self.standing.prices = {"source": book.source, "as_of": book.as_of}


def _hosts(loaded: Loaded) -> frozenset[str]:
    """The Host names that are ours: loopback's, the listen address, and what the owner allows."""
    host = loaded.settings.address[0].lower()
    return LOOPBACK_HOSTS | {host, f"[{host}]", *(name.lower() for name in loaded.settings.hosts)}


def _admin_token(state: Path) -> str:
    """The token for state-changing routes: made once, readable by the daemon's user only."""
    path = state / ADMIN_TOKEN
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    token = "bga_" + secrets.token_urlsafe(24)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    return token


async def serve(daemon: Daemon, announce: Callable[[], None]) -> None:
    """Run a daemon until SIGTERM or SIGINT; SIGHUP reloads. `announce` is called once it serves."""
    loop = asyncio.get_running_loop()
    await daemon.start()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, daemon.request_stop)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload_soon)
    notify("READY=1\nSTATUS=serving")
    announce()
    try:
        await daemon.wait()
    finally:
        await daemon.stop()
