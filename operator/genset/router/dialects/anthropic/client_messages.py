"""Translates the messages of a Messages request into OpenAI's. Pure.

Tool results come first and in their order, then one user message with the rest: OpenAI's templates want the results directly
behind the calls. Pictures inside a result follow behind all results, because no portable tool message holds one. Thinking is kept
while the turn that it belongs to still runs; no model reads older thinking.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.anthropic.words import (
    BILLING_HEADER,
    DOCUMENT,
    IMAGE,
    REASONING_FORMAT,
    REDACTED,
    TEXT,
    THINKING,
    TOOL_RESULT,
    TOOL_USE,
)
from genset.router.dialects.call_seals import opened_id, with_seal
from genset.router.dialects.client import RefusedRequest
from genset.router.dialects.marks import CACHE, SEALS
from genset.router.dialects.tolerant import dumps
from genset.router.dialects.turns import SEPARATOR, plain

_ROLES: Final = ("user", "assistant", "system")
#: Blocks that only tools bring that run at Anthropic: their results are in no form that another backend reads.
_HOSTED: Final = "runs at Anthropic, and no backend of this router has its results; leave out the block"


def system_content(system: Any) -> Any:
    """Returns the system prompt: a text, or parts if one of them has a mark of its own.

    Claude Code begins it with a block that differs in each request, which would end every prefix cache behind it.
    """
    if system is None or isinstance(system, str):
        return system or ""
    if not isinstance(system, list):
        raise RefusedRequest("system", "system is neither a text nor a list of text blocks; send one of these")
    parts = [_part(block, f"system.{number}", only_text=True) for number, block in enumerate(system)]
    return plain([part for part in parts if part["text"] and not part["text"].startswith(BILLING_HEADER)])


def messages_of(given: Any) -> list[dict[str, Any]]:
    """Returns the messages in OpenAI's form. Raises RefusedRequest."""
    if not isinstance(given, list) or not given:
        raise RefusedRequest("messages", "messages is no list with at least one message; send the conversation in it")
    running = _running(given)
    made: list[dict[str, Any]] = []
    for number, message in enumerate(given):
        place = f"messages.{number}"
        if not isinstance(message, dict):
            raise RefusedRequest(place, f"{place} is no object; send one with role and content")
        role = message.get("role")
        content = message.get("content")
        if role not in _ROLES:
            raise RefusedRequest(
                f"{place}.role", f"{place}.role is not one of user, assistant and system; use one of them"
            )
        if not isinstance(content, str | list):
            raise RefusedRequest(
                f"{place}.content", f"{place}.content is neither a text nor a list of blocks; send one"
            )
        if isinstance(content, str):
            _add(made, role, content)
        elif role == "assistant":
            made.append(_assistant(content, f"{place}.content", keeps_thoughts=number > running))
        elif role == "system":
            blocks = enumerate(content)
            _add(made, role, SEPARATOR.join(_text_of(block, f"{place}.content.{n}") for n, block in blocks))
        else:
            made += _user(content, f"{place}.content")
    return made


def _add(made: list[dict[str, Any]], role: str, text: str) -> None:
    made.append({"role": role, "content": text})


def _running(given: list[Any]) -> int:
    """Returns the number of the last message of the user's own: what follows it is the turn that still runs."""
    for number in range(len(given) - 1, -1, -1):
        message = given[number]
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        content = message.get("content")
        results = isinstance(content, list) and any(
            isinstance(block, dict) and block.get("type") == TOOL_RESULT for block in content
        )
        if not results:
            return number
    return -1


def _text_of(block: Any, place: str) -> str:
    if isinstance(block, dict) and block.get("type") == TEXT and isinstance(block.get("text"), str):
        return str(block["text"])
    raise RefusedRequest(place, f"{place} is no text block; only text can stand here")


# The user's


