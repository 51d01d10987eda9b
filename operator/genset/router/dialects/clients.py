"""The table of the paths of other APIs that clients speak. A new dialect is a folder beside this file and a line here."""

from __future__ import annotations

from typing import Final

from genset.router.dialects.anthropic import client as anthropic
from genset.router.dialects.client import ClientDialect, ClientPath
from genset.router.dialects.responses import client as responses

CLIENT_PATHS: Final[dict[bytes, ClientPath]] = {path.path: path for path in (*anthropic.PATHS, *responses.PATHS)}


def dialect_of(path: bytes, headers: dict[bytes, bytes]) -> ClientDialect | None:
    """Returns the dialect in which a client wants to hear an error, also at a path that is not served; None for OpenAI's."""
    known = CLIENT_PATHS.get(path)
    if known is not None:
        return known.dialect
    return anthropic.DIALECT if anthropic.speaks(path, headers) else None
