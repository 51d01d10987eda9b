"""Reads the one field of a form that a router has to know, its model, and puts another one in its place. Pure.

The bytes of all other parts stay what they are, the boundary included (RFC 7578, RFC 2046 5.1.1). A form that two readers could
understand differently is refused.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MOST_PARTS: Final = 256
PART_HEAD_BYTES: Final = 8 * 1024
MODEL_BYTES: Final = 256  # no model has a longer name

_FORM: Final = b"multipart/form-data"
_DISPOSITION: Final = b"content-disposition"
_ENCODING: Final = b"content-transfer-encoding"
_AS_IT_IS: Final = (b"7bit", b"8bit", b"binary")
#: A parameter of a header's value (RFC 9110, 5.6.6). A blank in a bare value is none, but a quotation may hold anything.
_PARAMETER: Final = re.compile(
    rb'[ \t]*;[ \t]*(?:([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[^"])*)"|([^\s;"]*)))?(?=[ \t]*(?:;|\Z))'
)
_BOUNDARY: Final = re.compile(rb"[^\"\\]{0,69}[^\"\\ ]")  # RFC 2046, 5.1.1
_REMEDY: Final = "send multipart/form-data with the parts model and file"


class NoFormError(ValueError):
    """A body is no form that a router can route. The message says why; `missing`: nothing but the model is wanted."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class Form(NamedTuple):
    """A form is known by its model, which stands from `start` to `end` in the body."""

    model: str
    start: int
    end: int

    def with_model(self, body: bytes, model: str) -> bytes:
        """Returns the body with another model."""
        return b"".join((body[: self.start], model.encode(), body[self.end :]))


def form_of(content_type: bytes, body: bytes) -> Form:
    """Returns what the form of a request says. Raises NoFormError with the remedy."""
    kind, boundary = _value_of(content_type, b"boundary", "the content-type of the form")
    if kind != _FORM:
        raise NoFormError(f"the body is no form; {_REMEDY}")
    if not boundary or not _BOUNDARY.fullmatch(boundary):
        raise NoFormError("the content-type of the form names no boundary; let the client's library write it")
    models = [(start, end) for name, start, end in _parts(b"--" + boundary, body) if name.lower() == b"model"]
    if len(models) != 1:
        told = "no part model" if not models else "more than one part model"
        raise NoFormError(f"the form has {told}; send one", missing=not models)
    start, end = models[0]
    try:
        model = body[start:end].decode()
    except UnicodeDecodeError:
        raise NoFormError("the part model of the form is no text") from None
    if not model or len(model) > MODEL_BYTES or not model.isprintable():
        raise NoFormError("the part model of the form is no name of a model", missing=not model)
    return Form(model, start, end)


def _parts(delimiter: bytes, body: bytes) -> list[tuple[bytes, int, int]]:
    """Returns the parts of a form: name, begin and end of the value."""
    parts: list[tuple[bytes, int, int]] = []
    at = 2 if body.startswith(b"\r\n" + delimiter) else 0
    if not body.startswith(delimiter, at):
        raise NoFormError("the form does not begin with its boundary")
    while True:
        at += len(delimiter)
        if body.startswith(b"--", at):
            if body.find(delimiter, at) >= 0:
                raise NoFormError("the form goes on behind its end")
            return parts
        line_end = body.find(b"\r\n", at)
        if line_end < 0 or body[at:line_end].strip(b" \t"):
            raise NoFormError("a line of the form only begins like its boundary; take another boundary")
        head_end = body.find(b"\r\n\r\n", line_end, line_end + PART_HEAD_BYTES)
        if head_end < 0:
            raise NoFormError("a part of the form has no end of its head, or one of more than 8 KiB")
        value = head_end + 4
        end = body.find(b"\r\n" + delimiter, value - 2)
        if end < 0:
            raise NoFormError("the form is cut: it does not end with its boundary")
        parts.append((_name(body[line_end:head_end]), value, max(value, end)))
        if len(parts) > MOST_PARTS:
            raise NoFormError(f"the form has more than {MOST_PARTS} parts")
        at = end + 2


def _name(head: bytes) -> bytes:
    """Returns the name of a part. `head`: its lines, each behind the end of the one before it."""
    name: bytes | None = None
    for line in head.split(b"\r\n")[1:]:
        field, colon, value = line.partition(b":")
        if not colon or not field.strip(b" \t") or field[:1] in (b" ", b"\t") or b"\r" in line or b"\n" in line:
            raise NoFormError("a part of the form has a head that is not of lines NAME: VALUE")
        field = field.strip(b" \t").lower()
        if field == _ENCODING and value.strip(b" \t").lower() not in _AS_IT_IS:
            raise NoFormError("a part of the form is encoded (content-transfer-encoding); send it as it is")
        if field == _DISPOSITION:
            if name is not None:
                raise NoFormError("a part of the form has more than one content-disposition")
            kind, found = _value_of(value, b"name", "a part of the form")
            if kind != b"form-data":
                raise NoFormError("a part of the form is no form-data; send content-disposition: form-data; name=...")
            name = found
    if not name:
        raise NoFormError("a part of the form has not exactly one name; send content-disposition: form-data; name=...")
    if b"\\" in name:
        raise NoFormError("a name of a part of the form holds a backslash; leave it out")
    return name


def _value_of(header: bytes, wanted: bytes, whose: str) -> tuple[bytes, bytes | None]:
    """Returns what a header's value is in front of its parameters, lower case, and the parameter `wanted`; None without it.

    What readers take differently is refused: two of them, one in pieces or in a character set (RFC 2231), quotes inside quotes.
    """
    kind = header.partition(b";")[0]
    value: bytes | None = None
    at = len(kind)
    while at < len(header):
        found = _PARAMETER.match(header, at)
        if found is None:
            raise NoFormError(f'{whose} has a parameter that is not NAME=VALUE or NAME="VALUE" without quotes inside')
        at = found.end() if header[found.end() :].strip(b" \t") else len(header)
        name = (found.group(1) or b"").lower()
        if name.partition(b"*")[0] != wanted:
            continue
        if value is not None or name != wanted:
            raise NoFormError(f"{whose} has not exactly one {wanted.decode()}")
        value = found.group(2) if found.group(2) is not None else found.group(3)
    return kind.strip(b" \t").lower(), value
