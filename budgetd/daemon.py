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

from budgetd.config import changes, places
from budgetd.config.build import catalogues, price_overrides
from budgetd.config.catalogue import compile_prices
from budgetd.config.load import Loaded, load
from budgetd.config.models import ModelTable
from budgetd.config.places import ADMIN_TOKEN
from budgetd.config.pricelist import PriceListError
from budgetd.config.problems import ConfigError
from budgetd.config.secrets import LocalSecret
from budgetd.config.watch import watch
from budgetd.core.tariff import Tariff
from budgetd.core.windows import Instant
from budgetd.ledger.store import Ledger
from budgetd.proxy.callers import Callers
from budgetd.proxy.door import Door, conversations, in_json
from budgetd.proxy.gateway import Gateway
from budgetd.proxy.intake import LOOPBACK_HOSTS, put_off
from budgetd.proxy.lives import STATES
from budgetd.proxy.order import Setup
from budgetd.proxy.relay import CLOSING_GRACE
from budgetd.proxy.sessions import Sessions
from budgetd.proxy.upstream import Upstream
from budgetd.proxy.works import Works
from budgetd.runtime import (
    Clock,
    SystemClock,
    Tasks,
    TimeKeeper,
    loop_time,
    notify,
    notify_reloading,
    open_more_files,
    settle_memory,
)
from budgetd.status.api import Standing, StatusAPI
from budgetd.status.control import Control, Levers

log = structlog.get_logger("budgetd.daemon")

