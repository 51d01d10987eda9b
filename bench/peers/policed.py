"""genset's own router with all that a policy may ask of it: consumers with limits, data zones, and a record of what leaves.

`genset-policed` is answered by the house, as `genset` is: what differs is what the rules cost. In `genset-recorded` a server in
another zone answers, so that each attempt is written down before its connection is used, and when it has ended.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.peers import UPSTREAM_MODEL, Place
from bench.peers.genset import Genset, config
from genset.contracts.access_config import AccessConfig, AllowanceConfig, ConsumerConfig
from genset.contracts.access_keys import ACCESS_KEYS_FILE, digest_of, to_json
from genset.contracts.backend_config import UrlTarget
from genset.contracts.router_config import EgressConfig, RouterConfig, ZoneRuleConfig

CONSUMERS = 100
_KEY = "gs-bench-{:03d}-0123456789abcdef"
_SPOOL = "spool"


class Policed(Genset):
    """`records`: a server outside answers, and what goes there is written down."""

    def __init__(self, *, records: bool = False) -> None:
        self.records = records
        self.name = "genset-recorded" if records else "genset-policed"
        self.about = f"the same with {CONSUMERS} consumers and their limits, data zones and an egress record" + (
            "; a server outside the house answers" if records else ""
        )

    def command(self, place: Place, content: RouterConfig | None = None) -> list[str]:
        folder = place.folder / "credentials"
        folder.mkdir()
        keys = {f"consumer-{number}": [digest_of(_KEY.format(number).encode())] for number in range(CONSUMERS)}
        (folder / ACCESS_KEYS_FILE).write_bytes(to_json(keys))
        seen = self.python().place(place.folder)
        more = ["--credentials", f"{seen}/credentials", "--spool", f"{seen}/{_SPOOL}"]
        return [*super().command(place, content or policed(place, records=self.records)), *more]

    def headers(self, place: Place) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {_KEY.format(CONSUMERS // 2)}"}


def policed(place: Place, *, records: bool) -> RouterConfig:
    """What `genset` has, for those who are known, within the zones of the house and eu."""
    plain = config(place)
    house, cloud = plain.backends
    cloud = cloud.model_copy(update={"data_zone": "eu"})
    backends = (house, cloud)
    if records:
        target = UrlTarget(base_url=f"{place.upstream_url}/v1", provider="openAICompatible")
        backends = (house.model_copy(update={"kind": "cloud", "local": None, "url": target, "data_zone": "eu"}), cloud)
    allowance = AllowanceConfig(
        models=(UPSTREAM_MODEL, "ocr-*"),
        requests_per_minute=10_000_000,
        tokens_per_minute=1_000_000_000,
        max_in_flight=10_000,
        data_zones=("eu", "house", "us"),
    )
    named = tuple(
        ConsumerConfig(name=f"consumer-{number}", team="bench", allowance=allowance) for number in range(CONSUMERS)
    )
    zones = (
        ZoneRuleConfig(said_by="the cluster (chart value dataZones)", zones=("eu", "house", "us")),
        ZoneRuleConfig(said_by="spec.dataZones", zones=("eu", "house")),
    )
    access = AccessConfig(required=True, routers=1, keys_file=ACCESS_KEYS_FILE, consumers=named, defaults=allowance)
    return plain.model_copy(
        update={
            "backends": backends,
            "access": access,
            "data_zones": zones,
            "egress": EgressConfig(required=True),
        }
    )
