"""genset's own router, as the operator starts it: a configuration folder, two tiers, access log on."""

from __future__ import annotations

from collections.abc import Mapping

import genset
from bench.interpreter import Interpreter, interpreter
from bench.peers import UPSTREAM_MODEL, Place
from genset import names
from genset.contracts.backend_config import BackendConfig, DnsEndpoints, LocalTarget, UrlTarget
from genset.contracts.route_config import MatchConfig, RouteConfig, WeightedBackend
from genset.contracts.router_config import LimitsConfig, PolicyRef, RouterConfig
from testbed.router_config import made


class Genset:
    """`genset router --config-dir`."""

    name = "genset"
    about = "two tiers (house, cloud), endpoint probes, breakers, access log, metrics"

    def python(self) -> Interpreter:
        """What it runs on."""
        return interpreter()

    def install(self) -> None:
        """The project's image."""
        self.python()

    def version(self) -> str:
        return genset.__version__

    def command(self, place: Place, content: RouterConfig | None = None) -> list[str]:
        folder = place.folder / "config"
        folder.mkdir()
        (folder / names.ROUTER_CONFIG_FILE).write_text(self.configuration(place, content))
        python = self.python()
        seen = python.place(place.folder)
        options = ["--listen", f"127.0.0.1:{place.port}", "--admin", f"127.0.0.1:{place.spare_port}"]
        log = ["--access-log", f"{seen}/access.log", "--drain-grace", "0"]
        return python.genset(place.folder, ["router", "--config-dir", f"{seen}/config", *options, *log])

    def configuration(self, place: Place, content: RouterConfig | None) -> str:
        """What router.json says: `content`, or a house with a cloud behind it."""
        return (content or config(place)).canonical_json()

    def environment(self) -> Mapping[str, str]:
        return self.python().environment()

    def headers(self, place: Place) -> Mapping[str, str]:
        return {}


def config(place: Place) -> RouterConfig:
    """A house with a cloud behind it; the cloud's port is closed and never needed."""
    house = made(LocalTarget, dns=DnsEndpoints(host="127.0.0.1", port=place.upstream_port))
    cloud = UrlTarget(base_url="http://127.0.0.1:9/v1", provider="openAICompatible")
    return made(
        RouterConfig,
        policy=made(PolicyRef, namespace="bench", name="bench", generation=1),
        backends=(
            made(BackendConfig, name="house", kind="local", model=UPSTREAM_MODEL, context_tokens=32768, local=house),
            made(BackendConfig, name="cloud", kind="cloud", model=UPSTREAM_MODEL, url=cloud),
        ),
        routes=(
            made(
                RouteConfig,
                name="everyday",
                match=made(MatchConfig, models=(UPSTREAM_MODEL,), max_input_tokens=6000),
                tiers=((made(WeightedBackend, backend="house"),), (made(WeightedBackend, backend="cloud"),)),
            ),
        ),
        # The default, 2,000, is as many as the largest scenario has streams.
        limits=made(LimitsConfig, max_in_flight=5000),
    )
