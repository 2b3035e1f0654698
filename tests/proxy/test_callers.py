"""Whose call, who pays, where to: the whole matrix, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from budgetd.core.budgets import Budget
from budgetd.core.policy import KeyPolicy, Provider, Route, Rules, Secret
from budgetd.core.sessions import Claim, lineage
from budgetd.core.windows import Total
from budgetd.errors import CallerFault
from budgetd.ledger.keyring import Keyring, Token, digest
from budgetd.proxy.callers import Callers, Claims
from budgetd.wire.dialects import Labels
from budgetd.wire.identity import Credential, credentials

NOW = 1_000_000
CHAT: Any = {"openai_chat": "https://x"}
BOTH: Any = CHAT | {"anthropic": "https://x"}
PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(
            "openai", CHAT, credential_prefixes=("sk-proj-", "sk-"), credential=Secret("sk-1")
        ),
        Provider(
            "anthropic",
            {"anthropic": "https://x"},
            credential_prefixes=("sk-ant-",),
            plan_prefixes=("sk-ant-oat",),
            credential=Secret("sk-ant-1"),
        ),
        Provider("router", BOTH, credential_prefixes=("sk-or-",)),
        Provider("deepseek", BOTH, credential_prefixes=("sk-",)),
        Provider("twin", CHAT, credential_prefixes=("sk-proj-",)),
        Provider("local", BOTH, needs_credential=False),
        Provider("flat", BOTH, plan=True, credential=Secret("flat-1")),
    )
}
TOTAL = Budget("own", "key:team", 10**12, Total())
NOTIONAL = replace(TOTAL, name="plan", counts="notional")
ALL = Budget("all", "all", 10**12, Total())
KEYS = {
    key.name: key
    for key in (
        KeyPolicy("default"),
        KeyPolicy("team", "issued", (TOTAL, NOTIONAL), label="blue"),
        KeyPolicy("mine", budgets=(), fingerprints=frozenset({"cf:sk-mine"})),
        KeyPolicy("yours", fingerprints=frozenset({"cf:sk-yours"}), accounts=frozenset({"acc"})),
        KeyPolicy("pinned", provider="router", client="aider"),
        KeyPolicy("old", expires=NOW),
        KeyPolicy("nowhere", provider="gone"),
    )
}
RULES = Rules(
    PROVIDERS,
    KEYS,
    "default",
    patterns=(KeyPolicy("bot-*", budgets=(Budget("5h", "key:bot-*", 1, Total()),)),),
    everything=(ALL,),
    routes=(Route("gpt-*", "twin"), Route("*", "deepseek")),
    defaults={"openai_chat": "openai", "anthropic": "anthropic"},
)
UNROUTED = replace(RULES, routes=())
TOKENS = {
    "bgd_good": Token(digest("bgd_good"), "team", "bgd_good", 0),
    "bgd_done": Token(digest("bgd_done"), "team", "bgd_done", 0, expires=NOW),
    "bgd_gone": Token(digest("bgd_gone"), "team", "bgd_gone", 0, revoked=1),
    "bgd_lost": Token(digest("bgd_lost"), "no-such-key", "bgd_lost", 0),
    "bgd_bot1": Token(digest("bgd_bot1"), "bot-1", "bgd_bot1", 0),
}


def callers(rules: Rules = UNROUTED) -> Callers:
    """Callers under these rules, with a fingerprint that can be read."""
    keyring = Keyring()
    keyring.replace({token.hash: token for token in TOKENS.values()})
    return Callers(rules, keyring, lambda secret: f"cf:{secret}")


def claims(*secrets: str, dialect: Any = "openai_chat", **more: Any) -> Claims:
    """Claims with these credentials; labels by their names."""
    labels = {name: more.pop(name) for name in ("key", "provider", "label") if name in more}
    found = tuple(
        sorted((Credential("x-api-key", s) for s in secrets), key=lambda one: not one.is_token)
    )
    return Claims(Labels(**labels), found, "unknown", dialect, **more)


WHERE: tuple[tuple[str, Rules, Claims, str], ...] = (
    ("the label wins", RULES, claims(provider="local", key="pinned", model="gpt-4o"), "local"),
    ("then the key", RULES, claims(key="pinned", model="gpt-4o"), "router"),
    ("then a route", RULES, claims("sk-x", model="deep"), "deepseek"),
    ("the first route that fits", RULES, claims("sk-x", model="gpt-4o"), "twin"),
    ("then the prefix", UNROUTED, claims("sk-or-1", model="gpt-4o"), "router"),
    ("in either dialect", UNROUTED, claims("sk-or-1", dialect="anthropic"), "router"),
    ("a shared prefix: the default", UNROUTED, claims("sk-proj-1"), "openai"),
    ("a generic prefix: the default", UNROUTED, claims("sk-1"), "openai"),
    ("an unknown credential: the default", UNROUTED, claims("gho_1"), "openai"),
    ("no credential: the default", UNROUTED, claims(), "openai"),
    ("no model: no route", RULES, claims(), "openai"),
    ("a dialect's own default", UNROUTED, claims("sk-ant-1", dialect="anthropic"), "anthropic"),
    ("a token says nothing of it", UNROUTED, claims("bgd_good"), "openai"),
    ("nor does what comes with it", UNROUTED, claims("bgd_good", "sk-or-1"), "openai"),
)


@pytest.mark.parametrize(
    ("rules", "claim", "expected"), [w[1:] for w in WHERE], ids=[w[0] for w in WHERE]
)
def test_where_it_goes(rules: Rules, claim: Claims, expected: str) -> None:
    assert callers(rules).resolve(claim, NOW).provider.name == expected


SOLD = {("openai", "gpt-4o"), ("deepseek", "deepseek-chat"), ("twin", "both"), ("deepseek", "both")}
BY_MODEL: tuple[tuple[str, Claims, str], ...] = (
    ("the default sells it", claims("sk-1", model="gpt-4o"), "openai"),
    ("one other sells it", claims("sk-1", model="deepseek-chat"), "deepseek"),
    ("nobody is known to sell it", claims("sk-1", model="new"), "openai"),
    ("a credential of nobody's", claims("gho_1", model="deepseek-chat"), "openai"),
    ("a credential that says whose it is", claims("sk-proj-1", model="deepseek-chat"), "openai"),
    ("a token", claims("bgd_good", model="deepseek-chat"), "openai"),
)


@pytest.mark.parametrize(
    ("claim", "expected"), [w[1:] for w in BY_MODEL], ids=[w[0] for w in BY_MODEL]
)
def test_a_credential_that_many_may_have_issued_goes_by_the_model(
    claim: Claims, expected: str
) -> None:
    keyring = Keyring()
    keyring.replace({token.hash: token for token in TOKENS.values()})
    found = Callers(UNROUTED, keyring, str, lambda *sold: sold in SOLD)
    assert found.resolve(claim, NOW).provider.name == expected


REFUSED: tuple[tuple[str, Claims, int, str], ...] = (
    ("an unknown token", claims("bgd_none"), 401, "invalid_token"),
    ("an expired token", claims("bgd_done"), 401, "invalid_token"),
    ("a revoked token", claims("bgd_gone"), 401, "invalid_token"),
    ("a token of a key that is gone", claims("bgd_lost"), 401, "invalid_token"),
    ("a token under another key's name", claims("bgd_good", key="mine"), 403, "wrong_key"),
    ("no token", claims(key="team"), 401, "token_required"),
    ("a credential for a token", claims("sk-mine", key="team"), 403, "wrong_key"),
    ("an unclaimed one too", claims("sk-else", key="team"), 401, "token_required"),
    ("a claimed one under another name", claims("sk-mine", key="default"), 403, "wrong_key"),
    ("two keys' credentials", claims("sk-mine", "sk-yours"), 403, "wrong_key"),
    ("a claimed account elsewhere", claims("sk-x", account="acc", key="mine"), 403, "wrong_key"),
    ("an expired key", claims("sk-x", key="old"), 401, "key_expired"),
    ("no such key", claims(key="nobody"), 404, "unknown_key"),
    ("no such provider", claims(provider="nowhere"), 404, "unknown_provider"),
    ("a key's provider that is gone", claims(key="nowhere"), 404, "unknown_provider"),
    ("a provider of another dialect", claims(provider="anthropic"), 400, "wrong_dialect"),
    ("a foreign credential", claims("sk-or-1", provider="openai"), 403, "foreign_credential"),
    ("in second place", claims("gho_1", "sk-or-1", provider="openai"), 403, "foreign_credential"),
    (
        "two owners",
        claims("sk-proj-1", "sk-or-1"),
        403,
        "foreign_credential",
    ),
    ("where nobody's speaks the dialect", claims("sk-ant-1"), 400, "wrong_dialect"),
    ("one of ours is missing", claims("bgd_good", provider="router"), 503, "no_credential"),
)


@pytest.mark.parametrize(
    ("claim", "status", "code"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_who_is_refused(claim: Claims, status: int, code: str) -> None:
    with pytest.raises(CallerFault) as caught:
        callers().resolve(claim, NOW)
    assert (caught.value.status, caught.value.code) == (status, code)
    for secret in ("sk-", "bgd_good", "bgd_none", "gho_"):
        assert secret not in caught.value.message


WHO: tuple[tuple[str, Claims, str], ...] = (
    ("nobody in particular", claims(), "default"),
    ("a credential nobody claims", claims("sk-x"), "default"),
    ("a token's key", claims("bgd_good"), "team"),
    ("which may be named", claims("bgd_good", key="team"), "team"),
    ("a claimed credential", claims("sk-mine"), "mine"),
    ("in second place", claims("sk-x", "sk-mine"), "mine"),
    ("a claimed account", claims("sk-x", account="acc"), "yours"),
    ("the credential before the account", claims("sk-mine", account="acc"), "mine"),
    ("an account nobody claims", claims("sk-x", account="other"), "default"),
    ("a name", claims("sk-x", key="pinned"), "pinned"),
    ("a name that fits a pattern", claims("sk-x", key="bot-7"), "bot-7"),
    ("a token of such a name", claims("bgd_bot1"), "bot-1"),
)


@pytest.mark.parametrize(("claim", "expected"), [w[1:] for w in WHO], ids=[w[0] for w in WHO])
def test_who_pays(claim: Claims, expected: str) -> None:
    assert callers().resolve(claim, NOW).key == expected


def test_what_is_injected() -> None:
    found = callers()
    assert found.resolve(claims("bgd_good"), NOW).inject == Secret("sk-1")
    assert found.resolve(claims("bgd_good", dialect="anthropic"), NOW).inject == Secret("sk-ant-1")
    assert found.resolve(claims("bgd_good", provider="local"), NOW).inject == Secret("")
    assert found.resolve(claims("sk-x"), NOW).inject is None
    assert found.resolve(claims(), NOW).inject is None


def test_which_money_it_is() -> None:
    found = callers()

    def money(*secrets: str, **more: Any) -> str:
        return found.resolve(claims(*secrets, **more), NOW).money

    assert money("sk-ant-oat01-x", dialect="anthropic") == "notional"
    assert money("sk-ant-api-x", dialect="anthropic") == "real"
    assert money(dialect="anthropic") == "real"
    assert money("sk-ant-oat01-x", "sk-ant-api-x", dialect="anthropic") == "real"
    assert money("anything", provider="flat") == "notional"
    assert money("bgd_good", dialect="anthropic") == "real"
    plan = replace(PROVIDERS["anthropic"], credential=Secret("sk-ant-oat01-ours"))
    ours = callers(replace(UNROUTED, providers={**PROVIDERS, "anthropic": plan}))
    assert ours.resolve(claims("bgd_good", dialect="anthropic"), NOW).money == "notional"


def test_which_budgets_bind() -> None:
    found = callers()
    real = found.resolve(claims("bgd_good"), NOW)
    assert real.budgets == (TOTAL, ALL)
    assert found.binding("team", KEYS["team"], "notional") == (NOTIONAL,)
    bot = found.resolve(claims("sk-x", key="bot-7"), NOW)
    assert [(b.name, b.subject) for b in bot.budgets] == [("5h", "key:bot-7"), ("all", "all")]


def test_budgets_go_by_the_model_the_label_and_the_session() -> None:
    opus = replace(TOTAL, name="opus", models=("claude-opus-*",))
    tree = replace(TOTAL, name="session", per="session")
    team = replace(KEYS["team"], budgets=(opus, tree))
    blue = Budget("blue", "label:blue", 10**12, Total())
    rules = replace(UNROUTED, keys=KEYS | {"team": team}, labels=(("b*", (blue,)),))
    found = callers(rules)

    def bound(**more: Any) -> list[str]:
        return [one.name for one in found.resolve(claims("bgd_good", **more), NOW).budgets]

    assert bound(model="claude-opus-4-5") == ["opus", "all", "blue"]
    assert bound(model="gpt-5") == ["all", "blue"]  # the key's own label
    assert bound(model="gpt-5", label="red") == ["all"]
    caller = found.resolve(claims("bgd_good"), NOW)
    path = lineage("team", "low", Claim("low", "header", ("top",)), "unknown", {})
    (one,) = found.session_budgets(caller, "gpt-5", path)
    assert one == replace(tree, subject=f"session:{path[1].id}")
    assert found.session_budgets(caller, "gpt-5", ()) == ()
    assert found.session_budgets(replace(caller, money="notional"), "gpt-5", path) == ()


def test_a_label_in_the_url_wins_over_the_keys() -> None:
    found = callers()
    assert found.resolve(claims("bgd_good"), NOW).label == "blue"
    assert found.resolve(claims("bgd_good", label="red"), NOW).label == "red"
    assert found.resolve(claims(), NOW).label is None


def test_a_keys_client_overrides_the_detection() -> None:
    assert callers().resolve(claims(key="pinned"), NOW).family == "aider"
    assert callers().resolve(claims(), NOW).family == "unknown"


READ: tuple[tuple[dict[str, str], list[str]], ...] = (
    ({}, []),
    ({"Authorization": ""}, []),
    ({"Authorization": "Bearer"}, []),
    ({"Authorization": "Bearer "}, []),
    ({"Authorization": "Bearer sk-1"}, ["sk-1"]),
    ({"authorization": "bearer   sk-1  "}, ["sk-1"]),
    ({"authorization": "sk-1"}, ["sk-1"]),
    ({"authorization": "Token sk-1"}, ["sk-1"]),
    ({"authorization": "Basic eDpiZ2RfeA=="}, ["bgd_x", "x"]),
    ({"authorization": "Basic !!"}, ["!!"]),
    ({"authorization": "Basic"}, []),
    ({"x-api-key": " sk-1 "}, ["sk-1"]),
    ({"x-api-key": "sk-1", "authorization": "Bearer sk-1"}, ["sk-1"]),
    ({"x-api-key": "bgd_1", "authorization": "Bearer sk-1"}, ["bgd_1", "sk-1"]),
    ({"api-key": "one", "x-goog-api-key": "two", "x-other": "three"}, ["one", "two"]),
)


@pytest.mark.parametrize(("headers", "expected"), READ)
def test_every_credential_of_a_request_is_read(
    headers: dict[str, str], expected: list[str]
) -> None:
    assert [one.secret for one in credentials(headers)] == expected
    assert all(repr(one).endswith(", ***)") for one in credentials(headers))
