"""Whose call it is, who pays, and where it goes.

Puts together what a request claims (URL labels, credential, account) with what the owner decided
(keys, providers, routes). Rules: a name in the URL names a key and never authorises one; where
budgetd would add its own credential a token is mandatory; a credential that is claimed by one key
cannot be booked to another; and a credential never goes to a provider that it was neither
configured for nor recognised as belonging to. All indexes are made once per reload.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from budgetd.core.budgets import Budget, Money
from budgetd.core.policy import DialectName, KeyPolicy, Provider, Rules, Secret
from budgetd.core.sessions import Session
from budgetd.core.windows import Instant
from budgetd.errors import CallerFault
from budgetd.ledger.keyring import Keyring
from budgetd.proxy.binding import Bindings
from budgetd.wire.dialects import Labels
from budgetd.wire.identity import Credential

GENERIC_PREFIX = 3  # "sk-": half the field uses it, so it recognises nobody


Knows = Callable[[str, str], bool]


def _knows_nothing(_provider: str, _model: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Claims:
    """What a request says of itself, before any of it is believed."""

    labels: Labels
    credentials: tuple[Credential, ...]  # ours first
    family: str
    dialect: DialectName
    model: str = ""
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who pays and where it goes. `inject` is our own credential, or None to leave the request's as
    it is.
    """

    key: str
    policy: KeyPolicy
    budgets: tuple[Budget, ...]  # without those of its session
    provider: Provider
    family: str
    money: Money
    inject: Secret | None = None
    label: str | None = None


