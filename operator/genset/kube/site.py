"""Reads what the operator's administrator says of the site: files that the chart mounts, and one Secret of its namespace."""

from __future__ import annotations

import logging
import secrets
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genset import kinds, names
from genset.addresses import base_url_mistake, is_proxy_url, server_of
from genset.desired.metadata import PART_OF
from genset.desired.site import HubToken, Ledger, Site, SiteProxies, certificates
from genset.kube.client import ApiServer
from genset.kube.observe import user_secret
from genset.off_limits import NETWORKS, OffLimits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SiteOptions:
    """These are the flags about the site. Files are read anew all the time, because Secrets are rotated."""

    proxies: SiteProxies = field(default_factory=SiteProxies)
    proxy_credentials_file: Path | None = None
    ca_file: Path | None = None
    hub_token: tuple[str, str] | None = None  # name and key of a Secret in the operator's namespace
    ledger_url: str = ""  # "": there is no ledger
    ledger_secret: str = ""  # name of the Secret in the operator's namespace with the key of its tokens
    preset: tuple[Path, str] | None = None  # file with its settings, and the namespace of its resources

    def problems(self, forbidden_networks: tuple[str, ...]) -> list[str]:
        """Says what is wrong with the proxies, never repeating one: it may hold a password."""
        found = []
        off_limits = OffLimits((*NETWORKS, *forbidden_networks))
        for flag, url in (("--site-http-proxy", self.proxies.http), ("--site-https-proxy", self.proxies.https)):
            if url and not is_proxy_url(url):
                found.append(
                    f"{flag} names no proxy: write http://HOST:PORT, and user and password into the file of "
                    "--site-proxy-credentials-file"
                )
            elif url and off_limits.names(server_of(url).host):
                found.append(f"{flag}: {server_of(url).host} is an address that no router may dial: name another one")
        if self.proxy_credentials_file is not None and not self.proxies:
            found.append("--site-proxy-credentials-file needs --site-https-proxy or --site-http-proxy")
        if self.ledger_url and (mistake := base_url_mistake(self.ledger_url)):
            found.append(f"--ledger-url {mistake}")
        if bool(self.ledger_url) != bool(self.ledger_secret):
            found.append("--ledger-url and --ledger-secret belong together")
        return found


class SiteReader:
    """The reader knows the site as it was last read whole. `namespace` is the operator's own."""

    def __init__(self, api: ApiServer, options: SiteOptions, namespace: str) -> None:
        self._api = api
        self._options = options
        self._namespace = namespace
        self._last: Site | None = None
        self._told = ""

    async def read(self) -> Site:
        """Returns the site. What cannot be read stays as it was; at the first time that raises ValueError or ApiError."""
        try:
            site = Site(self._proxies(), self._ca(), await self._hub_token(), await self._ledger())
        except ValueError as problem:
            if self._last is None:
                raise
            if str(problem) != self._told:
                log.error("Kept the site's settings as they were: %s", problem)
            self._told = str(problem)
            return self._last
        self._last, self._told = site, ""
        return site

    def _proxies(self) -> SiteProxies:
        file, proxies = self._options.proxy_credentials_file, self._options.proxies
        if file is None:
            return proxies
        credentials = _content(file, "--site-proxy-credentials-file").strip()
        if ":" not in credentials or not credentials.isascii() or not credentials.isprintable():
            raise ValueError(f"--site-proxy-credentials-file: {file} holds no user:password in ASCII")
        return replace(proxies, credentials=credentials)

    def _ca(self) -> str:
        file = self._options.ca_file
        if file is None:
            return ""
        found = certificates(_content(file, "--site-ca-file"))
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
        except (ssl.SSLError, ValueError) as problem:
            raise ValueError(
                f"--site-ca-file: {file} holds no certificates in PEM form (-----BEGIN CERTIFICATE-----)"
            ) from problem
        return found

    async def _hub_token(self) -> HubToken | None:
        if self._options.hub_token is None:
            return None
        name, key = self._options.hub_token
        found = await self._api.get(kinds.SECRET, self._namespace, name)
        return HubToken(name, key, user_secret(found) if found is not None else None)

    async def _ledger(self) -> Ledger | None:
        """Returns the ledger with the key in its Secret, which is made if it is not there: no chart's value holds one."""
        url, name = self._options.ledger_url, self._options.ledger_secret
        if not url:
            return None
        found = await self._api.get(kinds.SECRET, self._namespace, name)
        if found is None:
            found = await self._api.create(kinds.SECRET, ledger_key(self._namespace, name))
            log.info("Made Secret %s with a key for the ledger", name)
        key = user_secret(found).data.get(names.LEDGER_SECRET_KEY, b"").strip()
        if not key:
            raise ValueError(
                f"--ledger-secret: Secret {name} has nothing under {names.LEDGER_SECRET_KEY}; put a long random text there"
            )
        return Ledger(url, key)


def ledger_key(namespace: str, name: str) -> dict[str, Any]:
    """Returns a Secret with a new key that nobody can guess."""
    labels = {names.LABEL_PART_OF: PART_OF, names.LABEL_COMPONENT: names.COMPONENT_LEDGER}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "type": "Opaque",
        "stringData": {names.LEDGER_SECRET_KEY: secrets.token_hex(32)},
    }


def _content(file: Path, flag: str) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{flag}: {file} cannot be read: {getattr(problem, 'strerror', None) or problem}") from problem
