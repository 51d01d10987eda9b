"""A registry is asked over HTTP as the OCI distribution-spec says: manifests, blobs, and the two ways to log in.

Credentials come from a Docker configuration. They go to the registry, and to the token server that it names, which has to
be asked over TLS unless the registry itself is not; a token goes to the registry alone, and to no host that it redirects to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from genset.api.modeldeployment import Reason
from genset.contracts.sources import DOCKER_HUB, Oci
from genset.times import retry_after
from genset.weights.client import check_status, get
from genset.weights.failure import WeightsFailure, unreachable
from genset.weights.retry import Transient

LOGIN = (
    "private repositories need source.oci.credentialsSecretRef with a Docker configuration that may pull from there (kubectl "
    "create secret docker-registry)"
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
_MANIFEST_BYTES = 4 << 20  # distribution-spec: registries limit manifests to 4 MB
_TOKEN_BYTES = 1 << 20
_TOKEN_SECONDS = 60.0  # how long a token is good that does not say (distribution, token authentication)
_EARLY_SECONDS = 15.0  # a token is renewed so long before its end
_PARAMETER = re.compile(r'([a-zA-Z]+)="([^"]*)"')


@dataclass(frozen=True)
class Manifest:
    """A manifest is the JSON of an artifact, an image or an index, with the digest of its bytes."""

    document: Mapping[str, Any]
    digest: str
    media_type: str
    content: bytes = b""


class Registry:
    """A registry, asked about one repository. `clock` gives seconds that only grow; `login` tells where credentials are given."""

    def __init__(
        self,
        source: Oci,
        client: httpx.Client,
        credentials_file: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        login: str = LOGIN,
    ) -> None:
        self._source = source
        self.client = client
        self._login = login
        self._basic = read_login(credentials_file, source)
        self._clock = clock
        self._challenge: Mapping[str, str] | None = None  # of the token server; None: none was named
        self._headers: Mapping[str, str] = {}
        self._good_until = float("inf")
        self.shown = source.reference

    def manifest(self, reference: str) -> Manifest:
        """Returns the manifest of a tag or digest. Raises WeightsFailure, or Transient for what may pass."""
        url = f"{self._source.server}/v2/{self._source.repository}/manifests/{reference}"
        accept = {"accept": ", ".join((*MANIFESTS, *INDEXES))}
        for _ in range(2):
            with get(self.client, url, self.headers(), accept) as response:
                if response.status_code == 401 and self.log_in(response.headers.get("www-authenticate", "")):
                    continue
                self.check(response)
                body = self._read(response, _MANIFEST_BYTES, "manifest")
                media_type = response.headers.get("content-type", "").partition(";")[0].strip()
            return self._manifest(body, media_type, reference)
        raise WeightsFailure(
            Reason.SOURCE_UNAUTHORIZED, f"{self.shown}: the registry refused its own token; {self._login}"
        )

    def blob(self, digest: str) -> tuple[str, Mapping[str, str]]:
        """Returns URL and headers to ask for a blob with, now."""
        return f"{self._source.server}/v2/{self._source.repository}/blobs/{digest}", self.headers()

    def headers(self) -> Mapping[str, str]:
        """Returns what a request needs to be let in; a token that is about to end is renewed."""
        if self._challenge is not None and self._clock() > self._good_until:
            self._take_token(self._challenge)
        return self._headers

    def _manifest(self, body: bytes, media_type: str, reference: str) -> Manifest:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if DIGEST.match(reference) and reference != digest:
            raise WeightsFailure(
                Reason.CHECKSUM_MISMATCH, f"{self.shown}: the registry sent a manifest whose digest is {digest}"
            )
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise WeightsFailure(
                Reason.SOURCE_UNREACHABLE,
                f"{self._source.server} did not answer as a registry does; check source.oci.reference",
            )
        return Manifest(document, digest, str(document.get("mediaType") or media_type), body)

    def log_in(self, challenge: str, *, anew: bool = False) -> bool:
        """Prepares for a second request by what the registry asked for; False if there is nothing to try.

        `anew`: the token may have ended while the request was sent, so that the same challenge is answered once more.
        """
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._basic and not self._headers:
            self._headers = {"authorization": f"Basic {self._basic}"}
            return True
        parameters = {name.lower(): value for name, value in _PARAMETER.findall(rest)}
        if scheme.lower() != "bearer" or not parameters.get("realm") or (parameters == self._challenge and not anew):
            return False
        self._take_token(parameters)
        self._challenge = parameters
        return True

    def _take_token(self, challenge: Mapping[str, str]) -> None:
        realm = challenge["realm"]
        if urlsplit(realm).scheme != "https" and urlsplit(self._source.server).scheme == "https":
            raise WeightsFailure(
                Reason.SOURCE_UNAUTHORIZED,
                f"{self.shown}: the registry's token server {realm} has no TLS: nothing was told to it",
            )
        scope = challenge.get("scope") or f"repository:{self._source.repository}:pull"
        query = {"service": challenge["service"]} if challenge.get("service") else {}
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode({**query, 'scope': scope})}"
        basic = {"authorization": f"Basic {self._basic}"} if self._basic else {}
        with get(self.client, url, basic, {}) as response:
            self.check(response)
            body = self._read(response, _TOKEN_BYTES, "token")
        try:
            found = json.loads(body)
            token = found.get("token") or found["access_token"]
            seconds = float(found.get("expires_in") or _TOKEN_SECONDS)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            token, seconds = "", 0.0
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise WeightsFailure(
                Reason.SOURCE_UNAUTHORIZED, f"{self.shown}: its token server gave no token; {self._login}"
            )
        self._headers = {"authorization": f"Bearer {token}"}
        self._good_until = self._clock() + max(seconds - _EARLY_SECONDS, seconds / 2)

    def check(self, response: httpx.Response) -> None:
        """Raises for everything but success, with what to do about it."""
        status = response.status_code
        if status in (401, 403):
            raise WeightsFailure(
                Reason.SOURCE_UNAUTHORIZED, f"{self.shown}: the registry answered {status}; {self._login}"
            )
        if status == 404:
            raise WeightsFailure(
                Reason.SOURCE_NOT_FOUND,
                f"{self.shown}: the registry has no such repository, tag or digest (source.oci.reference)",
            )
        if status == 429 or status >= 500:
            wait = retry_after(response.headers.get("retry-after", ""), time.time())
            raise Transient(unreachable(f"{self.shown}: the registry answered {status}"), wait=wait)
        check_status(response, self._source.server, login=self._login)

    def _read(self, response: httpx.Response, most: int, what: str) -> bytes:
        body = b""
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > most:
                raise WeightsFailure(
                    Reason.SOURCE_UNREACHABLE, f"{self.shown}: the registry sent a {what} of more than {most} bytes"
                )
        return body


def knows(path: str, source: Oci) -> bool:
    """Returns whether a Docker configuration says who one is at a source's registry. False if there is none."""
    try:
        return bool(read_login(path, source))
    except WeightsFailure:
        return False


