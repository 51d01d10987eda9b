"""Tokens of an identity provider say who asks: they are proved with its public keys, here, without asking anybody.

What a token says of itself is not believed before its signature is: not its algorithm (only those that the key is for),
not where its key would be found (jku, x5u, jwk are never looked at). Sources: RFC 7519, RFC 8725 (best practices).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError

from genset.contracts.access_config import JwtConfig
from genset.router.access.bearer import Bearer
from genset.router.access.key_set import ALGORITHMS, KeySet
from genset.router.errors import ErrorAnswer, error

SKEW_SECONDS: Final = 60.0  # by which clocks of providers and routers may differ
REMEMBERED: Final = 4096  # tokens that were proved, so that one is proved once
PROOF_SECONDS: Final = 300.0  # for which a proof counts; then the key may be gone
NAME_CHARACTERS: Final = 128  # of a consumer or a team
_TEAMS: Final = 256  # that one token may name
_KNOWN: Final = sorted(set[str]().union(*ALGORITHMS.values()))


class _Refused(ValueError):
    """A token is not believed. The message says why, to be read behind `this token`."""


class Tokens:
    """The tokens of one provider are believed as a configuration says. `keys` is None until there are some.

    `wall` is the time of day in seconds. `miss` is told when a token names a key that is not there: there may be a
    new one.
    """

    def __init__(self, config: JwtConfig, wall: Callable[[], float], miss: Callable[[], None]) -> None:
        self.config = config
        self.keys: KeySet | None = None
        self._wall = wall
        self._miss = miss
        self._proved: OrderedDict[bytes, tuple[Bearer, float]] = OrderedDict()  # with when, by their digests

    def take(self, keys: KeySet) -> None:
        """Takes other keys; what was proved by those before has to be proved again."""
        self.keys = keys
        self._proved.clear()

    def bearer(self, token: bytes) -> Bearer | ErrorAnswer:
        """Returns who a token says that asks, or the error for one that is not believed."""
        now, digest = self._wall(), hashlib.sha256(token).digest()
        known = self._proved.get(digest)
        if known is not None and now < known[0].until and abs(now - known[1]) < PROOF_SECONDS:
            return known[0]
        try:
            bearer = self._prove(token, now)
        except _Refused as refused:
            return error("policy_key_unknown", f"this token {refused}")
        while len(self._proved) >= REMEMBERED:
            self._proved.popitem(last=False)
        self._proved[digest] = bearer, now
        return bearer

    def _prove(self, token: bytes, now: float) -> Bearer:
        keys = self.keys
        if keys is None:
            self._miss()
            raise _Refused("cannot be proved: the keys of its provider were never there (access.jwt); try again later")
        header = _part(token.split(b".", 1)[0])
        algorithm, id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in _KNOWN:
            raise _Refused(
                f"is signed in a way that is not believed; have the provider sign by one of {', '.join(_KNOWN)}"
            )
        if "crit" in header or "b64" in header or not (id is None or isinstance(id, str)):
            raise _Refused("has a header that is not understood here (crit, b64, kid)")
        if not keys.knows(id):
            self._miss()
            raise _Refused("names a key that its provider does not publish; log in anew")
        key = keys.key_for(id, algorithm)
        if key is None:
            raise _Refused(f"is signed by {algorithm}, which is not what its key is for")
        try:
            payload = jws.deserialize_compact(token, key, algorithms=[algorithm]).payload
        except (JoseError, ValueError, TypeError):
            raise _Refused("is not signed by its provider, or was changed") from None
        return self._claims(_object(payload), now)

    def _claims(self, claims: dict[str, Any], now: float) -> Bearer:
        config = self.config
        if claims.get("iss") != config.issuer:
            raise _Refused("is another provider's: its iss is not access.jwt.issuer")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(one, str) and one in config.audiences for one in named):
            raise _Refused("is meant for somebody else: its aud names none of access.jwt.audiences")
        until = _time(claims, "exp")
        if until is None:
            raise _Refused("never ends (no exp), and is not believed for that")
        if now >= until + SKEW_SECONDS:
            raise _Refused("has expired; log in anew")
        for claim in ("nbf", "iat"):
            begins = _time(claims, claim)
            if begins is not None and begins > now + SKEW_SECONDS:
                raise _Refused(f"is not valid yet ({claim}); look at the clocks")
        name = _named(_claim(claims, config.consumer_claim))
        if not name:
            raise _Refused(f"does not say who asks: its {config.consumer_claim} is no name (access.jwt.consumerClaim)")
        return Bearer(name, self._team(claims), until + SKEW_SECONDS)

    def _team(self, claims: dict[str, Any]) -> str:
        config = self.config
        if config.team_claim is None:
            return ""
        said = _claim(claims, config.team_claim)
        teams = [team for one in (said if isinstance(said, list) else [said])[:_TEAMS] if (team := _named(one))]
        if config.allowed_teams is not None:
            teams = [team for team in teams if team in config.allowed_teams]
            if not teams:
                raise _Refused(f"names none of the teams that may ask in {config.team_claim} (access.jwt.allowedTeams)")
        return teams[0] if teams else ""


def _part(text: bytes) -> dict[str, Any]:
    try:
        return _object(base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as problem:
        raise _Refused("is none: its first part is no base64") from problem


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as problem:
        raise _Refused("is none: it holds no JSON") from problem
    if not isinstance(found, dict):
        raise _Refused("is none: it holds no JSON object")
    return found


def _time(claims: dict[str, Any], claim: str) -> float | None:
    """Returns a moment in seconds since 1970 (RFC 7519, 2: NumericDate)."""
    value = claims.get(claim)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e12:
        raise _Refused(f"has a {claim} that is no time")
    return float(value)


def _claim(claims: dict[str, Any], name: str) -> Any:
    """Returns a claim by its name, or by its way through objects: a.b is b inside a."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _named(value: Any) -> str:
    """Returns a name that may stand in logs and metrics; "" for anything else."""
    good = (
        isinstance(value, str) and 0 < len(value) <= NAME_CHARACTERS and value.isprintable() and value == value.strip()
    )
    return value if good else ""
