"""Translates the content of OpenAI's messages, a text or a list of parts, into Anthropic's content blocks. Pure."""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from genset.router.dialects.anthropic.words import DOCUMENT, IMAGE, TEXT
from genset.router.dialects.base import Untranslatable

Block = dict[str, Any]

_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_DATA_URL: Final = re.compile(r"data:([-\w.+/]+)?((?:;[^;,]*)*),", re.IGNORECASE)
_CACHE_KEYS: Final = {"type", "ttl"}
_TITLE_CHARACTERS: Final = 255


class Dropped:
    """Dropped collects the names of what a request loses on its way, each once, in their order."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        self._names[name] = None

    def names(self) -> tuple[str, ...]:
        return tuple(self._names)


def blocks_of(content: Any, where: str, dropped: Dropped, *, of_user: bool = True) -> list[Block]:
    """Returns a message's content as blocks; none if it is empty. Raises Untranslatable.

    Anthropic refuses blocks of white space alone, so these join the text before them, or go. `of_user`: the message may hold
    images and files, which Anthropic takes from users and tools alone.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": TEXT, "text": content}] if content.strip() else []
    if not isinstance(content, list):
        raise Untranslatable(f"{where}.content is neither a text nor a list of parts")
    made: list[Block] = []
    for index, part in enumerate(content):
        _add(made, part, f"{where}.content[{index}]", dropped, of_user)
    return made


def text_of(content: Any) -> str:
    """Returns the text of a message's content, without its images and files."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def cache_control_of(holder: dict[str, Any], dropped: Dropped) -> dict[str, Any] | None:
    """Returns the mark of a cached prefix that a part, a message or a tool has; None if it has none."""
    mark = holder.get("cache_control")
    if mark is None:
        return None
    if isinstance(mark, dict) and mark.get("type") == "ephemeral" and mark.keys() <= _CACHE_KEYS and _lasts(mark):
        return {key: value for key, value in mark.items() if value is not None}
    dropped.add("cache_control")
    return None


def _lasts(mark: dict[str, Any]) -> bool:
    return mark.get("ttl") in (None, "5m", "1h")


def _add(made: list[Block], part: Any, where: str, dropped: Dropped, of_user: bool) -> None:
    if isinstance(part, str):
        part = {"type": TEXT, "text": part}
    if not isinstance(part, dict):
        raise Untranslatable(f"{where} is no part of a message")
    kind = part.get("type")
    block: Block
    if kind in (TEXT, "input_text", "output_text", "refusal"):
        text = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise Untranslatable(f"{where} has no text")
        if not text.strip():
            if text and made and made[-1]["type"] == TEXT:
                made[-1]["text"] += text
            return
        block = {"type": TEXT, "text": text}
    elif kind == "image_url" and of_user:
        block = _image(part, where, dropped)
    elif kind == "file" and of_user:
        block = _file(part, where)
    elif kind in ("thinking", "reasoning"):
        dropped.add(f"messages[].content[].{kind}")  # thoughts of another author
        return
    else:
        raise Untranslatable(f"{where}: Anthropic's API takes no part of type {str(kind)[:64]} here")
    mark = cache_control_of(part, dropped)
    if mark is not None:
        block["cache_control"] = mark
    made.append(block)


def _image(part: dict[str, Any], where: str, dropped: Dropped) -> Block:
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    if not isinstance(url, str):
        raise Untranslatable(f"{where}.image_url has no url")
    if isinstance(given, dict) and given.get("detail") not in (None, "auto"):
        dropped.add("messages[].content[].image_url.detail")
    if url.startswith(("https://", "http://")):
        return {"type": IMAGE, "source": {"type": "url", "url": url}}
    media, data = data_of(url, f"{where}.image_url")
    if media == "image/jpg":
        media = "image/jpeg"
    if media not in _IMAGES:
        raise Untranslatable(f"{where}: Anthropic's API takes images as JPEG, PNG, GIF or WebP, not {media[:64]}")
    return {"type": IMAGE, "source": {"type": "base64", "media_type": media, "data": data}}


def _file(part: dict[str, Any], where: str) -> Block:
    given = part.get("file")
    if not isinstance(given, dict):
        raise Untranslatable(f"{where}.file is missing")
    content = given.get("file_data")
    if not isinstance(content, str):
        raise Untranslatable(f"{where}.file has no file_data: a file_id is known to the server alone that gave it")
    media, data = data_of(content, f"{where}.file.file_data")
    source: dict[str, Any]
    if media == "application/pdf":
        source = {"type": "base64", "media_type": media, "data": data}
    elif media.startswith("text/"):
        try:
            text = base64.b64decode(data).decode()
        except ValueError:
            raise Untranslatable(f"{where}.file.file_data is no text in UTF-8") from None
        source = {"type": "text", "media_type": "text/plain", "data": text}
    else:
        raise Untranslatable(f"{where}: Anthropic's API takes files as PDF or text, not {media[:64]}")
    block: Block = {"type": DOCUMENT, "source": source}
    name = given.get("filename")
    if isinstance(name, str) and name:
        block["title"] = name[:_TITLE_CHARACTERS]
    return block


def data_of(url: str, where: str) -> tuple[str, str]:
    """Returns the media type and the base64 text of a data: URL. Raises Untranslatable."""
    found = _DATA_URL.match(url)
    if found is None:
        raise Untranslatable(f"{where} is neither a URL of http or https nor one of data")
    media, parameters, data = (found[1] or "text/plain").lower(), (found[2] or "").lower(), url[found.end() :]
    if ";base64" not in parameters:
        raise Untranslatable(f"{where}: write the data in base64")
    return media, data
