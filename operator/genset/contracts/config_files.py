"""A configuration is one file, or, if a ConfigMap could not hold it as it is, a compressed one and a pointer to it.

The pointer stands where the configuration would (`router.json`). A router of a release before this one refuses it, names the
field that it does not know, and keeps what it has: as with every addition (docs/adr/0012), only policies that need it are written
so. Both files stand in one ConfigMap, which is mounted whole, so that they change together.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Final

PLAIN_BYTES: Final = 900_000  # of a configuration that is written as it is
CONFIG_MAP_BYTES: Final = 1_048_576  # that the API server lets a ConfigMap hold (MaxSecretSize in its validation)
UNPACKED_BYTES: Final = 64 << 20  # that a router reads
_POINTER: Final = "compressed"
_POINTER_BYTES: Final = 256


def packed(text: str, name: str) -> Mapping[str, bytes]:
    """Returns the files of a configuration by their names; `name` is that of the first. The same text gives the same files."""
    whole = text.encode()
    if len(whole) <= PLAIN_BYTES:
        return {name: whole}
    pointer = json.dumps({"version": 1, _POINTER: stand_in(name)}, separators=(",", ":")).encode()
    return {name: pointer, stand_in(name): gzip.compress(whole, 9, mtime=0)}


def stand_in(name: str) -> str:
    """Returns the name of the file that stands in for a configuration that is too large."""
    return f"{name}.gz"


def beside(content: bytes) -> str:
    """Returns the name of the file that stands in for this one; "" if this one is the configuration."""
    if len(content) > _POINTER_BYTES:
        return ""
    try:
        found = json.loads(content)
    except ValueError:
        return ""
    name = found.get(_POINTER) if isinstance(found, dict) and found.keys() == {"version", _POINTER} else ""
    return name if isinstance(name, str) and name and "/" not in name and not name.startswith(".") else ""


def unpacked(content: bytes) -> bytes:
    """Returns a compressed configuration. Raises ValueError."""
    reader = zlib.decompressobj(wbits=31)  # gzip
    try:
        text = reader.decompress(content, UNPACKED_BYTES)
    except zlib.error as problem:
        raise ValueError(f"it is no gzip file ({problem}); have the operator write it again") from problem
    if reader.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {UNPACKED_BYTES} bytes; make the policy smaller")
    if not reader.eof:
        raise ValueError("it is cut off; have the operator write it again")
    return text
