"""genset's own router, as the operator starts it: a configuration folder, two tiers, access log on."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import genset
from bench.install import ROOT
from bench.peers import UPSTREAM_MODEL, Place
from genset import names
from genset.router.config import (
    BackendConfig,
    DnsEndpoints,
    LocalTarget,
    MatchConfig,
    PolicyRef,
    RouteConfig,
    RouterConfig,
    UrlTarget,
    WeightedBackend,
)


class Genset:
    """`genset router --config-dir`."""

    name = "genset"
    about = "two tiers (house, cloud), endpoint probes, breakers, access log, metrics"

    def install(self) -> None:
        """It is what runs this."""

    def version(self) -> str:
        return genset.__version__

    def command(self, place: Place) -> list[str]:
        folder = place.folder / "config"
        folder.mkdir()
        (folder / names.ROUTER_CONFIG_FILE).write_text(config(place).canonical_json())
        options = ["--listen", f"127.0.0.1:{place.port}", "--admin", f"127.0.0.1:{place.spare_port}"]
        log = ["--access-log", str(place.folder / "access.log"), "--drain-grace", "0"]
        return [sys.executable, "-m", "genset", "router", "--config-dir", str(folder), *options, *log]

    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT / "operator")}


def config(place: Place) -> RouterConfig:
    """A house with a cloud behind it; the cloud's port is closed and never needed."""
    house = LocalTarget(dns=DnsEndpoints(host="127.0.0.1", port=place.upstream_port))
    cloud = UrlTarget(base_url="http://127.0.0.1:9/v1", provider="openAICompatible")
    return RouterConfig(
        policy=PolicyRef(namespace="bench", name="bench", generation=1),
        backends=(
            BackendConfig(name="house", kind="local", model=UPSTREAM_MODEL, context_tokens=32768, local=house),
            BackendConfig(name="cloud", kind="cloud", model=UPSTREAM_MODEL, url=cloud),
        ),
        routes=(
            RouteConfig(
                name="everyday",
                match=MatchConfig(models=(UPSTREAM_MODEL,), max_input_tokens=6000),
                tiers=((WeightedBackend(backend="house"),), (WeightedBackend(backend="cloud"),)),
            ),
        ),
    )