def read_login(path: str, source: Oci) -> str:
    """Reads user and password for the registry, in Base64, from the mounted Docker configuration; empty if it has none."""
    if not path:
        return ""
    try:
        auths = json.loads(Path(path).read_bytes())["auths"]
        by_host = {_host(str(name)): entry for name, entry in auths.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _no_login(f"is no Docker configuration with auths ({type(error).__name__})") from error
    names = (source.reference.partition("/")[0], urlsplit(source.server).netloc)
    wanted = ("docker.io", "index.docker.io", DOCKER_HUB) if DOCKER_HUB in names[1] else names
    entry = next((by_host[name] for name in wanted if name in by_host), None)
    if entry is None:
        raise _no_login(f"says nothing of {names[0]}; it knows {', '.join(sorted(by_host)) or 'no registry'}")
    if not isinstance(entry, dict):
        raise _no_login(f"is broken at {names[0]}")
    user, password = entry.get("username"), entry.get("password")
    if isinstance(user, str) and isinstance(password, str):
        return base64.b64encode(f"{user}:{password}".encode()).decode()
    given = entry.get("auth")
    try:
        if isinstance(given, str) and b":" in base64.b64decode(given, validate=True):
            return given
    except binascii.Error:
        pass
    raise _no_login(f"has neither auth nor username and password for {names[0]}")


def _host(name: str) -> str:
    """Returns the registry that an entry of auths is of: some are written as URLs (docker/cli, config file)."""
    return name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0]


def _no_login(what: str) -> WeightsFailure:
    return WeightsFailure(
        Reason.SOURCE_UNAUTHORIZED,
        f"The Secret of source.oci.credentialsSecretRef {what}; make it with kubectl create secret docker-registry",
    )
