"""An identity provider says who somebody is: OpenID Connect's code flow with PKCE, state and nonce.

What he may see is still the API server's to say: name and groups are what its own `--oidc-*` settings would make of the token, so
the same claims and prefixes belong here. Sources: RFC 6749, RFC 7636, OpenID Connect Core 1.0 (3.1).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from genset.console.reviews import Person
from genset.tls import client_context

BEGUN_SECONDS: Final = 600.0  # in which somebody comes back from the provider
MOST_BEGUN: Final = 1000
ANSWER_BYTES: Final = 1024 * 1024
ASK_SECONDS: Final = 10.0
LEEWAY_SECONDS: Final = 60
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
BACK: Final = "/sign-in/back"
VISIT_SECONDS: Final = 3600.0  # of somebody whom a provider has named: nobody can ask it whether it still would


class SignInFailed(Exception):
    """Signing in has failed. The message is for whoever tried."""


@dataclass(frozen=True)
class ProviderOptions:
    """The options say who the provider is, who we are to it, and how names are made of its claims."""

    issuer: str
    client_id: str
    external_url: str
    secret_file: Path | None = None
    ca_file: Path | None = None
    username_claim: str = "sub"
    username_prefix: str = ""
    groups_claim: str = "groups"
    groups_prefix: str = ""


@dataclass(frozen=True)
class _Begun:
    verifier: str
    nonce: str
    to: str
    at: float


class IdentityProvider:
    """One provider. What somebody has begun is kept until he comes back, once."""

    def __init__(self, options: ProviderOptions) -> None:
        self._options = options
        self._begun: OrderedDict[str, _Begun] = OrderedDict()
        self.name = httpx.URL(options.issuer).host

    async def begin(self, to: str) -> tuple[str, str]:
        """Returns the address at the provider where somebody signs in, and what his browser has to keep until he comes back.

        Raises SignInFailed.
        """
        async with self._client() as client:
            metadata = await self._metadata(client)
        state, verifier, nonce = (secrets.token_urlsafe(32) for _ in range(3))
        self._begun[state] = _Begun(verifier, nonce, to, time.monotonic())
        while len(self._begun) > MOST_BEGUN:
            self._begun.popitem(last=False)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": self._options.client_id, "redirect_uri": self._back,
            "scope": "openid profile email groups", "state": state, "nonce": nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{metadata['authorization_endpoint']}?{urlencode(asked)}", state

    async def end(self, told: Mapping[str, str], kept: str) -> tuple[Person, str]:
        """Returns who has come back, and where he wanted to go. Raises SignInFailed.

        `kept`: what his browser has kept. Without it, somebody could have another one sign in as himself.
        """
        begun = self._begun.pop(told.get("state", ""), None)
        if (
            begun is None
            or not secrets.compare_digest(kept, told["state"])
            or time.monotonic() - begun.at > BEGUN_SECONDS
        ):
            raise SignInFailed("This sign-in was not begun here, or too long ago. Try again.")
        if not told.get("code"):
            raise SignInFailed(f"{self.name} has refused: {told.get('error', 'no reason given')[:100]}.")
        async with self._client() as client:
            metadata = await self._metadata(client)
            asked = {
                "grant_type": "authorization_code", "code": told["code"], "redirect_uri": self._back,
                "client_id": self._options.client_id, "code_verifier": begun.verifier,
            }  # fmt: skip
            if self._options.secret_file is not None:
                asked["client_secret"] = self._options.secret_file.read_text().strip()
            tokens = await self._json(client, "POST", str(metadata["token_endpoint"]), asked)
            keys = await self._json(client, "GET", str(metadata["jwks_uri"]))
        claims = self._proved(str(tokens.get("id_token", "")), keys, begun.nonce)
        return self._person(claims), begun.to

    @property
    def _back(self) -> str:
        return self._options.external_url.rstrip("/") + BACK

    def _proved(self, token: str, keys: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        """Returns the claims of a token that this provider has signed for us, now. Raises SignInFailed."""
        try:
            decoded = jwt.decode(token, KeySet.import_key_set(dict(keys)), algorithms=list(ALGORITHMS))  # type: ignore[arg-type]
            registry = jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self._options.issuer},
                aud={"essential": True, "value": self._options.client_id},
                exp={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            registry.validate(decoded.claims)
        except (JoseError, ValueError, TypeError, KeyError) as problem:
            raise SignInFailed(f"{self.name} has answered with a token that proves nothing here.") from problem
        return decoded.claims

    def _person(self, claims: Mapping[str, Any]) -> Person:
        options, name = self._options, claims.get(self._options.username_claim)
        if not isinstance(name, str) or not name:
            raise SignInFailed(f"{self.name} has not told {options.username_claim}: set the claim that names people.")
        if options.username_claim == "email" and claims.get("email_verified") is not True:
            raise SignInFailed(f"{self.name} has not verified your address.")
        told = claims.get(options.groups_claim)
        groups = [told] if isinstance(told, str) else [one for one in told or () if isinstance(one, str)]
        named = tuple(options.groups_prefix + one for one in groups)
        prefixed = options.username_prefix + name
        if prefixed.startswith("system:") or any(one.startswith("system:") for one in named):
            raise SignInFailed("Names that begin with system: belong to the cluster itself.")
        return Person(prefixed, (*named, "system:authenticated"))

    def _client(self) -> httpx.AsyncClient:
        pem = self._options.ca_file.read_text() if self._options.ca_file is not None else None
        context: ssl.SSLContext = client_context(pem)
        return httpx.AsyncClient(verify=context, timeout=ASK_SECONDS, follow_redirects=False)

    async def _metadata(self, client: httpx.AsyncClient) -> Mapping[str, Any]:
        found = await self._json(client, "GET", f"{self._options.issuer.rstrip('/')}/.well-known/openid-configuration")
        wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        if found.get("issuer") != self._options.issuer or not all(isinstance(found.get(one), str) for one in wanted):
            raise SignInFailed(f"{self.name} does not describe itself as the issuer that is set here.")
        return found

    async def _json(
        self, client: httpx.AsyncClient, method: str, url: str, form: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Returns an object. Raises SignInFailed."""
        try:
            async with client.stream(method, url, data=dict(form) if form else None) as answer:
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES:
                        raise SignInFailed(f"{self.name} answers without end.")
                if answer.status_code != 200:
                    raise SignInFailed(f"{self.name} has answered with {answer.status_code}.")
            found = json.loads(body)
        except (httpx.HTTPError, ValueError, OSError) as problem:
            raise SignInFailed(f"{self.name} does not answer. Try again, or sign in with a token.") from problem
        if not isinstance(found, dict):
            raise SignInFailed(f"{self.name} has answered with something else than it should.")
        return found
