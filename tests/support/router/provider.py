"""An identity provider of tests: its keys, its tokens, and a server of its key set that can be away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

ISSUER = "https://idp.example/realms/x"
AUDIENCE = "genset"
NOW = 1_800_000_000.0  # seconds since 1970


class IdentityProvider:
    """An identity provider signs with `key`, and publishes it."""

    def __init__(self, id: str = "first", kind: str = "EC") -> None:
        self.rotate(id, kind)

    def rotate(self, id: str, kind: str = "EC") -> None:
        made = {"RSA": lambda: RSAKey.generate_key(2048), "OKP": lambda: OKPKey.generate_key("Ed25519")}
        self.key: Key = made.get(kind, lambda: ECKey.generate_key("P-256"))()
        self.id = id
        self.algorithm = {"RSA": "RS256", "OKP": "EdDSA"}.get(kind, "ES256")

    def key_set(self, **more: Any) -> bytes:
        public = {**self.key.as_dict(private=False), "kid": self.id, "use": "sig", **more}
        return json.dumps({"keys": [public]}).encode()

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Signs a good token, with these changes; a claim that is None is left out."""
        told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 600, "iat": NOW, **claims}
        payload = json.dumps({name: value for name, value in told.items() if value is not None})
        head = {"alg": self.algorithm, "kid": self.id, **(header or {})}
        return jws.serialize_compact(head, payload, self.key, algorithms=[head["alg"]])


class KeySetServer:
    """A key set server answers with `document`, or not at all while it is `away`, and counts how often it is asked."""

    def __init__(self, document: bytes) -> None:
        self.document = document
        self.status = 200
        self.away = False
        self.asked = 0

    async def __aenter__(self) -> KeySetServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/certs"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        if not self.away:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\nconnection: close\r\n" % self.status
            writer.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(self.document), self.document))
        writer.close()
