"""Keys of consumers in Secrets, as `genset key` makes, shows and revokes them. Pure.

A key is shown once, when it is made. From then on it has an id: the first digits of its digest, which tell nobody the key.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from genset import names
from genset.contracts.access_keys import digest_of
from genset.desired.access import key_lines

PREFIX = "gs-"  # so that scanners of repositories find keys that were committed
_RANDOM_BYTES = 32
ID_DIGITS = 12


class ListedKey(NamedTuple):
    """A listed key stands in one line of a Secret. `comment` is that of the lines before it; `fault` says why it is not taken."""

    secret: str
    entry: str
    id: str
    comment: str
    fault: str


def new_key() -> str:
    """Makes a key that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def id_of(key: bytes) -> str:
    return digest_of(key)[:ID_DIGITS]


def secret_with(key: str, name: str, namespace: str | None, entry: str, comment: str) -> dict[str, Any]:
    """Makes the Secret that holds one key, with its owner's consent."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**metadata, "labels": {names.LABEL_CONSUMER: names.CONSUMER}},
        "stringData": {entry: added(b"", key, comment).decode()},
    }


def added(content: bytes, key: str, comment: str) -> bytes:
    """Returns a Secret's value with one more key, behind those that it has."""
    before = content.rstrip()
    lines = ([before] if before else []) + ([f"# {' '.join(comment.split())}".encode()] if comment else [])
    return b"\n".join([*lines, key.encode(), b""])


def listed(secret: str, data: Mapping[str, bytes]) -> list[ListedKey]:
    """Returns every key of a Secret."""
    found: list[ListedKey] = []
    for entry, content in sorted(data.items()):
        lines = content.splitlines()
        for line in key_lines(content):
            above = lines[line.number - 2].strip() if line.number > 1 else b""
            comment = above[1:].strip().decode("utf-8", "replace") if above.startswith(b"#") else ""
            found.append(ListedKey(secret, entry, id_of(line.key), comment, line.fault))
    return found


def without(content: bytes, id: str) -> bytes | None:
    """Returns a Secret's value without the key of this id and the comment above it; None if it is not there."""
    lines = content.splitlines()
    gone = {line.number - 1 for line in key_lines(content) if id_of(line.key) == id}
    if not gone:
        return None
    gone |= {at - 1 for at in gone if at and lines[at - 1].strip().startswith(b"#")}
    kept = [line for at, line in enumerate(lines) if at not in gone]
    return b"\n".join([*kept, b""]) if kept else b""
