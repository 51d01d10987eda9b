"""Admission puts together who may connect and ask: TLS, consumers, their keys, and the identity provider whose tokens count."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable
from typing import Protocol

from genset.contracts.access_config import AccessConfig, JwtConfig, PeersConfig
from genset.contracts.router_config import RouterConfig
from genset.off_limits import OffLimits
from genset.router.access.bearer import Prover
from genset.router.access.consumer import Consumer
from genset.router.access.consumers import Consumers
from genset.router.access.sharing import Sharing
from genset.router.backends.credentials import Credentials, MissingCredential, tls_context
from genset.router.errors import ConfigRejected
from genset.router.http.connect import Resolver
from genset.router.process.listener_tls import ListenerTls
from genset.router.watch.peer_watch import PeerWatch

_WHO = "access.jwt"


class Watch(Protocol):
    """A watch is `watch.key_set_watch.KeySetWatch`."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Prepared:
    """A prepared configuration has been read and found good, and can be taken without a fault."""

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        access: AccessConfig | None,
        digests: dict[str, str],
        peers_token: bytes = b"",
        tokens: Prover | None = None,
        watch: Watch | None = None,
        made_of: object = None,
        sharing: tuple[PeersConfig | None, int] = (None, 1),
    ) -> None:
        self.tls = tls
        self.access = access
        self.digests = digests
        self.peers_token = peers_token
        self.tokens = tokens
        self.watch = watch
        self.made_of = made_of
        self.peers, self.routers = sharing


class Admission:
    """Admission outlives configurations: consumers that stay keep their counts, a provider that stays keeps its keys.

    `consumers` is None if anybody may ask, `sharing` if nothing is shared with other routers. `wall` is the time of day in
    seconds, `now` those of the router's clock.
    """

    def __init__(self, wall: Callable[[], float], now: Callable[[], float], resolver: Resolver) -> None:
        self.consumers: Consumers | None = None
        self._wall = wall
        self._now = now
        self._resolver = resolver
        self._tokens: Prover | None = None
        self._watch: Watch | None = None
        self._made_of: object = None
        self._peers: PeerWatch | None = None
        self._peers_of: object = None
        self.sharing: Sharing | None = None
        self._tls = ListenerTls()

    def prepare(self, config: RouterConfig, credentials: Credentials, off_limits: OffLimits | None) -> Prepared:
        """Reads everything that a configuration names. Raises MissingCredential or ConfigRejected; nothing has changed then."""
        tls, access = self._tls.prepare(config.tls, credentials), config.access
        budgets = config.budgets
        peers = (access.peers if access is not None else None) or (budgets.peers if budgets is not None else None)
        sharing = peers, access.routers if access is not None else budgets.routers if budgets is not None else 1
        token = credentials.optional(peers.token_file) if peers is not None else b""
        if access is None:
            return Prepared(tls, None, {}, token, sharing=sharing)
        digests = credentials.digests(access.keys_file) if access.keys_file is not None else {}
        jwt = access.jwt
        if jwt is None:
            return Prepared(tls, access, digests, token, sharing=sharing)
        names = (jwt.jwks_file, jwt.ca_file, jwt.proxy_credentials_file)
        made_of = (jwt, *(credentials.optional(name) for name in names), credentials.site_ca, access.keys_file)
        if made_of == self._made_of:
            return Prepared(tls, access, digests, token, self._tokens, self._watch, made_of, sharing)
        tokens, watch = self._provider(jwt, credentials, off_limits)
        return Prepared(tls, access, digests, token, tokens, watch, made_of, sharing)

    def take(self, prepared: Prepared) -> Consumers | None:
        """Uses what was prepared from here on."""
        if prepared.watch is not self._watch:
            if self._watch is not None:
                self._watch.stop()
            if prepared.watch is not None:
                prepared.watch.start()
        self._tokens, self._watch, self._made_of = prepared.tokens, prepared.watch, prepared.made_of
        if prepared.access is None:
            self.consumers = None
        else:
            self.consumers = self.consumers or Consumers()
            self.consumers.take(prepared.access, prepared.digests, prepared.tokens)
        self._share(prepared)
        return self.consumers

    def _share(self, prepared: Prepared) -> None:
        """Shares limits and budgets with the routers that a configuration names, or with nobody."""
        peers = prepared.peers
        if peers is None or not prepared.peers_token:
            self._replace_peers(None)
            self.sharing = None
            if self.consumers is not None:
                self.consumers.alone()
            return
        made_of = peers, prepared.peers_token
        if made_of != self._peers_of or self.sharing is None:
            self.sharing = Sharing(secrets.token_hex(8), prepared.peers_token, prepared.routers)
            self._replace_peers(PeerWatch(self._limited, self.sharing, peers.dns, self._resolver, self._now))
            self._peers_of = made_of
        self.sharing.resize(prepared.routers)

    def _limited(self) -> list[Consumer]:
        return self.consumers.limited() if self.consumers is not None else []

    def _replace_peers(self, watch: PeerWatch | None) -> None:
        if self._peers is not None:
            self._peers.stop()
        self._peers = watch
        if watch is not None:
            watch.start()

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._replace_peers(None)

    def _provider(
        self, jwt: JwtConfig, credentials: Credentials, off_limits: OffLimits | None
    ) -> tuple[Prover, Watch | None]:
        # Loaded when they are wanted: the library of signatures takes its time and memory.
        from genset.router.access.key_set import BadKeySet, KeySet
        from genset.router.access.tokens import Tokens
        from genset.router.watch.key_set_watch import KeySetSource, KeySetWatch

        missed: list[Callable[[], None]] = []
        tokens = Tokens(jwt, self._wall, lambda: missed[0]() if missed else None)
        if jwt.jwks_url is None:
            document = credentials.optional(jwt.jwks_file)
            if document:  # a condition says why there is none; keys of consumers are known without it
                try:
                    tokens.take(KeySet.read(document))
                except BadKeySet as problem:
                    raise ConfigRejected(
                        f"access.jwt.jwksFile: {problem}; put the provider's key set there"
                    ) from problem
            return tokens, None
        context = None
        if jwt.jwks_url.startswith("https://"):
            ca = credentials.optional(jwt.ca_file) if jwt.ca_file is not None else None
            if jwt.ca_file is not None and not ca:
                raise MissingCredential(
                    f"access.jwt.caFile: {jwt.ca_file} is missing or empty; put the CA's certificates there"
                )
            context = tls_context(ca, _WHO, credentials.site_ca)
        source = KeySetSource(
            jwt.jwks_url, context, jwt.proxy_url, credentials.optional(jwt.proxy_credentials_file), off_limits
        )
        watch = KeySetWatch(tokens, source)
        missed.append(watch.miss)
        return tokens, watch
