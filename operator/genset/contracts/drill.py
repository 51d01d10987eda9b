"""A drill is ordered by the operator in `drill.json`, beside the routers' configuration, and told by each router in `/-/config`.

The file stands in the same ConfigMap as `router.json`, and is no part of it: an order changes nothing of what is served. A router
of an earlier release does not look at it, and says nothing of the drill.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Literal, Self

import orjson
from pydantic import Field

from genset.contracts.config_parts import ConfigPart, Label
from genset.contracts.reading import count, duration, text

FILE: Final = "drill.json"
PREFIX: Final = "drill-"  # of segments of the spool that evidence is written to
RUN: Final = "run"  # the kind of line that a router writes when a run has ended
LONGEST_SECONDS: Final = 600  # of a fault
MOST_PER_SECOND: Final = 10  # probes of one router
WORDS: Final = 512  # characters of why a drill has ended


class Fault(StrEnum):
    """What connections to the backends meet that a drill takes away."""

    REFUSED = "Refused"
    BLACKHOLE = "Blackhole"
    RATE_LIMITED = "RateLimited"
    SLOW_FIRST_TOKEN = "SlowFirstToken"
    CUT_STREAM = "CutStream"
    SUSPENDED = "Suspended"
    MODEL_GONE = "ModelGone"
    OVER_BUDGET = "OverBudget"


class ObjectiveConfig(ConfigPart):
    """The objective is what a run is measured against."""

    rto_seconds: float = Field(gt=0)
    lost: int = Field(ge=0)


class LiveOrder(ConfigPart):
    """A live order has a share of clients' requests take the drilled way, too, until `lost` of them would have been lost or
    `error_rate` percent of them have failed."""

    share: int = Field(ge=1, le=100, description="Of the requests whose first choice is taken away, percent.")
    lost: int = Field(ge=1)
    error_rate: int = Field(ge=1, le=100)


class DrillOrder(ConfigPart):
    """An order has every router of a policy take `takes` away from requests of its own, once.

    `id` names the run for ever, `previous` is the hash of the run before it: both stand in the evidence.
    """

    version: Literal[1]
    id: str = Field(pattern=r"^[0-9a-z-]{1,80}$")
    name: Label
    takes: tuple[Label, ...] = Field(min_length=1, description="Backends, by name.")
    fault: Fault
    seconds: int = Field(ge=1, le=LONGEST_SECONDS)
    probes_per_second: float = Field(gt=0, le=MOST_PER_SECOND)
    prompt: str = Field(min_length=1, max_length=4096)
    objective: ObjectiveConfig
    previous: str = Field(pattern=r"^([0-9a-f]{64})?$")
    live: LiveOrder | None = Field(default=None, description="Absent: no request of a client meets the fault.")

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Raises ValidationError."""
        return cls.model_validate_json(body, by_alias=True, by_name=False)

    def canonical_json(self) -> bytes:
        document = self.model_dump(mode="json", by_alias=True, exclude_none=True)  # releases before this know no `live`
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


class DrillPhase(StrEnum):
    """How far a run is. The last three are ends."""

    BASELINE = "Baseline"  # everything is there
    FAULT = "Fault"
    RECOVERY = "Recovery"  # the fault is lifted
    PASSED = "Passed"
    MISSED = "Missed"  # the objective
    ABORTED = "Aborted"  # it says nothing about the objective

    @property
    def is_end(self) -> bool:
        return self in (DrillPhase.PASSED, DrillPhase.MISSED, DrillPhase.ABORTED)


@dataclass(frozen=True)
class Measured:
    """Measured is what a run has shown. Seconds are None for what has not happened.

    `detection` ends when all that is taken away is passed over. `rto` ends with the first token after which nothing is lost any
    more. `give_back` begins when the fault is lifted, and ends with the first token of a backend that was taken away. `lost`
    requests got no answer, `cut` ones a part; `continued` ones were written on by another backend, `degraded` ones answered by a
    later tier. `live` ones were clients'; `spared` of these nobody else answered, so that what is taken away did after all.
    """

    requests: int = 0
    lost: int = 0
    cut: int = 0
    continued: int = 0
    degraded: int = 0
    detection: float | None = None
    first_byte_p50: float | None = None
    first_byte_p99: float | None = None
    rto: float | None = None
    give_back: float | None = None
    live: int = 0
    spared: int = 0

    def to_document(self) -> dict[str, Any]:
        return {_camel(name): value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        made: dict[str, Any] = {}
        for name, unknown in asdict(cls()).items():
            read = duration if unknown is None else count
            made[name] = read(document.get(_camel(name)))
        return cls(**made)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@dataclass(frozen=True)
class DrillReport:
    """A report is how far one router is with a drill, or how it has ended there. `why` tells in words.

    `evidence` is the hash of the record that the router has written of it; empty until it has ended.
    """

    id: str
    phase: str
    why: str = ""
    measured: Measured = Measured()
    evidence: str = ""

    @property
    def ended(self) -> bool:
        return self.phase in (DrillPhase.PASSED, DrillPhase.MISSED, DrillPhase.ABORTED)

    def to_document(self) -> dict[str, Any]:
        told = {"id": self.id, "phase": self.phase, "why": self.why, "measured": self.measured.to_document()}
        return {**told, "evidence": self.evidence}

    @classmethod
    def from_document(cls, document: Any) -> DrillReport | None:
        """Returns what a router tells of a drill; None if it tells of none."""
        if not isinstance(document, dict) or not text(document.get("id")):
            return None
        found = document.get("measured")
        return cls(
            text(document["id"])[:80],
            text(document.get("phase")),
            text(document.get("why"))[:WORDS],
            Measured.from_document(found if isinstance(found, dict) else {}),
            text(document.get("evidence"))[:64],
        )


def record_hash(body: bytes) -> str:
    """Returns the hash of one router's record of a run."""
    return hashlib.sha256(body).hexdigest()
