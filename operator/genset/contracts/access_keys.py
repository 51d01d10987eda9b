"""The keys file tells a router the digests of consumers' keys: the operator writes it, into the credentials of the router.

No key is in it, only SHA-256 digests; they stand in a Secret nevertheless, because whoever reads one can try short keys
at home.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

ACCESS_KEYS_FILE: Final = "access.keys"  # no backend's file is named so: those have its name and a hash
_DIGEST_CHARACTERS: Final = 64


def digest_of(key: bytes) -> str:
    """Returns the SHA-256 digest of a key, in hexadecimal digits."""
    return hashlib.sha256(key).hexdigest()


def to_json(digests: Mapping[str, Sequence[str]]) -> bytes:
    """Writes consumers with the digests of their keys, so that the same content has the same bytes."""
    return orjson.dumps({"version": 1, "keys": {name: sorted(digests[name]) for name in sorted(digests)}})


def from_json(content: bytes) -> dict[str, str]:
    """Returns the consumer of each digest. Raises ValueError with what is wrong."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        raise ValueError("it is not JSON") from problem
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, dict) or document.get("version") != 1:
        raise ValueError('it is no {"version": 1, "keys": …}')
    consumers: dict[str, str] = {}
    for name, digests in keys.items():
        if not isinstance(digests, list) or not all(_is_digest(digest) for digest in digests):
            raise ValueError(f"keys[{name}]: it is no list of SHA-256 digests in hexadecimal digits")
        for digest in digests:
            consumers.setdefault(digest, name)
    return consumers


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == _DIGEST_CHARACTERS and all(c in "0123456789abcdef" for c in value)
