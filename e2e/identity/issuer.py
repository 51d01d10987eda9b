"""An issuer is panva's oidc-provider in a process of its own: installed once, into the user's cache."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from testbed.cluster.steps import run_step
from testbed.cluster.store import build_once, cache_root, digest
from testbed.router import free_port
from testbed.upstream.client import request

_HERE = Path(__file__).parent
_MANIFEST = _HERE / "package.json"
_SECRET = "the secret of the robot, which nobody else has"


class NoNpm(Exception):
    """The issuer cannot be installed: there is no npm."""


def installed() -> Path:
    """Returns the folder whose node_modules hold the provider."""

    def build(draft: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise NoNpm("an identity provider from npm needs Node.js with npm; put `npm` on PATH")
        shutil.copy2(_MANIFEST, draft)
        install: list[str | Path] = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", draft]
        run_step("Installing oidc-provider", install, cache_root() / "log" / "install-identity.log")

    return build_once("identity", "oidc-provider", digest({"manifest": _MANIFEST.read_bytes()}), build)


class Issuer:
    """An issuer gives tokens to the client `robot`. Its keys lie in `folder`, so that it may go and come back with them."""

    def __init__(self, folder: Path, *keys: str, url: str = "") -> None:
        """The first of `keys` signs. `url` is what it calls itself; "": where it is."""
        self.folder = folder
        self.keys = keys
        self.port = free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = url or self.root
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Issuer:
        await self.come()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go()

    async def come(self, *keys: str) -> None:
        """Starts it, with these keys if any are named."""
        self.keys = keys or self.keys
        modules = await asyncio.to_thread(installed)
        settings = {"issuer": self.url, "port": self.port, "keys": self.keys, "folder": str(self.folder)}
        environment = {**os.environ, "SETTINGS": json.dumps({**settings, "modules": str(modules)})}
        self._process = await asyncio.create_subprocess_exec(
            "node", _HERE / "issuer.mjs", env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while (line := await self._process.stdout.readline()).strip() != b"ready":
                assert line, "the issuer has ended"

    async def go(self) -> None:
        """Ends it: nobody answers at its port."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            await process.communicate()

    async def discovered(self) -> dict[str, Any]:
        """Returns what it tells of itself (OpenID Connect Discovery 1.0)."""
        answer = await request(f"{self.root}/.well-known/openid-configuration")
        found: dict[str, Any] = answer.json
        return found

    async def token(self, audience: str = "genset", algorithm: str = "ES256", seconds: int = 600) -> str:
        """Returns an access token for this audience (RFC 9068)."""
        return await self._token(resource=f"urn:{audience}:{algorithm}:{seconds}", scope="ask")

    async def opaque(self) -> str:
        """Returns an access token that only the issuer understands."""
        return await self._token()

    async def _token(self, **more: str) -> str:
        endpoint = (await self.discovered())["token_endpoint"].replace(self.url, self.root)
        form = urlencode({"grant_type": "client_credentials", **more}).encode()
        user = base64.b64encode(f"robot:{_SECRET.replace(' ', '+').replace(',', '%2C')}".encode()).decode()
        headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {user}"}
        answer = await request(endpoint, form, headers)
        assert answer.status == 200, answer.body
        return str(answer.json["access_token"])