class Callers:
    """Resolves claims under one set of rules."""

    def __init__(
        self,
        rules: Rules,
        keyring: Keyring,
        fingerprint: Callable[[str], str],
        knows: Knows = _knows_nothing,
    ) -> None:
        """`knows(provider, model)`: whether the price book names this model at this provider."""
        self.bindings = Bindings(rules)
        self._rules = rules
        self._knows = knows
        self._keyring = keyring
        self._fingerprint = fingerprint
        self._claimed = {mark: key.name for key in rules.keys.values() for mark in key.fingerprints}
        self._accounts = {
            account: key.name for key in rules.keys.values() for account in key.accounts
        }
        prefixes = [
            (prefix, p.name) for p in rules.providers.values() for prefix in p.credential_prefixes
        ]
        self._prefixes = sorted(
            (p for p in prefixes if len(p[0]) > GENERIC_PREFIX), key=lambda p: -len(p[0])
        )
        self._shared = [p for p in prefixes if len(p[0]) <= GENERIC_PREFIX]

    def resolve(self, claims: Claims, now: Instant) -> Caller:
        """The caller. Raises CallerFault: 401 and 403 for what is not authorised, 400 and 404 for
        what is not there.
        """
        key, policy, issued = self.key_of(claims, now)
        provider = self._provider(claims, policy, issued=issued)
        inject = self._injection(provider, issued=issued)
        money: Money = "notional" if _is_plan(provider, claims.credentials, inject) else "real"
        label = claims.labels.label or policy.label
        return Caller(
            key,
            policy,
            self.bindings.standing(key, policy, money, label, claims.model),
            provider,
            policy.client or claims.family,
            money,
            inject,
            label,
        )

    def key_of(self, claims: Claims, now: Instant) -> tuple[str, KeyPolicy, bool]:
        """The key that pays, its policy, and whether a token of ours says so. Raises CallerFault as
        `resolve` does.
        """
        if claims.credentials and claims.credentials[0].is_token:
            key, issued = self._by_token(claims, claims.credentials[0], now), True
        else:
            key, issued = self._by_claim(claims), False
        return key, self._policy(key, issued=issued, now=now), issued

    def binding(self, key: str, policy: KeyPolicy, money: Money) -> tuple[Budget, ...]:
        """The budgets that bind a key as a whole in one kind of money: its own, and everybody's. For
        a pattern's name, its own copies.
        """
        return self.bindings.of_key(key, policy, money)

    def session_budgets(
        self, caller: Caller, model: str, path: Sequence[Session]
    ) -> tuple[Budget, ...]:
        """The budgets that bind a call by its session, next to `caller.budgets`. `path` is the
        session and those above it, its root last; `model` the one asked for.
        """
        return self.bindings.of_sessions(caller.key, caller.policy, caller.money, model, path)

    def _by_token(self, claims: Claims, credential: Credential, now: Instant) -> str:
        token = self._keyring.find(credential.secret)
        if token is None:
            raise CallerFault(
                401,
                "invalid_token",
                "this budgetd token is not known; issue one with: budgetd keys issue NAME",
            )
        if not token.valid_at(now):
            state = "was revoked" if token.revoked is not None else "has expired"
            raise CallerFault(
                401, "invalid_token", f"this budgetd token of key {token.key} {state}"
            )
        if claims.labels.key not in {None, token.key}:
            raise CallerFault(
                403,
                "wrong_key",
                f"this token belongs to another key than the URL names ({claims.labels.key})",
            )
        return token.key

    def _by_claim(self, claims: Claims) -> str:
        """The key that claims one of the credentials or the account, else the one the URL names,
        else the default.
        """
        claimed = None
        if self._claimed:
            marks = [self._fingerprint(one.secret) for one in claims.credentials]
            owners = dict.fromkeys(self._claimed[mark] for mark in marks if mark in self._claimed)
            if len(owners) > 1:
                raise CallerFault(
                    403,
                    "wrong_key",
                    f"the credentials of this request belong to different keys: {', '.join(owners)}",
                )
            claimed = next(iter(owners), None)
        if claimed is None and claims.account is not None:
            claimed = self._accounts.get(claims.account)
        named = claims.labels.key
        if claimed is not None and named not in {None, claimed}:
            raise CallerFault(
                403,
                "wrong_key",
                f"this credential belongs to another key than the URL names ({named})",
            )
        return claimed or named or self._rules.default_key

    def _policy(self, key: str, *, issued: bool, now: Instant) -> KeyPolicy:
        policy = self._rules.key(key)
        if policy is None:
            if issued:
                raise CallerFault(
                    401,
                    "invalid_token",
                    f"the key {key} of this token is not in the configuration any more",
                )
            raise CallerFault(
                404, "unknown_key", f"there is no key named {key!r} in budgetd's configuration"
            )
        if policy.custody == "issued" and not issued:
            raise CallerFault(
                401,
                "token_required",
                f"the key {key} needs its budgetd token (bgd_...) as the API key",
            )
        if policy.expires is not None and now >= policy.expires:
            raise CallerFault(401, "key_expired", f"the key {key} has expired")
        return policy

    def _provider(self, claims: Claims, policy: KeyPolicy, *, issued: bool) -> Provider:
        """The provider, in order of precedence, checked to speak the dialect and to be one this
        credential may go to.
        """
        found = () if issued else claims.credentials
        owners = next((theirs for one in found if (theirs := self._owners(one))), ())
        name = claims.labels.provider or policy.provider or self._routed(claims.model)
        if name is None:
            name = self._by_owner(owners, claims.dialect)
        if name is None:
            name = self._rules.defaults.get(claims.dialect)
            if name is not None and not owners and not issued:
                name = self._by_model(name, claims)
        provider = self._rules.providers.get(name) if name else None
        if provider is None:
            raise CallerFault(
                404,
                "unknown_provider",
                f"there is no provider named {name!r} in budgetd's configuration",
            )
        if claims.dialect not in provider.base_urls:
            raise CallerFault(
                400,
                "wrong_dialect",
                f"provider {provider.name} is not set up to speak {claims.dialect}: use a client of its own"
                f" dialect, or set providers.{provider.name}.base_urls.{claims.dialect}",
            )
        for one in found:
            _check_owner(provider.name, self._owners(one))
        return provider

    def _owners(self, credential: Credential) -> tuple[str, ...]:
        """The providers that recognise this credential by the longest prefix; () if nobody does."""
        for prefix, _ in self._prefixes:
            if credential.secret.startswith(prefix):
                return tuple(name for other, name in self._prefixes if other == prefix)
        return ()

    def _by_owner(self, owners: tuple[str, ...], dialect: DialectName) -> str | None:
        """Of the credential's owners the dialect's default, else the first that speaks it, else the
        first of all.
        """
        if not owners or self._rules.defaults.get(dialect) in owners:
            return None
        return next(
            (name for name in owners if dialect in self._rules.providers[name].base_urls), owners[0]
        )

    def _by_model(self, default: str, claims: Claims) -> str:
        """Half the field's keys begin with `sk-`. Where the default provider does not sell the model
        and exactly one other that such a key may belong to does, it is that one's.
        """
        secrets = [credential.secret for credential in claims.credentials]
        names = {
            name for prefix, name in self._shared if any(s.startswith(prefix) for s in secrets)
        }
        if default not in names or not claims.model or self._knows(default, claims.model):
            return default
        others = [
            name
            for name in sorted(names)
            if claims.dialect in self._rules.providers[name].base_urls
            and self._knows(name, claims.model)
        ]
        return others[0] if len(others) == 1 else default

    def _routed(self, model: str) -> str | None:
        if not model:
            return None
        return next(
            (route.provider for route in self._rules.routes if fnmatchcase(model, route.pattern)),
            None,
        )

    def _injection(self, provider: Provider, *, issued: bool) -> Secret | None:
        if not issued:
            return None
        if provider.credential is None and provider.needs_credential:
            raise CallerFault(
                503,
                "no_credential",
                f"budgetd has no credential for {provider.name}: set providers.{provider.name}.credential",
            )
        return provider.credential or Secret("")


def _check_owner(provider: str, owners: tuple[str, ...]) -> None:
    if owners and provider not in owners:
        raise CallerFault(
            403,
            "foreign_credential",
            f"this credential looks like one of {' or '.join(owners)}, and the call would go to {provider}:"
            " it was not sent",
        )


def _is_plan(
    provider: Provider, credentials: tuple[Credential, ...], inject: Secret | None
) -> bool:
    """Whether the call is paid by a flat-rate plan: its dollars are notional."""
    if provider.plan:
        return True
    if inject is not None:
        secrets = [inject.reveal()]
    else:
        secrets = [credential.secret for credential in credentials]
    # With both a plan's token and a metered key in one request nobody here knows which of them the
    # provider takes: real dollars are the safe reading.
    return bool(provider.plan_prefixes and secrets) and all(
        secret.startswith(provider.plan_prefixes) for secret in secrets
    )
