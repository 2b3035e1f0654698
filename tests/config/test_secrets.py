"""Secrets: read from where they are, never shown; and the local secret, made once whatever happens."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from budgetd.config.load import load
from budgetd.config.problems import ConfigError
from budgetd.config.secrets import LocalSecret, SecretFault

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
keys:
  a:
    budgets: 1 per day
    credentials: [{env: A_KEY}, {file: a.txt}, {credential: a}, {fingerprint: cf_0123456789abcdef}]
providers:
  openai: {credential: {file: openai.txt}}
"""


@pytest.fixture
def place(tmp_path):
    """A configuration whose secrets are all there."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    for name in ("a.txt", "openai.txt"):
        (tmp_path / name).write_text(f"secret-of-{name}\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "a").write_text("secret-of-systemd")
    return tmp_path


def environ(place, **more):
    base = {
        "HOME": str(place),
        "A_KEY": "secret-of-env",
        "CREDENTIALS_DIRECTORY": str(place / "systemd"),
    }
    return {**base, **more}


def faults(place, env):
    with pytest.raises(ConfigError) as caught:
        load(place / "config.yaml", env)
    assert "secret-of" not in str(caught.value)
    assert "secret-of" not in repr(caught.value)
    return [problem.message for problem in caught.value.problems]


def test_secrets_are_read_from_where_they_are(place):
    loaded = load(place / "config.yaml", environ(place))
    read = {path: secret.reveal() for path, secret in loaded.secrets.items()}
    assert read == {
        ("providers", "openai", "credential"): "secret-of-openai.txt",
        ("keys", "a", "credentials", 0): "secret-of-env",
        ("keys", "a", "credentials", 1): "secret-of-a.txt",
        ("keys", "a", "credentials", 2): "secret-of-systemd",
    }
    assert loaded.warnings == ()
    assert "secret-of" not in repr(loaded)


def test_fingerprints_of_claimed_credentials_become_part_of_the_key(place):
    rules = load(place / "config.yaml", environ(place)).rules(
        fingerprint=lambda text: f"mark of {text}"
    )
    assert rules.keys["a"].fingerprints == {
        "mark of secret-of-env",
        "mark of secret-of-a.txt",
        "mark of secret-of-systemd",
        "cf_0123456789abcdef",
    }
    credential = rules.providers["openai"].credential
    assert credential is not None
    assert credential.reveal() == "secret-of-openai.txt"
    assert "secret-of" not in repr(rules.providers)


def test_what_is_missing_is_named_by_its_source(place):
    (place / "a.txt").unlink()
    (place / "openai.txt").write_text("")
    env = environ(place, A_KEY="")
    del env["CREDENTIALS_DIRECTORY"]
    assert faults(place, env) == [
        "environment variable A_KEY is empty",
        f"file {place / 'a.txt'} does not exist",
        "systemd credential a cannot be read: $CREDENTIALS_DIRECTORY is not set",
        "file openai.txt is empty",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "secret-of two words",
        "secret-of\nsecond-line",
        "secret-of-\x00",
        "secret-of-ü",
        "secret-of-\r\nX: y",
    ],
)
def test_what_cannot_go_into_a_header_is_no_credential(place, text):
    (place / "a.txt").write_text(text)
    assert faults(place, environ(place)) == [
        "file a.txt does not hold a credential: one word of plain characters"
    ]


def test_files_that_are_none_and_files_too_large(place):
    (place / "a.txt").unlink()
    (place / "a.txt").mkdir()
    (place / "openai.txt").write_bytes(b"x" * 20_000)
    assert faults(place, environ(place)) == [
        "file a.txt is not a file",
        "file openai.txt is too large to be a credential",
    ]


def test_a_file_that_others_can_read_is_a_warning(place):
    (place / "a.txt").chmod(0o644)
    (warning,) = load(place / "config.yaml", environ(place)).warnings
    assert str(warning).endswith(
        "config.yaml:4: keys.a.credentials[1]: other users can read this file"
        f" (chmod 600 {place / 'a.txt'})"
    )
    assert warning.severity == "warning"


def test_one_credential_belongs_to_one_key(place):
    (place / "config.yaml").write_text(
        "keys:\n  a: {budgets: 1 per day, credentials: [{env: A_KEY}]}\n"
        "  b: {budgets: 1 per day, credentials: [{env: A_KEY}]}\n"
    )
    loaded = load(place / "config.yaml", environ(place))
    with pytest.raises(ConfigError) as caught:
        loaded.rules(fingerprint=lambda _: "cf_0000000000000000")
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert problem.message == "the same credential is claimed by a"


def test_paths_under_a_home_that_does_not_exist(place):
    (place / "config.yaml").write_text("providers: {openai: {credential: {file: ~nobody-here/x}}}")
    (message,) = faults(place, environ(place))
    assert message.endswith("is under a home directory that does not exist")


# ------------------------------------------------------------------------------- the local secret


def test_the_local_secret_is_made_once_and_kept(tmp_path):
    state = tmp_path / "deep" / "state"
    first = LocalSecret.load_or_create(state)
    again = LocalSecret.load_or_create(state)
    assert first.fingerprint("x") == again.fingerprint("x")
    (file,) = state.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert len(file.read_bytes()) == 32


def test_fingerprints_are_of_this_installation():
    one, two = LocalSecret(b"1" * 32), LocalSecret(b"2" * 32)
    assert one.fingerprint("x") != two.fingerprint("x")
    assert one.fingerprint("x") != one.fingerprint("y")
    assert one.fingerprint("x") == "cf_5acd2e302b6d2001"
    assert one.fingerprint("\udc80").startswith("cf_")
    assert repr(one) == "LocalSecret(***)"


def test_many_starts_at_once_agree(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        marks = set(
            pool.map(lambda _: LocalSecret.load_or_create(tmp_path).fingerprint("x"), range(64))
        )
    assert len(marks) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["local.secret"]


def test_a_loose_mode_is_tightened(tmp_path):
    LocalSecret.load_or_create(tmp_path)
    file = tmp_path / "local.secret"
    file.chmod(0o644)
    LocalSecret.load_or_create(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_damaged_one_is_never_replaced(tmp_path):
    file = tmp_path / "local.secret"
    file.write_bytes(b"short")
    with pytest.raises(SecretFault, match="damaged, 5 bytes long"):
        LocalSecret.load_or_create(tmp_path)
    assert file.read_bytes() == b"short"


def test_a_state_directory_that_is_a_file_is_a_fault(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(SecretFault, match="state"):
        LocalSecret.load_or_create(tmp_path / "state")


def test_nothing_half_made_is_left_when_the_disk_is_full(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SecretFault, match="No space left"):
        LocalSecret.load_or_create(Path(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_local_secret_needs_no_pydantic():
    script = "import sys, budgetd.config.secrets; print('pydantic' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert run.stdout.strip() == b"False"