def _user(content: list[Any], place: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    pictures: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for number, block in enumerate(content):
        here = f"{place}.{number}"
        if not isinstance(block, dict):
            raise RefusedRequest(here, f"{here} is no object; send a content block")
        if block.get("type") == TOOL_RESULT:
            results.append(_result(block, here, pictures))
        else:
            rest.append(_part(block, here))
    parts = pictures + rest
    if not parts:
        return results or [{"role": "user", "content": ""}]
    return [*results, {"role": "user", "content": plain(parts)}]


def _result(block: dict[str, Any], place: str, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    identity, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(identity, str) or not identity:
        raise RefusedRequest(
            f"{place}.tool_use_id", f"{place}.tool_use_id is missing; name the call that this is the result of"
        )
    texts: list[str] = []
    if isinstance(content, str):
        texts.append(content)
    elif isinstance(content, list):
        for number, inner in enumerate(content):
            here = f"{place}.content.{number}"
            if isinstance(inner, dict) and inner.get("type") in (IMAGE, DOCUMENT):
                pictures.append(_part(inner, here))
                texts.append(f"[{inner['type']}]")
            elif isinstance(inner, dict) and inner.get("type") == TEXT:
                texts.append(_text_of(inner, here))
            elif isinstance(inner, dict):
                texts.append(
                    dumps(inner).decode()
                )  # search results, references to tools: the model reads them as they are
            else:
                raise RefusedRequest(here, f"{here} is no object; send a content block")
    elif content is not None:
        raise RefusedRequest(f"{place}.content", f"{place}.content is neither a text nor a list of blocks; send one")
    text = "\n".join(texts)
    if block.get("is_error") is True:
        text = f"Error: {text}"  # OpenAI's form has no word for it
    message = {"role": "tool", "tool_call_id": opened_id(identity)[0], "content": text}
    _mark(message, block)
    return message


def _part(block: Any, place: str, *, only_text: bool = False) -> dict[str, Any]:
    """Returns one block as a part of a message, with its mark."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == TEXT or only_text:
        part: dict[str, Any] = {"type": "text", "text": _text_of(block, place)}
    elif kind == IMAGE:
        part = {"type": "image_url", "image_url": {"url": _url(block.get("source"), f"{place}.source")}}
    elif kind == DOCUMENT:
        part = _document(block, place)
    elif kind == "search_result":
        part = {
            "type": "text",
            "text": dumps({key: value for key, value in block.items() if key != "cache_control"}).decode(),
        }
    else:
        raise RefusedRequest(f"{place}.type", f"{place}: {str(kind)[:64]} {_HOSTED}")
    _mark(part, block)
    return part


def _mark(made: dict[str, Any], block: dict[str, Any]) -> None:
    if isinstance(block.get(CACHE), dict):
        made[CACHE] = block[CACHE]


def _url(source: Any, place: str) -> str:
    if isinstance(source, dict):
        url, data, media = source.get("url"), source.get("data"), source.get("media_type")
        if source.get("type") == "url" and isinstance(url, str):
            return url
        if source.get("type") == "base64" and isinstance(data, str) and isinstance(media, str):
            return f"data:{media};base64,{data}"
    raise RefusedRequest(
        place, f"{place} names nothing that this router can pass on: send base64 or a url, it keeps no files"
    )


def _document(block: dict[str, Any], place: str) -> dict[str, Any]:
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "text" and isinstance(source.get("data"), str):
        return {"type": "text", "text": source["data"]}
    if isinstance(source, dict) and source.get("type") == "content":
        inner, here = source.get("content"), f"{place}.source.content"
        if not isinstance(inner, str | list):
            raise RefusedRequest(here, f"{here} is neither a text nor a list of text blocks; send one")
        texts = [inner] if isinstance(inner, str) else [_text_of(one, here) for one in inner]
        return {"type": "text", "text": "\n".join(texts)}
    title = block.get("title")
    name = title if isinstance(title, str) and title else "document.pdf"
    return {"type": "file", "file": {"filename": name, "file_data": _url(source, f"{place}.source")}}


# The assistant's


def _assistant(content: list[Any], place: str, *, keeps_thoughts: bool) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    seals: list[dict[str, Any]] = []
    for number, block in enumerate(content):
        here = f"{place}.{number}"
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == TEXT:
            texts.append(_text_of(block, here))
        elif kind == TOOL_USE:
            calls.append(_call(block, here))
        elif kind == THINKING:
            _thought(block, thoughts, seals)
        elif kind == REDACTED:
            seals.append({"type": "reasoning.encrypted", "data": block.get("data"), "format": REASONING_FORMAT})
        else:
            raise RefusedRequest(f"{here}.type", f"{here}: {str(kind)[:64]} {_HOSTED}")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if calls:
        message["tool_calls"] = calls
    if keeps_thoughts and any(thoughts):
        message["reasoning_content"] = "\n".join(thoughts)
    if seals:
        message[SEALS] = seals
    return message


def _thought(block: dict[str, Any], thoughts: list[str], seals: list[dict[str, Any]]) -> None:
    text, signature = block.get("thinking"), block.get("signature")
    if not isinstance(text, str):
        return
    thoughts.append(text)
    if isinstance(signature, str) and signature:
        seals.append({"type": "reasoning.text", "text": text, "signature": signature, "format": REASONING_FORMAT})


def _call(block: dict[str, Any], place: str) -> dict[str, Any]:
    identity, name, arguments = block.get("id"), block.get("name"), block.get("input")
    if not isinstance(identity, str) or not isinstance(name, str) or not isinstance(arguments, dict):
        raise RefusedRequest(place, f"{place} lacks id, name or input; send the tool_use block as it was answered")
    own, seal = opened_id(identity)
    function = {"name": name, "arguments": dumps(arguments).decode()}
    return with_seal({"id": own, "type": "function", "function": function}, seal)
