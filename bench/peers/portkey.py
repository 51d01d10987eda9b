"""Portkey's gateway: the Node.js gateway from npm, started as its documentation does outside a container.

https://github.com/Portkey-AI/gateway/blob/main/docs/installation-deployments.md; where a request goes stands in its
headers (x-portkey-provider, x-portkey-custom-host).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from bench.install import node_package
from bench.peers import Place

PACKAGE = "@portkey-ai/gateway"
VERSION = "1.15.2"
#: With newer ones it answers streams with 500 (https://github.com/Portkey-AI/gateway/issues/1389).
OVERRIDES = {"@hono/node-server": "1.13.7"}


class Portkey:
    """`node build/start-server.js --headless`."""

    name = "portkey"
    about = "NODE_ENV=production, --headless; provider and upstream in each request's headers; @hono/node-server 1.13.7"

    def _folder(self) -> Path:
        return node_package("portkey", PACKAGE, VERSION, OVERRIDES)

    def install(self) -> None:
        self._folder()

    def version(self) -> str:
        return str(json.loads((self._folder() / "package.json").read_text())["version"])

    def command(self, place: Place) -> list[str]:
        node = shutil.which("node") or "node"
        return [node, str(self._folder() / "build" / "start-server.js"), f"--port={place.port}", "--headless"]

    def environment(self) -> Mapping[str, str]:
        return {"NODE_ENV": "production"}

    def headers(self, place: Place) -> Mapping[str, str]:
        return {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{place.upstream_url}/v1",
            "authorization": "Bearer none",
        }
