"""Credentials are the files that a configuration names: keys, CA certificates, proxy passwords.

They come from a folder (a Secret volume, or any other) or, stand-alone, from a mapping in memory. They are read as a
whole when a configuration is loaded, so that a table and its keys always belong together.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from genset.contracts import access_keys
from genset.contracts.backend_config import UrlTarget
from genset.contracts.router_config import credentials_hash

FILE_BYTES: Final = 1024 * 1024  # a Secret cannot hold more


class MissingCredential(ValueError):
    """A credential file that a configuration names is missing or cannot be used.

    The message names backend, file and remedy.
    """


class Credentials:
    """Credentials are file names with their contents. `hash` is what `/-/config` reports."""

    def __init__(self, files: Mapping[str, bytes], place: str, site_ca: bytes | None = None) -> None:
        self._files = dict(files)
        self._place = place
        self.hash = credentials_hash(self._files)
        self.site_ca = site_ca  # certificates (PEM) that are trusted beside the system's

    @classmethod
    def from_folder(cls, folder: Path | None) -> Credentials:
        """Reads every regular file of a folder; there are none if it is None or does not exist (yet)."""
        if folder is None:
            return cls({}, "no credentials folder")
        files: dict[str, bytes] = {}
        if folder.is_dir():
            for path in folder.iterdir():
                # Secret volumes keep their real files behind ..data and dated folders.
                if not path.name.startswith("..") and path.is_file():
                    files[path.name] = _beginning(path)
        return cls(files, str(folder))

    def at_site(self, ca_file: str | None) -> Credentials:
        """Returns the same with the certificates of the site. Raises MissingCredential if their file is not there."""
        if ca_file is None:
            return self
        if not self._files.get(ca_file, b"").strip():
            raise MissingCredential(f"siteCaFile: {ca_file} is missing or empty in {self._place}; put it there")
        return Credentials(self._files, self._place, self._files[ca_file])

    def read(self, name: str, backend: str) -> bytes:
        """Returns the content of one file. Raises MissingCredential if it is missing or empty."""
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

    def proxy_user(self, name: str | None) -> bytes:
        """Returns user:password for the proxy before the traces' collector. Raises MissingCredential."""
        if name is None:
            return b""
        if not (found := self._files.get(name, b"").strip()):
            raise MissingCredential(f"telemetry: {name} is missing or empty in {self._place}; put it there")
        return found

    def optional(self, name: str | None) -> bytes:
        """Returns the content of a file that need not be there; b"" without one."""
        return self._files.get(name, b"") if name is not None else b""

    def digests(self, name: str) -> dict[str, str]:
        """Returns the consumer of each digest that the keys file holds. Raises MissingCredential."""
        content = self._files.get(name)
        if content is None:
            raise MissingCredential(f"access.keysFile: {name} is missing in {self._place}; put it there")
        try:
            return access_keys.from_json(content)
        except ValueError as problem:
            raise MissingCredential(f"access.keysFile: {name} in {self._place}: {problem}; write it anew") from problem

    def used_by(self, url: UrlTarget | None) -> tuple[tuple[str, bytes | None], ...]:
        """Returns names and contents of the files that a target names, so that two loads can be compared."""
        named: list[str | None] = []
        if url is not None:
            named = [url.key_file, url.ca_file, url.proxy_credentials_file]
            named += [header.file for header in url.headers or ()]
        files = tuple((name, self._files.get(name)) for name in sorted(name for name in named if name))
        trusts_site = self.site_ca is not None and url is not None and url.ca_file is None
        return (*files, ("", self.site_ca)) if trusts_site else files


def _beginning(path: Path) -> bytes:
    """Reads as much of a file as a credential may have. Raises MissingCredential if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES)
    except OSError as problem:
        raise MissingCredential(f"{path}: {problem.strerror}; let the router read it") from problem


class ResumingContext(ssl.SSLContext):
    """This client-side TLS context resumes the last session with the same server.

    That saves a new connection one round trip. asyncio and uvloop give no way to pass a session, but both make their
    SSL objects through `wrap_bio`.
    """

    _sessions: dict[str, ssl.SSLSession]

    def wrap_bio(self, incoming, outgoing, server_side=False, server_hostname=None, session=None):  # type: ignore[no-untyped-def]
        sessions = self.__dict__.setdefault("_sessions", {})
        return super().wrap_bio(
            incoming, outgoing, server_side, server_hostname, session or sessions.get(server_hostname)
        )

    def remember(self, server_hostname: str, ssl_object: ssl.SSLObject) -> None:
        """Keeps the session of a connection that has received data: TLS 1.3 sends tickets after the handshake."""
        session = ssl_object.session
        if session is not None and session.has_ticket:
            self.__dict__.setdefault("_sessions", {})[server_hostname] = session


def tls_context(ca: bytes | None, backend: str, site_ca: bytes | None = None) -> ResumingContext:
    """Returns a verifying client context that trusts the given CA certificates (PEM), or else the system's and the site's."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca is None:
        context.load_default_certs()
        if site_ca is None:
            return context
    try:
        context.load_verify_locations(cadata=(ca or site_ca or b"").decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as problem:
        whose = "its CA file" if ca is not None else "the site's CA file"
        raise MissingCredential(
            f"backend {backend}: {whose} holds no PEM certificates ({problem}); put the CA's certificate there"
        ) from problem
    return context
