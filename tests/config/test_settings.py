"""What can be written, and what the environment makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.config.document import parse
from budgetd.config.load import load, system_zone
from budgetd.config.overrides import read_overrides
from budgetd.config.places import find
from budgetd.config.problems import ConfigError, looks_secret, shown
from budgetd.config.providers import Prices
from budgetd.config.settings import Settings
from budgetd.config.validate import validated
from budgetd.core.usage import BUCKETS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config.example.yaml"


def loaded(tmp_path: Path, text: str, **environ: str):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load(path, {"HOME": str(tmp_path), **environ})


def faults(tmp_path: Path, text: str = "", **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, **environ)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


# ---------------------------------------------------------------------------------- the file's forms


@pytest.mark.parametrize("text", ["2.00 per 5h", "$2.00 / 5h", "$2/5h", "2 per 5h"], ids=repr)
def test_a_budget_in_a_line_is_the_same_as_the_long_form(tmp_path, text):
    short = loaded(tmp_path, f"budgets: [{text}]").settings.budgets
    long = loaded(tmp_path, "budgets: [{limit: 2.00, every: 5h}]").settings.budgets
    assert short == long


@pytest.mark.parametrize(
    "text",
    ["2.00", "5h", "2.00 5h", "2.00 per", "per 5h", "2.00 per 5h or so", "2.00  per 5h", "2 per per 5h",
     "2.00 total 5h"],
    ids=repr,
)  # fmt: skip  # a row of texts
def test_a_line_that_could_mean_anything_is_refused(tmp_path, text):
    assert faults(tmp_path, f"budgets: ['{text}']")


def test_a_key_may_be_just_its_budgets(tmp_path):
    text = "keys:\n  a: 1 per day\n  b: [1 per day]\n  c: {budgets: 1 per day}\n"
    text += "  d: {budgets: [{limit: 1, every: day}]}"
    a, b, c, d = loaded(tmp_path, text).settings.keys.values()
    assert a == b == c == d
    assert loaded(tmp_path, "budgets: 50 total").settings.budgets[0].every == "total"


def test_settings_named_and_left_empty_are_defaults(tmp_path):
    text = "listen:\nkeys:\nproviders:\nbudgets:\nlog:\n  level:\npatience:\ndefault_key:\n  budgets:\n"
    assert loaded(tmp_path, text).settings == loaded(tmp_path, "").settings
    settings = loaded(tmp_path, "keys:\n  a:\nproviders:\n  openai:\nbudgets: 1 per day").settings
    assert settings.keys["a"].budgets == []
    assert settings.providers["openai"].base_url is None


def test_amounts_keep_their_digits(tmp_path):
    (budget,) = loaded(tmp_path, "budgets: [{limit: 0.100000000001, every: day}]").settings.budgets
    assert budget.limit == Decimal("0.100000000001")


def test_a_configuration_that_is_no_map(tmp_path):
    assert faults(tmp_path, "- a\n- b") == [
        "config.yaml: must be a map of settings, like listen: 127.0.0.1:4141"
    ]


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:4141", ("127.0.0.1", 4141)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses(tmp_path, listen, address):
    assert loaded(tmp_path, f"listen: '{listen}'").settings.address == address


@pytest.mark.parametrize(
    "listen", ["127.0.0.1", ":4141", "::1:4141", "127.0.0.1:99999", "a b:1", "http://x:1"]
)
def test_what_is_no_address(tmp_path, listen):
    (problem,) = faults(tmp_path, f"listen: '{listen}'")
    assert "listen: must" in problem


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:4141", "[::]:4141", "192.168.1.2:4141", "box.local:4141"]
)
def test_an_address_that_others_reach_must_be_meant(tmp_path, listen):
    (problem,) = faults(tmp_path, f"listen: '{listen}'")
    assert "allow_remote: true if you mean it" in problem
    (warning,) = loaded(tmp_path, f"listen: '{listen}'\nallow_remote: true").warnings
    assert "other machines can reach this address" in warning.message


def test_odd_but_allowed_is_a_warning(tmp_path):
    text = """\
keys:
  free: {}
  a*: 1 per day
  ab*: 1 per day
