"""Makes .venv hold exactly one lock of requirements/. Run by scripts/_python.sh: `_venv.py run|test`.

Owns the order that makes this safe: one installer at a time (a file lock that dies with its process), the
stamps gone before anything changes and written after everything is done, a build from nothing after an
interrupted one. The checkout itself is not installed: a .pth file makes it importable and a small launcher
starts it, so there is no build step to fail, and a moved checkout still starts. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MADE_WITH = VENV / ".made-with"  # the Python it was built for, "3.11"
UNFINISHED = VENV / ".unfinished"  # there while an install runs
LOG = VENV / "install.log"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

# `test` holds all of `run`, in the same versions: scripts/lock compiles it under that constraint.
SATISFIES = {"run": ["run"], "test": ["run", "test"]}

# A shell script and a Python one: no absolute path inside, and `ps` shows the interpreter and this file.
LAUNCHER = """#!/bin/sh
\'\'\'exec' "$(dirname -- "$(readlink -f -- "$0")")/python" -P "$0" "$@"
\' \'\'\'
import sys

from budgetd.cli.app import main

sys.exit(main())
"""

OFFLINE = (
    "NewConnectionError",
    "NameResolutionError",
    "Failed to establish a new connection",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "Network is unreachable",
    "Temporary failure in name resolution",
)


class SetupError(Exception):
    """What is missing, in one line for a person."""


def main() -> int:
    name = sys.argv[1]
    try:
        with (ROOT / ".venv.lock").open("a") as lock:
            if not try_lock(lock.fileno()):
                say("waiting for another installation in this checkout to finish")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready(name):
                install(name)
    except SetupError as error:
        print(f"budgetd: {error}", file=sys.stderr)  # noqa: T201 -- the one line this script is for
        return 1
    except OSError as error:
        print(f"budgetd: cannot set up .venv: {error}", file=sys.stderr)  # noqa: T201 -- the same
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def say(text: str) -> None:
    """A word for someone who is watching; a log gets only failures."""
    if sys.stderr.isatty():
        print(f"budgetd: {text}", file=sys.stderr)  # noqa: T201 -- progress for a person


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stamp(name: str) -> Path:
    return VENV / f".lock-{name}"


def ready(name: str) -> bool:
    """The other starter may have done our work while we waited."""
    wanted = (ROOT / "requirements" / f"{name}.txt").read_bytes()
    return stamp(name).is_file() and stamp(name).read_bytes() == wanted and usable()


def usable() -> bool:
    """.venv is ours, complete, and its Python still runs and is still the version it was built for."""
    if UNFINISHED.exists() or not MADE_WITH.is_file():
        return False
    code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([PYTHON, "-Ic", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == MADE_WITH.read_text().strip()


def install(name: str) -> None:
    """Fetches first and changes after, so that what worked before still works when there is no network."""
    if not usable():
        create()
    say("installing what it needs into .venv (once)")
    lock = ROOT / "requirements" / f"{name}.txt"
    with tempfile.TemporaryDirectory(dir=VENV, prefix="wheels-") as wheels:
        pip("download", "--dest", wheels, "-r", str(lock))
        UNFINISHED.touch()
        for each in ("run", "test"):
            stamp(each).unlink(missing_ok=True)
        pip("install", "--no-index", "--find-links", wheels, "-r", str(lock))
    make_importable()
    UNFINISHED.unlink()
    for each in SATISFIES[name]:
        shutil.copyfile(ROOT / "requirements" / f"{each}.txt", stamp(each))


def create() -> None:
    if VENV.exists() and not (VENV / "pyvenv.cfg").is_file() and any(VENV.iterdir()):
        raise SetupError(f"{VENV} is not a virtual environment; move it away")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", VENV],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        if VENV.is_dir():
            LOG.write_text(made.stdout + made.stderr)
        advice = "on Debian and Ubuntu: apt-get install python3-venv"
        raise SetupError(f"{sys.executable} could not make {VENV} ({advice}); see {LOG}")
    MADE_WITH.write_text(VERSION + "\n")


def pip(verb: str, *arguments: str) -> None:
    """Wheels only: a source build would fetch its tools without hashes. The caller's pip settings that would send
    packages elsewhere do not count; a mirror and a CA that they name do."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PIP_TARGET", "PIP_PREFIX"}}
    environment["PIP_USER"] = "0"
    command = [str(PYTHON), "-m", "pip", verb, "--disable-pip-version-check", "--no-input"]
    command += ["--retries", "2", "--only-binary", ":all:", "--require-hashes", *arguments]
    with LOG.open("w") as log:
        done = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
        )
    if done.returncode == 0:
        return
    text = LOG.read_text(errors="replace")
    if any(sign in text for sign in OFFLINE):
        raise SetupError(f"no network: the first start fetches packages from PyPI once (see {LOG})")
    errors = [line for line in text.splitlines() if line.startswith("ERROR:")]
    reason = errors[0].removeprefix("ERROR:").strip() if errors else f"exit {done.returncode}"
    raise SetupError(f"pip {verb} failed: {reason} (see {LOG})")


def make_importable() -> None:
    """A relative .pth line is read from site-packages: four levels up is the checkout, wherever that is."""
    site_packages = VENV / "lib" / f"python{MADE_WITH.read_text().strip()}" / "site-packages"
    (site_packages / "budgetd-checkout.pth").write_text("../../../..\n")
    launcher = VENV / "bin" / "budgetd"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
