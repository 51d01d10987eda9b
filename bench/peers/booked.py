"""genset's own router, whose cloud has a price, and which writes down what each request has used: what books cost a request."""

from __future__ import annotations

from bench.peers import Place
from bench.peers.genset import Genset, config
from genset.contracts.price_config import PriceConfig, RatesConfig
from genset.contracts.router_config import RouterConfig, UsageConfig

_SPOOL = "spool"
_SPOOL_BYTES = 48 * 1024 * 1024
_PRICE = PriceConfig(
    source="policy", currency="USD", rates=RatesConfig(input_per_million="2.50", output_per_million="10")
)


class Booked(Genset):
    """The house answers, as it does for `genset`; what that avoids is reckoned, and each request leaves a record."""

    name = "genset-booked"
    about = "the same with a price of its cloud and usage records"

    def command(self, place: Place, content: RouterConfig | None = None) -> list[str]:
        seen = self.python().place(place.folder)
        return [*super().command(place, content or booked(place)), "--spool", f"{seen}/{_SPOOL}"]


def booked(place: Place) -> RouterConfig:
    """What `genset` has, with a price of its cloud, and records."""
    plain = config(place)
    backends = tuple(b.model_copy(update={"price": _PRICE}) if b.kind == "cloud" else b for b in plain.backends)
    return plain.model_copy(update={"backends": backends, "usage": UsageConfig(spool_bytes=_SPOOL_BYTES)})
