"""A key set holds the public keys of an identity provider, by the ids that its tokens name (RFC 7517).

What a provider publishes is not trusted to be small or sane: it is read within bounds, and what cannot be used is left out.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

KEY_SET_BYTES: Final = 512 * 1024  # of a whole document; usual ones have 2 to 10 KB
MOST_KEYS: Final = 64
LEAST_RSA_BITS: Final = 2048  # RFC 7518, 3.3
MOST_RSA_BITS: Final = 8192  # a larger one makes each token cost milliseconds
#: Which algorithms a kind of key may sign with. Secrets shared with the provider (HS256) are none: whoever knows the public
#: key could sign with it, if a token had its say (CVE-2015-9235, algorithm confusion).
ALGORITHMS: Final = {
    "RSA": frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    "EC": frozenset(("ES256", "ES384", "ES512")),
    "OKP": frozenset(("EdDSA", "Ed25519")),
}
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


class BadKeySet(ValueError):
    """A document is no key set that could be used. The message says why."""


class KeySet:
    """A key set finds the key that a token was signed with."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self._by_id: dict[str, list[Key]] = {}
        self._all: list[Key] = []
        for told in keys:
            key = _key(told)
            if key is not None:
                self._all.append(key)
                self._by_id.setdefault(str(told.get("kid") or ""), []).append(key)

    @classmethod
    def read(cls, document: bytes) -> KeySet:
        """Reads a document. Raises BadKeySet if no key in it can be used."""
        if len(document) > KEY_SET_BYTES:
            raise BadKeySet(f"it has more than {KEY_SET_BYTES} bytes")
        try:
            found = orjson.loads(document)
        except orjson.JSONDecodeError as problem:
            raise BadKeySet("it is not JSON") from problem
        keys = found.get("keys") if isinstance(found, dict) else None
        if not isinstance(keys, list):
            raise BadKeySet('it is no {"keys": […]}')
        if len(keys) > MOST_KEYS:
            raise BadKeySet(f"it has more than {MOST_KEYS} keys")
        made = cls([key for key in keys if isinstance(key, dict)])
        if not made._all:
            raise BadKeySet("it has no public key for signatures (RSA of 2048 bits at least, EC or Ed25519)")
        return made

    def key_for(self, id: str | None, algorithm: str) -> Key | None:
        """Returns the key of this id that may sign so. A token without an id is only believed if there is no choice."""
        found = self._all if id is None else self._by_id.get(id, ())
        fitting = [key for key in found if _fits(key, algorithm)]
        return fitting[0] if len(fitting) == 1 or (fitting and id is not None) else None

    def knows(self, id: str | None) -> bool:
        """Returns whether there is a key of this id."""
        return id is None or id in self._by_id


def _key(told: dict[str, Any]) -> Key | None:
    """Makes a key for signatures of what a provider publishes; None if it is none, or is too weak."""
    kind, use, operations = told.get("kty"), told.get("use"), told.get("key_ops")
    if (
        kind not in ALGORITHMS
        or use not in (None, "sig")
        or (isinstance(operations, list) and "verify" not in operations)
    ):
        return None
    public = {name: value for name, value in told.items() if name not in _PRIVATE}
    try:
        if kind == "RSA" and len(str(public.get("n"))) > MOST_RSA_BITS // 6 + 2:
            return None  # before its numbers are made
        key: Key = import_key(public)
        if isinstance(key, RSAKey):
            bits = key.public_key.key_size
            return (
                key if LEAST_RSA_BITS <= bits <= MOST_RSA_BITS and key.public_key.public_numbers().e < 2**32 else None
            )
        return key if isinstance(key, ECKey | OKPKey) and _curve(key) else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _curve(key: Key) -> bool:
    return key.as_dict().get("crv") in ("P-256", "P-384", "P-521", "Ed25519")


def _fits(key: Key, algorithm: str) -> bool:
    told = key.as_dict()
    said = told.get("alg")
    return algorithm in ALGORITHMS[str(told["kty"])] and said in (None, algorithm)
