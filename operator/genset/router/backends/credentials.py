"""The credential files that a configuration names, and TLS contexts made from them.

A folder of files (a Secret volume, or any directory) or a mapping in memory (stand-alone). Read wholly when a
configuration is loaded, so that a table and its keys always belong together.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from genset.contracts.router_config import UrlTarget, credentials_hash

FILE_BYTES: Final = 1024 * 1024  # a Secret cannot hold more


class MissingCredential(ValueError):
    """A configuration names a credential file that is not there, or cannot be used."""


class Credentials:
    """Names and contents; `hash` is what `/-/config` reports."""

    def __init__(self, files: Mapping[str, bytes], place: str) -> None:
        self._files = dict(files)
        self._place = place
        self.hash = credentials_hash(self._files)

    @classmethod
    def from_folder(cls, folder: Path | None) -> Credentials:
        """Reads every regular file of a folder; none for None, or for a folder that is not there (yet)."""
        if folder is None:
            return cls({}, "no credentials folder")
        files: dict[str, bytes] = {}
        if folder.is_dir():
            for path in folder.iterdir():
                # Secret volumes keep their real files behind ..data and dated folders
                if not path.name.startswith("..") and path.is_file():
                    files[path.name] = _beginning(path)
        return cls(files, str(folder))

    def read(self, name: str, backend: str) -> bytes:
        """Content of one file. MissingCredential names backend, file and remedy."""
        try:
            content = self._files[name]
        except KeyError:
            raise MissingCredential(
                f"backend {backend}: credential file {name} is missing in {self._place}; "
                "put it there, or take the reference out of the policy"
            ) from None
        if not content.strip():
            raise MissingCredential(f"backend {backend}: credential file {name} in {self._place} is empty; fill it")
        return content

    def used_by(self, url: UrlTarget | None) -> tuple[tuple[str, bytes | None], ...]:
        """Names and contents of the files that a target names, to compare two loads."""
        named = (url.key_file, url.ca_file, url.proxy_credentials_file) if url is not None else ()
        return tuple((name, self._files.get(name)) for name in sorted(name for name in named if name))


def _beginning(path: Path) -> bytes:
    """As much of a file as a credential may have. MissingCredential where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES)
    except OSError as problem:
        raise MissingCredential(f"{path}: {problem.strerror}; let the router read it") from problem


class ResumingContext(ssl.SSLContext):
    """Client-side TLS that offers the last session of the same server: one round trip less on a new connection.

    asyncio and uvloop give no way to pass a session, but both make their SSL objects through `wrap_bio`.
    """

    _sessions: dict[str, ssl.SSLSession]

    def wrap_bio(self, incoming, outgoing, server_side=False, server_hostname=None, session=None):  # type: ignore[no-untyped-def]
        sessions = self.__dict__.setdefault("_sessions", {})
        return super().wrap_bio(
            incoming, outgoing, server_side, server_hostname, session or sessions.get(server_hostname)
        )

    def remember(self, server_hostname: str, ssl_object: ssl.SSLObject) -> None:
        """Keeps the session of a connection that has received data (TLS 1.3 sends tickets after the handshake)."""
        session = ssl_object.session
        if session is not None and session.has_ticket:
            self.__dict__.setdefault("_sessions", {})[server_hostname] = session


def tls_context(ca: bytes | None, backend: str) -> ResumingContext:
    """A verifying client context: with the given CA certificates (PEM), else with the system's."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as problem:
        raise MissingCredential(
            f"backend {backend}: its CA file holds no PEM certificates ({problem}); put the CA's certificate there"
        ) from problem
    return context
