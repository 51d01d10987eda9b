"""Source `http` is one file by URL and SHA-256."""

from __future__ import annotations

import re
from pathlib import Path

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Http
from genset.weights.failure import WeightsFailure
from genset.weights.origin import Checksum, Lookup, RemoteFile, Resolved

LOGIN = "give the headers that the server asks for in source.http.headersSecretRef"

_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")  # RFC 9110 §5.6.2 token
_OURS = {"range", "if-range", "accept-encoding", "connection", "transfer-encoding", "content-length", "host"}


def resolve(source: Http, spec: FetchSpec) -> Resolved:
    """Resolves without network: everything about the file is known but its size."""
    headers = read_headers(spec.headers_file)
    name = source.url.split("?")[0].split("#")[0].rstrip("/").rpartition("/")[2] or source.url
    return Resolved((RemoteFile(source.url, name, Checksum("sha256", source.sha256), headers=headers),))


def read_headers(path: str) -> dict[str, str]:
    """Reads request headers from the mounted Secret: one `Name: value` per line, empty lines and #-comments apart."""
    if not path:
        return {}
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(f"{path} can't be read: {error}") from error
    headers: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not _NAME.match(name) or not value.isprintable() or not value.isascii():
            raise _broken(f"line {number} is not `Name: value`")  # never the line itself: it is a secret
        if name in _OURS:
            raise _broken(f"line {number} sets {name}, which the download sets itself")
        headers[name] = value
    if not headers:
        raise _broken("it holds no header")
    return headers


def _broken(what: str) -> WeightsFailure:
    return WeightsFailure(
        Reason.SOURCE_UNAUTHORIZED,
        f"The headers of source.http.headersSecretRef are not usable: {what}; write one `Name: value` per line",
    )


LOOKUP = Lookup(Http, LOGIN, resolve, lambda _: True)
