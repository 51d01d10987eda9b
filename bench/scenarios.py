"""What is done to every peer: one scenario is one window of load. Pure."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = "whole"
SHORT = "short"
UNTOUCHED = "untouched"
RATE = "rate"
CHUNKS = "chunks"
STEADY = "steady"
MANY = "many"
CROWD = "crowd"


@dataclass(frozen=True)
class Scenario:
    """One window. `mode` is load's verb, `body` what is asked for (saturate, rate); the rest is counts and rates per
    second, 0 where the verb has no use for it. `fresh`: with a process that has seen no other scenario.
    """

    name: str
    mode: str
    about: str
    body: str = "whole"
    connections: int = 0
    rate: int = 0
    streams: int = 0
    chunk_rate: int = 0  # of each stream
    fresh: bool = False

    def options(self) -> list[str]:
        """Of `load run`."""
        if self.mode == "saturate":
            return ["--body", self.body, "--connections", str(self.connections)]
        if self.mode == "rate":
            return ["--body", self.body, "--rate", str(self.rate)]
        return ["--streams", str(self.streams), "--chunk-rate", str(self.chunk_rate)]


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(WHOLE, "saturate", "32 connections, whole answers of 1 KB", "whole", connections=32),
        Scenario(SHORT, "saturate", "32 connections, streams of 8 events that come at once", "short", connections=32),
        Scenario(
            UNTOUCHED,
            "saturate",
            "32 connections, whole answers that no stream could tell",
            "untouched",
            connections=32,
        ),
        Scenario(RATE, "rate", "500 requests/s, whole answers", "whole", rate=500),
        Scenario(CHUNKS, "streams", "300 streams of 100 chunks/s", streams=300, chunk_rate=100),
        Scenario(STEADY, "streams", "700 streams of 100 chunks/s", streams=700, chunk_rate=100, fresh=True),
        Scenario(MANY, "streams", "1,200 streams of 100 chunks/s", streams=1200, chunk_rate=100, fresh=True),
        Scenario(CROWD, "streams", "2,000 streams of 50 chunks/s", streams=2000, chunk_rate=50, fresh=True),
    )
}
