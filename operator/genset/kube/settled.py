"""What was written is remembered, so that what does not stay as it was wanted is not written again and again.

Two things keep a child from staying as it is wanted. The API server, or an admission webhook, changes a field in the very
write: the same write would end the same way, so it is not sent again until one of the two sides has changed. Or somebody else
sets it back later, as a second genset operator does that serves the same namespace: then the two of them would fight for ever.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from genset import names

Json = Mapping[str, Any]

REMEMBERED = 20_000  # objects
REVERSALS = 4  # of one object, within ...
REVERSAL_SECONDS = 120.0
REST_SECONDS = 300.0  # that a contested object is left alone
SHARED_REVERSALS = 2  # by another operator, after which both say so: whoever gives way first, the other has won nothing
SHARED_SECONDS = 2 * REST_SECONDS + 60.0  # longer than the other rests: it is still there then


@dataclass
class _Written:
    """What was wanted of one object when it was last written, and how the API server's object differed from it then."""

    wanted: str
    deviation: bytes
    reversals: list[float] = field(default_factory=list)  # when somebody else had changed it again
    rests_until: float = 0.0
    other: str = ""  # operator that has written it, too
    other_writes: int = 0
    other_last: float = 0.0


class Settled:
    """Settled remembers the last write of each object, by its uid. `clock`: seconds, monotonic.

    Objects that are `desired` carry their hash; `deviations` are the fields of the live one that differ, with their values.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._written: OrderedDict[str, _Written] = OrderedDict()

    def rests(self, desired: Json, live: Json, deviations: Json) -> bool:
        """Returns whether the object is what came of writing this desired state: writing it again changes nothing."""
        known = self._of(live)
        return known is not None and known.wanted == _hash(desired) and known.deviation == _digest(deviations)

    def contested(self, desired: Json, live: Json) -> bool:
        """Notes that an object is not what came of writing it. Returns whether somebody else keeps on changing it back."""
        known, now = self._of(live), self._clock()
        if known is None or known.wanted != _hash(desired):
            return False  # it was never written so: what is wanted has changed, not the object
        if now < known.rests_until:
            return True
        known.reversals = [*(at for at in known.reversals if now - at < REVERSAL_SECONDS), now]
        if len(known.reversals) < REVERSALS:
            return False
        known.rests_until = now + REST_SECONDS
        known.reversals = [known.rests_until] * (REVERSALS - 1)  # one more after the rest, and it rests again
        return True

    def saw(self, live: Json, other: str) -> None:
        """Notes that another operator has made something else of an object. `other` is its identity."""
        if (known := self._of(live)) is not None:
            known.other, known.other_writes, known.other_last = other, known.other_writes + 1, self._clock()

    def shared_with(self, live: Json) -> str:
        """Returns the other operator that writes an object in turn with this one; empty if there is none."""
        known = self._of(live)
        if known is None or known.other_writes < SHARED_REVERSALS:
            return ""
        if self._clock() - known.other_last > SHARED_SECONDS:
            known.other_writes = 0
            return ""
        return known.other

    def wrote(self, desired: Json, stored: Json, deviations: Json) -> bool:
        """Notes a write. Returns whether its deviations are news: the last write of the same had none."""
        uid, wanted, deviation = str(stored["metadata"].get("uid")), _hash(desired), _digest(deviations)
        known = self._written.pop(uid, None)
        if known is None or known.wanted != wanted:
            known = replace(known or _Written(wanted, b""), wanted=wanted, deviation=b"", reversals=[], rests_until=0.0)
        news = bool(deviations) and known.deviation in (b"", _digest({}))
        known.deviation = deviation
        self._written[uid] = known
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
        return news

    def _of(self, live: Json) -> _Written | None:
        return self._written.get(str(live["metadata"].get("uid")))


def _hash(desired: Json) -> str:
    return str(desired["metadata"]["annotations"][names.ANNOTATION_DESIRED_HASH])


def _digest(deviations: Json) -> bytes:
    return hashlib.sha256(orjson.dumps(deviations, option=orjson.OPT_SORT_KEYS)).digest()[:16]