REMEMBERED = 2_000  # sessions whose conversations go on as if there had been no restart
TICK_SECONDS = 30.0
BAD_FILE = (ConfigError, PriceListError)
SHUTDOWN_SECONDS = 2.0  # for requests that are no calls (a slow upload, a status page) at the end


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
        self._listener: asyncio.Server | None = None
        self._generation = 0
        self._reloading = asyncio.Lock()
        self._winding_down: asyncio.Timeout | None = None
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
        sessions = Sessions(self._secret.seed("sessions"))
        sessions.recall(await self._ledger.recall(REMEMBERED, STATES))
        works = Works(self._ledger.writer, self._upstream, self.time, sessions)
        self.gateway = Gateway(self._build(self._loaded, self.time.now(), 0), works, self._tasks)
        self.standing = Standing(
            started=self.time.now(),
            config=_named(self._loaded),
            listening="",
            state=str(self._loaded.state),
        )
        self._tell_prices()
        await self._listen()
        self._background.spawn(self._tick(), name="tick")
        # Without a file yet: the place where the user's own would be looked for.
        place = self._loaded.path or places.user_file(self._environ)
        following = watch(place, self.reload_soon, self._over, digest=self._loaded.digest)
        self._background.spawn(following, name="configuration watch")
        self.standing.ready = True

    async def reload(self) -> list[str]:
        """Read the configuration again and swap it in. Returns what changed, in words. Raises
        ConfigError or PriceListError; nothing changes then.
        """
        async with self._reloading:  # the last edit wins, however many there are
            notify_reloading()
            try:
                # In a thread: prices take a moment to compile, and streams are running.
                loaded, setup = await asyncio.to_thread(self._prepare, self.time.now())
            except BAD_FILE as error:
                self.standing.config_error = str(error)
                log.error("configuration not taken over", error="; ".join(str(error).splitlines()))
                raise
            finally:
                notify("READY=1")
            return self._swap(loaded, setup)

    def _prepare(self, now: Instant) -> tuple[Loaded, Setup]:
        """A new configuration and what follows from it; touches nothing that is in use."""
        loaded = load(self._loaded.path, self._environ)
        return loaded, self._build(loaded, now, self._generation + 1)

    def _swap(self, loaded: Loaded, setup: Setup) -> list[str]:
        told = changes.changes(self._loaded.settings, loaded.settings)
        self._generation = setup.rules.generation
        self._loaded, self.gateway.setup = loaded, setup
        self.standing.config = _named(loaded)
        self.standing.config_error = None
        self._tell_prices()
        log.info("configuration taken over", changes=told)
        return told

    async def stop(self) -> None:
        """Take no more calls, let the open ones end, end the rest legally, close the books. Each
        `request_stop` meanwhile goes on to the next of these steps.
        """
        notify("STOPPING=1")
        self._over.set()
        if self._runner is not None:
            self.gateway.closing = True
            if self._listener is not None:
                self._listener.close()
                self._door.close()
            patience = self.gateway.setup.rules.patience
            if not await self._join(patience.stop):
                self.gateway.end_flows("all")
                await self._join(2 * CLOSING_GRACE)
            await self._tasks.cancel()
            await self._runner.cleanup()
        await self._background.cancel()
        await self._upstream.close()
        await self._ledger.close()

    def request_stop(self) -> None:
        """Make `serve` return; asked again while it winds down, wait no longer for what it waits."""
        self._over.set()
        if self._winding_down is not None and not self._winding_down.expired():
            self._winding_down.reschedule(loop_time())

    async def _join(self, seconds: float) -> bool:
        """Wait for open calls, at most so long. True if none is left."""
        try:
            async with asyncio.timeout(seconds) as self._winding_down:
                return await self._tasks.join(seconds)
        except TimeoutError:
            return len(self._tasks) == 0
        finally:
            self._winding_down = None

    async def wait(self) -> None:
        """Until a stop is requested."""
        await self._over.wait()

    def _build(self, loaded: Loaded, now: Instant, generation: int) -> Setup:
        """A setup from a checked configuration: everything that does not depend on a call is
        computed here.
        """
        rules = loaded.rules(fingerprint=self._secret.fingerprint, generation=generation)
        settings = loaded.settings
        book = compile_prices(catalogues(settings), price_overrides(settings), now)
        tariff = Tariff(book, self._models.limits)
        return Setup(
            rules,
            Callers(rules, self._ledger.keyring, self._secret.fingerprint, book.names),
            tariff,
            _hosts(loaded),
        )

    async def _listen(self) -> None:
        app = web.Application(client_max_size=64 * 1024, middlewares=[in_json])
        status = StatusAPI(self._ledger, self.gateway, self.time, self.standing)
        control = Control(
            self._ledger,
            self.gateway,
            self.time,
            Levers(_admin_token(self._loaded.state), self.reload),
        )
        self.gateway.answers[("GET", "/v1/usage")] = status.usage
        app.add_routes([*status.routes(), *control.routes()])
        app.router.add_route("*", "/{tail:(?s:.*)}", self.gateway.handle, expect_handler=put_off)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        assert self._runner.server is not None
        rules = self.gateway.setup.rules
        self._door = Door(
            conversations(self._runner.server, rules.limits), rules.limits, rules.patience
        )
        host, port = self._loaded.settings.address
        self._listener = await asyncio.get_running_loop().create_server(
            self._door, host, port, backlog=1024, reuse_address=True
        )
        bound = self._listener.sockets[0].getsockname()
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
        except BAD_FILE:
            notify("STATUS=the configuration file has errors; the one before is in force")

    def _tell_prices(self) -> None:
        book = self.gateway.setup.tariff.book
        self.standing.prices = {"source": book.source, "as_of": book.as_of}
        told = (*(str(problem) for problem in self._loaded.warnings), *book.warnings)
        self.standing.config_warnings = told


def _named(loaded: Loaded) -> str:
    """The configuration file, or that there is none."""
    return str(loaded.path.absolute()) if loaded.path else "built-in defaults"


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
    open_more_files()
    try:
        await daemon.start()
        settle_memory()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, daemon.request_stop)
        loop.add_signal_handler(signal.SIGHUP, daemon.reload_soon)
        notify("READY=1\nSTATUS=serving")
        announce()
        await daemon.wait()
    finally:
        await daemon.stop()
