"""The payload of an attempt is the head and the body that go to the backend.

The body is the client's own JSON with the backend's model name, the provider's names for fields, and usage asked for on
streams. Unchanged bodies are sent as they came, and those that lack only the stream with that added.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import orjson

from genset.router.backends.endpoint import Endpoint
from genset.router.backends.target import Target
from genset.router.dialects.openai.api import Api
from genset.router.http.as_sent import as_sent
from genset.router.machine.added_fields import OPTIONS, TWINS, sent_name

_ABSENT: Final = object()
_STREAM: Final = b',"stream":true'
_OPTIONS: Final = b',"stream_options":{"include_usage":true}'
#: What ends a body that asks for a stream. Keys: it says already that it wants one; usage has to be asked for.
_MISSING: Final = {
    (False, False): _STREAM + b"}",
    (False, True): _STREAM + _OPTIONS + b"}",
    (True, True): _OPTIONS + b"}",
}


def body_for(
    target: Target,
    api: Api,
    request: dict[str, Any],
    raw: bytes,
    stream: bool,
    refused: Collection[str] = (),
    sent: tuple[bytes, dict[str, Any]] | None = None,
) -> bytes:
    """Returns the request's body as this backend should get it. `request` is not changed.

    `raw`: the client's bytes; empty if `request` is no longer the client's. `refused`: fields that the router would add
    and the backend does not take. `sent`: the client's bytes and what was read from them, in any case.
    """
    provider = target.provider
    renames: list[tuple[str, str]] = []
    if provider.rename is not None or refused:
        renames = [pair for pair in bound_names(target, api, request, refused).items() if pair[0] != pair[1]]
    kept = bool(raw) and not renames and request["model"] == target.model
    if kept and not stream:
        return raw
    usage = provider.usage_option and OPTIONS not in refused
    if kept and "stream_options" not in request:
        spliced = _asking_for_stream(raw, request, usage)
        if spliced is not None:
            return spliced
    body = _form(target, request, renames, stream, usage)
    try:
        return orjson.dumps(body)
    except TypeError:
        if sent is None:
            raise
        return as_sent(*sent, body)


def form_for(
    target: Target, api: Api, request: dict[str, Any], stream: bool, refused: Collection[str] = ()
) -> dict[str, Any]:
    """Returns what `body_for` would write, as a tree: a dialect makes its own text of it."""
    renames = [pair for pair in bound_names(target, api, request, refused).items() if pair[0] != pair[1]]
    return _form(target, request, renames, stream, target.provider.usage_option and OPTIONS not in refused)


def _form(
    target: Target, request: dict[str, Any], renames: list[tuple[str, str]], stream: bool, usage: bool
) -> dict[str, Any]:
    body = {**request, "model": target.model}
    for old, new in renames:
        body[new] = body.pop(old)
    if stream:
        body["stream"] = True
        options = body.get("stream_options")
        if usage:
            body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        elif not target.provider.usage_option:
            body.pop("stream_options", None)
    return body


def bound_names(target: Target, api: Api, request: dict[str, Any], refused: Collection[str]) -> dict[str, str]:
    """Returns the bounds of the answer that the client has set: their names -> those that the backend knows them by."""
    if not api.chat:
        return {}
    rename = target.provider.rename or {}
    names: dict[str, str] = {}
    for old in TWINS:
        if old in request:
            new = sent_name(rename.get(old, old), refused)
            names[old] = new if new not in request else old
    return names


def _asking_for_stream(raw: bytes, request: dict[str, Any], usage: bool) -> bytes | None:
    """Returns the client's own bytes with what is missing before their last brace: writing a long prompt anew takes time."""
    asked = request.get("stream", _ABSENT)
    if asked is not True and asked is not _ABSENT:
        return None
    if asked is True and not usage:
        return raw
    end = raw.rindex(b"}")
    return raw[:end] + _MISSING[asked is True, usage]


def head_for(
    target: Target,
    endpoint: Endpoint,
    api: Api,
    headers: dict[bytes, bytes],
    identity: bytes,
    length: int,
    stream: bool,
    base_path: str | None = None,
    more: bytes = b"",
    path: str | None = None,
) -> bytes:
    """Returns the head. The client's Authorization never passes: the backend's key stands there, or nothing.

    `base_path`: another one than the backend's own. `more`: header lines, as those of a dialect, or with the sites that the
    request has passed. `path`: a dialect's own; None for that of the API.
    """
    place = (api, base_path if path is None else path, stream)
    fixed = endpoint.heads.get(place)
    if fixed is None:
        host = endpoint.name
        if target.port == (80 if target.tls is None else 443):  # none where DNS tells the addresses
            host = host.rpartition(":")[0]
        fixed = (
            b"POST %b%b%b HTTP/1.1\r\nhost: %b\r\n%b%baccept: %b\r\n"
            b"accept-encoding: identity\r\nuser-agent: genset\r\n"  # without it every coding is welcome (RFC 9110, 12.5.3)
            % (
                (target.base_path if base_path is None else base_path).encode(),
                (api.path if path is None else path).encode(),
                target.query.encode(),
                host.encode(),
                target.own_lines,
                b"" if api.form else b"content-type: application/json\r\n",  # that of a form names its boundary
                b"*/*" if api.passes else b"text/event-stream" if stream else b"application/json",
            )
        )
        endpoint.heads[place] = fixed
    passed = more
    for name in target.forwarded:
        if name in headers:
            passed += b"%b: %b\r\n" % (name, headers[name])
    return b"%b%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (fixed, passed, identity, length)
