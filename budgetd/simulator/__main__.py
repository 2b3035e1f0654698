"""`python -m budgetd.simulator`: the simulator as a process of its own.

Prints one line, its URL, when it is ready, and runs until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from budgetd.simulator.script import ScriptError, read_script
from budgetd.simulator.server import Simulator


async def _run(simulator: Simulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with simulator:
        print(simulator.url, flush=True)  # noqa: T201 -- the line that says it is ready
        await stop.wait()


def main() -> int:
    """Read the command line and serve. Exit codes: 0 stopped, 1 cannot listen, 2 bad usage."""
    parser = argparse.ArgumentParser(
        prog="python -m budgetd.simulator", description="A simulated LLM provider with a bill."
    )
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 takes a free one")
    parser.add_argument("--bill", metavar="FILE", help="append the bill to this file")
    parser.add_argument("--script", metavar="JSON", default="{}", help="the default script")
    options = parser.parse_args()
    try:
        script = read_script(options.script)
    except ScriptError as error:
        parser.error(str(error))
    try:
        asyncio.run(_run(Simulator(script, port=options.port, bill_path=options.bill)))
    except OSError as error:
        print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201 -- a command's error
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
