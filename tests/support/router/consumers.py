"""Configurations of routers that ask who asks, for tests."""

from __future__ import annotations

from typing import Any

from genset.contracts.access_keys import ACCESS_KEYS_FILE, digest_of, to_json

KEYS = {"invoices": "gs-invoices-0123456789", "lab": "gs-laboratory-0123456789"}


def consumer(name: str, team: str | None = None, **allowance: Any) -> dict[str, Any]:
    """Makes one consumer of a configuration."""
    return {"name": name, **({"team": team} if team else {}), "allowance": allowance}


def access(*consumers: dict[str, Any], required: bool = True, routers: int = 1, **more: Any) -> dict[str, Any]:
    """Makes the block `access` of a configuration."""
    return {
        "required": required,
        "routers": routers,
        "keysFile": ACCESS_KEYS_FILE,
        "consumers": list(consumers),
        "defaults": {},
        **more,
    }


def keys(given: dict[str, str] = KEYS) -> dict[str, bytes]:
    """Makes the keys file of consumers with one key each."""
    return {ACCESS_KEYS_FILE: to_json({name: [digest_of(key.encode())] for name, key in given.items()})}


def bearer(name: str) -> dict[str, str]:
    """Makes the header by which a consumer says who it is."""
    return {"authorization": f"Bearer {KEYS[name]}"}
