"""An account is a provider at a host, and the key by which it knows who asks: what is suspended is suspended as one. Pure."""

from __future__ import annotations


def account_name(provider: str, host: str, key: str) -> str:
    """Returns what people call an account. `key` names where the key is kept, SECRET/KEY; "" if there is none."""
    return " ".join(part for part in (provider, f"at {host}" if host else "", f"with key {key}" if key else "") if part)
