"""An identity watch keeps the token of one backend fresh: it exchanges what proves the router's identity for a token of Entra.

The proof is a token of the router's ServiceAccount, which the kubelet renews in a file. Sources: RFC 7523, 2.2; Microsoft Learn,
"OAuth 2.0 client credentials flow", third case, and "Microsoft Entra authentication error codes", read on 28 Nov 2026.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from genset.contracts.backend_config import IdentityConfig
from genset.router.backends.backend import Backend
from genset.router.backends.identity import Identity
from genset.router.backends.target import Target
from genset.router.dialects.tolerant import loads
from genset.router.http.connect import ConnectFailed, Connector
from genset.router.watch.own_request import OwnAnswer, post_form

log = logging.getLogger(__name__)

EXCHANGE_SECONDS: Final = 15.0  # for one exchange
FIRST_SECONDS: Final = 3.0  # in which a new backend's first token should be here before it serves
PROOF_BYTES: Final = 64 * 1024
VARIABLE: Final = "AZURE_FEDERATED_TOKEN_FILE"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_CODE: Final = re.compile(r"AADSTS[0-9]{4,9}")
_NO_CREDENTIAL: Final = (
    "no federated credential of the application fits: name the cluster's issuer and the routers' ServiceAccount in one"
)
#: Codes of Entra -> what has to be done.
_REMEDIES: Final = {
    "AADSTS700016": "the application is unknown in this tenant: correct clientID or tenantID",
    "AADSTS90002": "the tenant is unknown: correct tenantID",
    "AADSTS70021": _NO_CREDENTIAL,
    "AADSTS700213": _NO_CREDENTIAL,
    "AADSTS700211": "no federated credential of the application knows the cluster's issuer: correct it there",
    "AADSTS700212": "no federated credential of the application takes the audience api://AzureADTokenExchange: correct it there",
    "AADSTS50166": "the cluster's issuer could not be read by Entra: publish its discovery document",
    "AADSTS500011": "what the token is for is unknown: correct scope",
    "AADSTS70011": "what the token is for is malformed: correct scope",
    "AADSTS7000229": "the application has no service principal in this tenant: create one",
}


class IdentityWatch:
    """An identity watch belongs to one backend. `proof_file` holds what proves the identity; `told` hears each new token."""

    def __init__(
        self,
        backend: Backend,
        connector: Connector,
        proof_file: str,
        told: Callable[[bytes], None] = lambda token: None,
    ) -> None:
        assert backend.target.identity is not None and backend.target.token_server is not None
        assert backend.config.url is not None and backend.config.url.identity is not None
        self._backend = backend
        self._identity: Identity = backend.target.identity
        self._server: Target = backend.target.token_server
        self._config: IdentityConfig = backend.config.url.identity
        self._connector = connector
        self._proof_file = proof_file
        self._told = told
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins. Returns when the first token is here, or after a few seconds."""
        first = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._renew_forever(first))
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                await first.wait()
        except TimeoutError:
            log.warning("Backend %s serves nobody before it has a token of Entra", self._backend.name)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _renew_forever(self, first: asyncio.Event) -> None:
        while True:
            try:
                pause = await self._renew()
            except Exception as problem:
                log.exception("Failed to renew the token of backend %s", self._backend.name)
                pause = self._identity.failed(f"the token could not be renewed ({type(problem).__name__})")
            first.set()
            await asyncio.sleep(pause)

    async def _renew(self) -> float:
        identity = self._identity
        problem = ""
        try:
            form = self._form()
            async with asyncio.timeout(EXCHANGE_SECONDS):
                answer = await post_form(self._connector, self._server, form)
            token, lives = _token_in(answer)
        except OSError as fault:
            problem = f"{fault.strerror or type(fault).__name__}: {fault.filename or self._server.host}"
        except TimeoutError:
            problem = f"{self._server.host} did not answer within {EXCHANGE_SECONDS:g} s"
        except ConnectFailed as fault:
            problem = f"{self._server.host} could not be reached: {fault.detail}"
        except ValueError as fault:
            problem = str(fault)
        if problem:
            if problem != identity.problem:
                log.error("Backend %s gets no token of Entra: %s", self._backend.name, problem)
            return identity.failed(problem)
        if identity.problem:
            log.info("Backend %s has a token of Entra", self._backend.name)
        self._told(token)
        return identity.renewed(token, lives)

    def _form(self) -> bytes:
        """Returns what is asked. Raises OSError, ValueError if the proof cannot be read."""
        if not self._proof_file:
            raise ValueError(f"nothing proves the router's identity: {VARIABLE} names no file")
        with Path(self._proof_file).open("rb") as file:
            proof = file.read(PROOF_BYTES).decode("ascii", "replace").strip()
        if not proof:
            raise ValueError(f"{self._proof_file} is empty: it should hold the token of the router's ServiceAccount")
        asked = {
            "grant_type": "client_credentials",
            "client_id": self._config.client_id,
            "scope": self._config.scope,
            "client_assertion_type": _ASSERTION,
            "client_assertion": proof,
        }
        return urlencode(asked).encode()


def _token_in(answer: OwnAnswer) -> tuple[bytes, float]:
    """Returns the token of an answer, and the seconds that it lives. Raises ValueError with what has to be done."""
    try:
        said = loads(answer.body)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    if not 200 <= answer.status < 300:
        raise ValueError(f"Entra answered {answer.status}: {_told(said)}")
    token, lives = said.get("access_token"), said.get("expires_in")
    if isinstance(lives, str) and lives.isdigit():
        lives = int(lives)
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
        raise ValueError("Entra answered without a token")
    if not isinstance(lives, int) or isinstance(lives, bool) or lives <= 0:
        raise ValueError("Entra answered without the life of its token")
    return token.encode(), float(lives)


def _told(said: dict[str, object]) -> str:
    """Returns what an error says: its code, what to do if that is known, else its first line."""
    words = said.get("error_description")
    words = words if isinstance(words, str) else str(said.get("error") or "no reason")
    code = _CODE.search(words)
    remedy = _REMEDIES.get(code.group()) if code is not None else None
    if code is not None and remedy is not None:
        return f"{code.group()}: {remedy}"
    return words.splitlines()[0][:256] if words else "no reason"