providers:
  lan: {base_url: "http://192.168.1.2:8000", dialects: [openai_chat], needs_credential: false}
"""
    warnings = [str(warning).split(": ", 1)[1] for warning in loaded(tmp_path, text).warnings]
    assert warnings == [
        "keys.free: has no budget: nothing limits it (give it budgets, like [2.00 per 5h])",
        "keys.ab*: never used: a* above matches the same names (swap them)",
        "providers.lan.base_url: credentials travel unencrypted to this address (use https)",
    ]


def test_a_kind_of_agent_is_one_that_refusals_know(tmp_path):
    text = "keys: {{a: {{budgets: 1 per day, client: {}}}}}"
    for written in ("claude-code", "claude_code"):
        assert loaded(tmp_path, text.format(written)).settings.keys["a"].client == "claude_code"
    (fault,) = faults(tmp_path, text.format("claud-code"))
    assert fault.endswith("keys.a.client: must be a kind of agent (did you mean claude_code?)")


# ----------------------------------------------------------------------------------- the environment


def test_the_environment_wins_over_the_file(tmp_path):
    settings = loaded(
        tmp_path,
        "listen: 127.0.0.1:1\nlimits: {body_bytes: 1MiB, open_calls: 7}",
        BUDGETD_LISTEN="127.0.0.1:2",
        BUDGETD_LIMITS__BODY_BYTES="2MiB",
        BUDGETD_ALLOW_REMOTE="no",
        BUDGETD_HOSTS="[a.example, b.example]",
        BUDGETD_BUDGETS="20.00 per day",
        BUDGETD_DEFAULT_KEY__BUDGETS="[1.00 per 5h, {limit: 3, every: week}]",
        BUDGETD_KEYS__WRITER="$3 / 5h",
        BUDGETD_PROVIDERS__OPENAI__BASE_URL="http://127.0.0.1:9",
        BUDGETD_ESTIMATION="{image_tokens: 1}",
        BUDGETD_LOG__LEVEL="",
    ).settings
    assert settings.address == ("127.0.0.1", 2)
    assert (settings.limits.body_bytes, settings.limits.open_calls) == (2 * 1024**2, 7)
    assert settings.hosts == ["a.example", "b.example"]
    assert [budget.limit for budget in settings.budgets] == [20]
    assert [budget.limit for budget in settings.default_key.budgets] == [1, 3]
    assert settings.keys["writer"].budgets[0].limit == 3
    assert settings.providers["openai"].base_url == "http://127.0.0.1:9"
    assert settings.estimation.image_tokens == 1
    assert settings.log.level == "info"


def test_faults_of_the_environment_name_the_variable(tmp_path):
    assert faults(
        tmp_path,
        "limits: {body_bytes: 1MiB}",
        BUDGETD_LIMITS__BODY_BYTES="much",
        BUDGETD_LIMITS__BODY_BITES="1",
        BUDGETD_LIMTS__BODY_BYTES="1",
        BUDGETD_PATIENCE__="1s",
        BUDGETD_HOSTS="[a",
        BUDGETD_KEYS="1",
    ) == [
        "$BUDGETD_HOSTS:1: not valid YAML: expected ',' or ']', but got '<stream end>'",
        "$BUDGETD_LIMTS__BODY_BYTES: does not name a setting (did you mean LIMITS?)",
        "$BUDGETD_PATIENCE__: does not name a setting",
        "$BUDGETD_KEYS: keys: must be a map",
        "$BUDGETD_LIMITS__BODY_BYTES: limits.body_bytes: must be a size, like 32MiB or 64KiB",
        "$BUDGETD_LIMITS__BODY_BITES: limits.body_bites: unknown setting (did you mean body_bytes?)",
    ]


def test_a_child_wins_over_its_parent_in_the_environment():
    overrides = read_overrides({"BUDGETD_LOG": "x", "BUDGETD_LOG__LEVEL": "debug"})
    assert overrides.data == {"log": {"level": "debug"}}


def test_other_peoples_variables_are_left_alone_but_slips_are_told(tmp_path):
    more = {
        "BUDGETD_CONFIG": "x",
        "BUDGETD_TOKEN": "bgd_x",
        "BUDGETD_KEY": "a",
        "BUDGETD_LISTN": "x",
        "OTHER": "1",
    }
    (warning,) = loaded(tmp_path, "", **more).warnings
    assert str(warning) == "$BUDGETD_LISTN: does not name a setting (did you mean BUDGETD_LISTEN?)"


def test_keys_of_the_file_never_reach_the_constructor(tmp_path):
    names = ["_env_file", "_cli_parse_args", "_build_sources", "self", "settings_cls"]
    assert len(faults(tmp_path, "\n".join(f"{name}: [x]" for name in names))) == len(names)


# ------------------------------------------------------------------------- where things are found


def test_which_file_is_read(tmp_path, monkeypatch):
    home, machine = tmp_path / "home", tmp_path / "etc.yaml"
    monkeypatch.setattr("budgetd.config.places.SYSTEM_FILE", machine)
    environ = {"HOME": str(home)}
    assert find(environ) is None
    assert load(None, environ).path is None
    machine.write_text("")
    assert find(environ) == machine
    users = home / ".config" / "budgetd" / "config.yaml"
    users.parent.mkdir(parents=True)
    users.write_text("listen: 127.0.0.1:7")
    assert find(environ) == users
    assert load(None, environ).settings.address[1] == 7
    assert find({**environ, "XDG_CONFIG_HOME": "relative"}) == users
    assert find({**environ, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}) == machine
    assert find({**environ, "BUDGETD_CONFIG": "/named.yaml"}) == Path("/named.yaml")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path, why in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "Is a directory"),
        (Path("a\0b"), "path"),
    ):
        with pytest.raises(ConfigError, match=f"cannot be read: .*{why}"):
            load(path, {})


def test_where_the_state_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = str(tmp_path / "home")
    assert loaded(tmp_path, "").state == tmp_path / ".local/state/budgetd"
    assert loaded(tmp_path, "", XDG_STATE_HOME="/xdg").state == Path("/xdg/budgetd")
    assert loaded(tmp_path, "", STATE_DIRECTORY="/var/lib/budgetd:/other").state == Path(
        "/var/lib/budgetd"
    )
    (tmp_path / "sub").mkdir()
    assert loaded(tmp_path / "sub", "state: s", HOME=home).state == tmp_path / "sub" / "s"
    assert loaded(tmp_path / "sub", "state: s", BUDGETD_STATE="t").state == tmp_path / "t"


def test_the_systems_time_zone(tmp_path):
    link = tmp_path / "localtime"
    assert system_zone({}, link) == "UTC"
    link.symlink_to("/usr/share/zoneinfo/Europe/Paris")
    assert system_zone({}, link) == "Europe/Paris"
    assert system_zone({"TZ": ":America/New_York"}, link) == "America/New_York"
    assert system_zone({"TZ": "CET-1CEST"}, link) == "Europe/Paris"
    assert system_zone({"TZ": "Etc/UTC"}, link) == "UTC"
    assert loaded(tmp_path, "", TZ="Asia/Tokyo").settings.timezone == "Asia/Tokyo"
    assert (
        loaded(tmp_path, "timezone: Asia/Seoul", TZ="Asia/Tokyo").settings.timezone == "Asia/Seoul"
    )


# --------------------------------------------------------------------------------------- the example


def test_the_example_loads_and_says_the_defaults(tmp_path):
    settings = loaded(tmp_path, EXAMPLE.read_text()).settings
    default = loaded(tmp_path, "").settings
    for name in set(Settings.model_fields) - {"keys", "providers", "routes"}:
        assert getattr(settings, name) == getattr(default, name), name


def test_the_example_loads_with_everything_in_it_switched_on(tmp_path):
    lines: list[str] = []
    for line in EXAMPLE.read_text().splitlines():
        bare = line.lstrip()
        if bare.startswith("#") and bare[1:2] not in ("", " "):
            switched = line.replace("#", "", 1)
            name = switched.split(":")[0]
            lines = [
                other
                for other in lines
                if not other.startswith(f"{name}:") or name.startswith("  ")
            ]
            lines.append(switched)
        elif bare.startswith("#  - "):
            lines.append(line.replace("#", " ", 1))
        else:
            lines.append(line)
    text = "\n".join(lines).replace('align: day\n        reset_at: "04:00"', "")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "research.txt").write_text("x1")
    (tmp_path / "research").write_text("x2")
    settings = loaded(
        tmp_path,
        text,
        OPENAI_API_KEY="x3",
        RESEARCH_OPENAI_KEY="x4",
        CREDENTIALS_DIRECTORY=str(tmp_path),
    ).settings
    assert settings.hosts == ["budgetd.internal"]
    assert len(settings.keys["research"].credentials) == 4
    assert settings.keys["research"].expires is not None
    assert settings.providers["openai"].credential is not None


def test_the_example_names_every_setting():
    text = EXAMPLE.read_text()
    schema = Settings.model_json_schema()
    fields = {
        name for part in (schema, *schema["$defs"].values()) for name in part.get("properties", {})
    }
    assert [name for name in sorted(fields) if f"{name}:" not in text] == []


def test_prices_can_be_written_for_every_bucket():
    assert {*BUCKETS, "per_request", "free"} == set(Prices.model_fields)


# ---------------------------------------------------------------------------------- whatever comes


def json_like() -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=12)
        | st.decimals(allow_nan=False, places=2)
    )
    known = st.sampled_from(
        [*Settings.model_fields, "budgets", "credential", "env", "limit", "every", "base_url"]
    )
    return st.recursive(
        leaves,
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(known | st.text(max_size=8), below, max_size=4)
        ),
        max_leaves=12,
    )


@given(json_like())
def test_any_data_is_settings_or_findings(data):
    settings, findings = validated(data, {})
    assert settings is not None or findings


def places(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    below = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for name, value in below:
        yield from places(value, (*path, name))


EXAMPLE_DATA = json.dumps(parse(EXAMPLE.read_bytes(), "example").data(), default=str)
PLACES = sorted((path for path in places(json.loads(EXAMPLE_DATA)) if path), key=str)


def refusal(act: Callable[[], object]) -> ConfigError | None:
    """What is refused; any other exception is a failure."""
    try:
        act()
    except ConfigError as error:
        return error
    return None


def replaced(path: tuple[str | int, ...], value: Any) -> Any:
    data = json.loads(EXAMPLE_DATA)
    here = data
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return data


@given(st.sampled_from(PLACES), json_like())
def test_the_example_with_one_place_spoilt_loads_or_is_a_config_error(tmp_path_factory, path, junk):
    file = tmp_path_factory.getbasetemp() / "spoilt.yaml"
    file.write_text(json.dumps(replaced(path, junk), default=str))
    error = refusal(lambda: load(file, NOWHERE).rules(fingerprint=lambda text: f"cf_{text}"))
    assert error is None or all(problem.line for problem in error.problems)


NOWHERE = {"HOME": "/nowhere"}
SECRET = "sk-proj-Zq7Xw2Lm9Vt4Kd8Rb3Ny6"


@given(st.sampled_from(PLACES), st.booleans())
def test_no_error_repeats_a_secret_wherever_it_was_put(tmp_path_factory, path, wrapped):
    file = tmp_path_factory.getbasetemp() / "secret.yaml"
    value = {SECRET: SECRET} if wrapped else SECRET
    said: list[str] = []
    file.write_text(json.dumps(replaced(path, value), default=str))
    error = refusal(lambda: said.extend(map(str, load(file, NOWHERE).warnings)))
    if error:
        said += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    assert SECRET not in "".join(said)


@pytest.mark.parametrize(
    "text",
    ["sk-ant-api03-x", "gsk_abcd", "xai-abcdef", "AIzaSyA", "bgd_abc", "eyJhbGciOi", "a1b2c3d4e5f6a7b8c9d0e1",
     "Bearer x"],
    ids=repr,
)  # fmt: skip  # a row of texts
def test_what_looks_like_a_credential_is_hidden(text):
    assert looks_secret(text)
    assert shown(text) == "(hidden)"


@pytest.mark.parametrize(
    "text",
    [
        "research",
        "agent-*",
        "key-1",
        "token-budget",
        "claude-opus-4-20250514",
        "gpt-4.1-mini",
        "OPENAI_API_KEY",
    ],
)
def test_what_owners_call_things_is_shown(text):
    assert shown(text) == text
