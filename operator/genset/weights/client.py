"""Downloads have their HTTP here: TLS, proxies, redirects and what a status code means to a user.

Redirects are followed here, not by httpx, because hubs redirect to content networks: the token and all headers of the
user's Secret go to the origin that the user named and to no other (httpx would drop Authorization only).
Proxies come from the environment (see `proxy`); a netrc file is not read, as secrets come from Secrets only.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from genset.api.modeldeployment import Reason
from genset.contracts.puller import SITE_CA_FILE
from genset.off_limits import OffLimits
from genset.times import retry_after
from genset.tls import lenient
from genset.weights.failure import WeightsFailure, unreachable
from genset.weights.origin import without_secrets
from genset.weights.proxy import transport
from genset.weights.retry import Transient

_MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_TIMEOUT = httpx.Timeout(connect=15.0, read=30.0, write=15.0, pool=15.0)  # read: silence, not the whole download
_USER_AGENT = "genset-weights"


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Trusts the usual authorities (or SSL_CERT_FILE), those of the site, plus those of `ca_file`."""
    context = lenient(httpx.create_ssl_context())
    if Path(SITE_CA_FILE).is_file():
        _trust(context, SITE_CA_FILE, "the operator's administrator must give PEM certificates in site.caBundle")
    if ca_file:
        _trust(context, ca_file, "caSecretRef must name a key with PEM certificates")
    return context


def given_certificates(ca_file: str) -> bytes:
    """Returns the certificates (PEM) that are trusted beside the usual ones; b"" if there are none."""
    files = [Path(file) for file in (SITE_CA_FILE, ca_file) if file and Path(file).is_file()]
    return b"\n".join(file.read_bytes() for file in files)


def _trust(context: ssl.SSLContext, file: str, remedy: str) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE,
            f"The certificates in {file} can't be used: {error}; {remedy}",
        ) from error


def make_client(ca_file: str, off_limits: OffLimits | None = None) -> httpx.Client:
    return httpx.Client(
        transport=transport(httpx, tls_context(ca_file), os.environ, off_limits),
        timeout=_TIMEOUT,
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": _USER_AGENT, "accept": "*/*", "accept-encoding": "identity"},
    )


@contextmanager
def get(client: httpx.Client, url: str, own: Mapping[str, str], extra: Mapping[str, str]) -> Iterator[httpx.Response]:
    """GETs with a streamed body. `own` headers (credentials) stay at the origin of `url`; `extra` go everywhere."""
    target = url
    with transport_errors(url):
        for _ in range(_MAX_REDIRECTS + 1):
            headers = {**(own if _same_origin(url, target) else {}), **extra}
            request = client.build_request("GET", target, headers=headers)
            response = client.send(request, stream=True)
            try:
                location = response.headers.get("location")
                if response.status_code in _REDIRECTS and location:
                    target = urljoin(target, location)
                    if urlsplit(target).scheme not in ("http", "https"):
                        raise WeightsFailure(
                            Reason.SOURCE_NOT_FOUND,
                            f"{without_secrets(url)} redirects to {without_secrets(target)}, which is not HTTP",
                        )
                    continue
                yield response
                return
            finally:
                response.close()
    raise WeightsFailure(
        Reason.SOURCE_NOT_FOUND, f"{without_secrets(url)} redirects in circles, last to {without_secrets(target)}"
    )


def _same_origin(first: str, second: str) -> bool:
    """Returns whether scheme, host and port are the same; the step from http to https on the default ports counts as
    the same."""
    a, b = httpx.URL(first), httpx.URL(second)
    if a.host != b.host:
        return False
    ports = {"http": 80, "https": 443}
    ends = (a.scheme, a.port or ports.get(a.scheme)), (b.scheme, b.port or ports.get(b.scheme))
    return ends[0] == ends[1] or ends == (("http", 80), ("https", 443))


@contextmanager
def transport_errors(url: str) -> Iterator[None]:
    """Turns httpx's errors into trouble that may pass, or into failures that can't."""
    shown = without_secrets(url)
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise WeightsFailure(Reason.SOURCE_NOT_FOUND, f"{shown} is no usable URL: {error}") from error
    except httpx.TransportError as error:
        raise trouble_of(error, shown) from error


def trouble_of(error: BaseException, shown: str) -> WeightsFailure | Transient:
    """Returns what an error of the network means. A certificate that is not trusted does not pass by waiting."""
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return WeightsFailure(
            Reason.SOURCE_UNREACHABLE,
            f"The certificate of {shown} is not trusted: {text}; give the authority that signs it in the "
            "source's caSecretRef",
        )
    if "407" in text and "ProxyError" in type(error).__name__:
        return WeightsFailure(
            Reason.SOURCE_UNREACHABLE, f"The proxy on the way to {shown} asks for credentials: {text}"
        )
    return Transient(unreachable(f"{shown} can't be reached: {text}"))


def check_status(response: httpx.Response, shown: str, *, login: str) -> None:
    """Raises for everything but success. `login` tells where credentials for this source are given."""
    status = response.status_code
    if 200 <= status < 300 or status == 416:
        return
    final = without_secrets(str(response.url))
    where = shown if final == shown else f"{shown} (redirected to {final})"
    if status in (401, 403, 407):
        raise WeightsFailure(Reason.SOURCE_UNAUTHORIZED, f"{where} answered {status}; {login}")
    if status in (404, 410):
        raise WeightsFailure(
            Reason.SOURCE_NOT_FOUND, f"{where} answered {status}: there is no such file; check the URL"
        )
    failure = unreachable(f"{where} answered {status}")
    if status in (408, 425, 429) or status >= 500:
        raise Transient(failure, wait=retry_after(response.headers.get("retry-after", ""), time.time()))
    raise WeightsFailure(Reason.SOURCE_UNREACHABLE, f"{where} answered {status}, which is no file; check the URL")
