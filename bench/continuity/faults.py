"""Says what can happen to the first choice, and on which side of the wire it is made. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Side(StrEnum):
    """A side is one of the two places that answer. Each is the first choice in one direction, and stands in in the other."""

    CLOUD = "cloud"
    HOUSE = "house"

    @property
    def other(self) -> Side:
        return Side.HOUSE if self is Side.CLOUD else Side.CLOUD


@dataclass(frozen=True)
class Fault:
    """A fault is one way to lose the first choice. `network`: the packets meet it, and the servers know nothing of it."""

    name: str
    about: str
    network: bool = False
    closes: bool = False  # connections that were open are closed first, so that each request has to open one
    over_tls: bool = False  # the house speaks TLS, too: its certificate is what is wrong


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("refused", "the server is gone: connections are refused, open ones reset"),
        Fault("rate-limited", "429 with Retry-After: 20"),
        Fault("slow-first-token", "new requests get a head, and no token"),
        Fault("cut-rst", "answers break off in their middle with a reset (RST)"),
        Fault("cut-fin", "answers break off in their middle with a close (FIN)"),
        Fault("cut-clean", "answers break off in their middle, and their HTTP body ends as if that were all"),
        Fault("error-inside", "200 with an error inside, and [DONE] behind it"),
        Fault("suspended-key", "403 in the words of a suspended account"),
        Fault("model-gone", "404: the model does not exist"),
        Fault("blackhole", "no packet gets through", network=True),
        Fault("loss", "half of the packets are lost, both ways", network=True),
        Fault("latency", "each packet from there takes 2 s", network=True),
        Fault("dns-dead", "no packet of the name server gets through, and open connections end", network=True, closes=True),
        Fault("tls-intercepted", "a stranger's certificate, and open connections are closed", closes=True, over_tls=True),
        Fault("half-open", "a firewall restarts and forgets the connections that are open", network=True),
    )
}  # fmt: skip
NETWORK: Final = tuple(fault.name for fault in FAULTS.values() if fault.network or fault.over_tls)

#: Where both are, behind the wire. The cloud speaks TLS; the house plain HTTP, as in a cluster, or TLS.
NAMES: Final = {Side.CLOUD: "cloud.bench", Side.HOUSE: "house.bench"}
ADDRESSES: Final = {Side.CLOUD: "10.77.1.1", Side.HOUSE: "10.77.2.1"}
NAME_SERVER: Final = "10.77.0.53"
NEAR: Final = "10.77.0.1"
TLS_PORT: Final = 443
PLAIN_PORT: Final = 8000


def base_url(side: Side, fault: Fault) -> str:
    """Returns where a side is asked while this fault is tried."""
    if side is Side.CLOUD or fault.over_tls:
        return f"https://{NAMES[side]}/v1"
    return f"http://{NAMES[side]}:{PLAIN_PORT}/v1"
