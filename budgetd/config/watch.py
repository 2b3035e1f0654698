"""Watching: tells when the configuration file has new content.

Looks at directories and not at the file, because editors and Kubernetes replace files instead of
writing them: the directory of the path, of every symbolic link on the way, and of what it leads to.
An event only prompts a look at the content: what is signalled is a *different* content, so editors'
temporary files, touches and half of a replace are silent. A slow look without any event covers file
systems that report none. It signals and nothing else; loading is the daemon's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from watchfiles import awatch

from budgetd.config.document import MAX_BYTES
from budgetd.config.load import digest_of

QUIET_MS = 200  # no more events for this long: a write is over
LOOK_MS = 5_000  # at least this often, whatever is reported
MAX_LINKS = 40  # as the kernel has it

log = logging.getLogger(__name__)


async def watch(
    path: Path, on_change: Callable[[], None], stop_event: asyncio.Event, *, digest: str = ""
) -> None:
    """Call `on_change` whenever the file's content differs from the last one seen; return once
    `stop_event` is set.

    `digest` is of the content that is in use (`Loaded.digest`), so that a change since then is not
    missed. A file that is gone is no change: the configuration in use stays.
    """
    seen = digest
    while not stop_event.is_set():
        current = _digest(path)
        if current and current != seen:
            seen = current
            on_change()
        await _next_event(directories(path), stop_event)


async def _next_event(places: set[Path], stop_event: asyncio.Event) -> None:
    """Wait for something to happen in these directories, for the time of a look, or for the end."""
    if places:
        try:
            async for _ in awatch(
                *places,
                watch_filter=None,
                step=QUIET_MS,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
                stop_event=stop_event,
                recursive=False,
            ):
                return
        except OSError as error:  # a directory went away just now, or the system is out of watches
            log.debug("cannot watch the configuration's directory: %s", error.strerror)
    with suppress(TimeoutError):
        await asyncio.wait_for(stop_event.wait(), LOOK_MS / 1000)


def directories(path: Path) -> set[Path]:
    """The directories in which something must happen before the content at `path` can change, as
    far as they exist.
    """
    found: set[Path] = set()
    step = path.absolute()
    for _ in range(MAX_LINKS):
        found.add(step.parent)
        link = next((part for part in (step, *step.parents) if part.is_symlink()), None)
        if link is None:
            break
        found.add(link.parent)
        target = link.parent / link.readlink()
        step = target / step.relative_to(link)
    return {place for place in found if place.is_dir()}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return digest_of(file.read(MAX_BYTES + 1))
    except OSError:
        return ""
