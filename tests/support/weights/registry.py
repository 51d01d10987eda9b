"""FakeRegistry is a real HTTP server on the loopback that asks who one is, and misbehaves on demand, in place of a registry."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Oci
from tests.support.weights.fakes import FakeOrigin, tiny_gguf
from tests.support.weights.stores import MANIFEST, RAW, Layer, manifest

MODEL = tiny_gguf(600_000)


class FakeRegistry(FakeOrigin):
    """Serves one artifact, models/m:v1, as the distribution-spec says, with tokens or passwords if it is told to."""

    def __init__(self, network: FakeOrigin | None = None) -> None:
        super().__init__()
        self.network = network  # that blobs are redirected to
        self.password = ""  # of user "house", in Basic; "" lets everybody in
        self.tokens = False  # a token server stands before
        self.given: list[str] = []  # tokens, each good for some requests
        self.good_for = 1000
        self.layers = [Layer(MODEL, RAW, "m.gguf")]
        self.document: bytes | None = None
        self.status = 0

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def answer(self, handler, path: str) -> bool:  # type: ignore[no-untyped-def]
        authorization = handler.headers.get("authorization", "")
        basic = "Basic " + base64.b64encode(f"house:{self.password}".encode()).decode()
        if path == "/token":
            if self.password and authorization != basic:
                handler.reply(401, {}, b"{}")
                return True
            self.given.append(f"t{len(self.given)}")
            self.left = self.good_for
            handler.reply(200, {}, json.dumps({"token": self.given[-1], "expires_in": 300}).encode())
            return True
        if not path.startswith("/v2/"):
            return False
        if self.status:
            handler.reply(self.status, {"Retry-After": "1"}, b"{}")
            return True
        if self.tokens and (not self.given or authorization != f"Bearer {self.given[-1]}" or self.left <= 0):
            realm = f'Bearer realm="{self.url}/token",service="house",scope="repository:models/m:pull"'
            handler.reply(401, {"WWW-Authenticate": realm}, b"{}")
            return True
        if not self.tokens and self.password and authorization != basic:
            handler.reply(401, {"WWW-Authenticate": 'Basic realm="house"'}, b"{}")
            return True
        self.left = getattr(self, "left", 0) - 1
        if "/manifests/" in path:
            body = self.document if self.document is not None else json.dumps(manifest(self.layers)).encode()
            handler.reply(200, {"Content-Type": MANIFEST}, body)
            return True
        blob = path.rpartition("/")[2]
        for layer in self.layers:
            if layer.descriptor["digest"] == blob:
                if self.network is not None:
                    self.network.put(f"/{blob}", layer.data)
                    handler.reply(307, {"Location": f"{self.network.url}/{blob}?Signature=s"}, b"")
                    return True
                self.put(path, layer.data)
        return False


def oci_spec(host: str, into: Path, name: str, path: str = "", **options: object) -> FetchSpec:
    return FetchSpec(Oci(f"{host}/{name}", path, "http"), str(into), **options)  # type: ignore[arg-type]
