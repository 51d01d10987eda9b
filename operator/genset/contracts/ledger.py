"""What the ledger, those who send to it and those who ask it say to each other: paths, tokens and answers, over HTTP.

Segments go there as they are, piece by piece: `POST /v1/spools/INCARNATION/NAME?offset=N` with whole lines from byte N on.
The answer `{"have": M}` says that the ledger has the segment's bytes up to M on its disk; 409 says the same to whoever began
elsewhere. So whatever is sent twice books once.

`GET /v1/budgets?policy=NAMESPACE/NAME&window=BUDGET.CURRENCY.BEGIN` (a window for each budget, by when it begins) is answered
with what each life of each router has spent in it:
`{"windows": [{"name", "currency", "begin", "spent": {INCARNATION: AMOUNT}}]}`.

A token is made of the ledger's key and of a namespace, so that routers of one namespace cannot write in the name of another's,
and the ledger keeps no list. That for reading is made of the name of no namespace.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SPOOLS_PATH: Final = "/v1/spools"
USAGE_PATH: Final = "/v1/usage"
EGRESS_PATH: Final = "/v1/egress"
REQUESTS_PATH: Final = "/v1/requests"
STATE_PATH: Final = "/v1/state"
BUDGETS_PATH: Final = "/v1/budgets"
WINDOWS: Final = "windows"
MOST_WINDOWS: Final = 64  # of budgets, in one question
HAVE: Final = "have"
AFTER: Final = "X-Genset-After"  # of answers that have more: `after` of the next question
ERROR: Final = "error"
MOST_PIECE_BYTES: Final = 4 * 1024 * 1024  # of one request

READER: Final = "*"  # in place of a namespace: may read, and send nothing
_PREFIX: Final = "gsl-"

#: What usage can be told apart by: words of people, and the fields that hold them.
DIMENSIONS: Final = {
    "policy": "policy",
    "consumer": "consumer",
    "team": "team",
    "route": "route",
    "api": "api",
    "model": "model",
    "backend": "backend",
    "zone": "zone",
    "tier": "tier",
    "sizeClass": "size_class",
    "speedClass": "speed_class",
    "drill": "drill",
}
TIMES: Final = ("hour", "day", "month")  # by which it can be told apart, too


def token(key: bytes, namespace: str) -> str:
    """Returns the token of a namespace's routers, or of a reader. `key`: the ledger's own."""
    return f"{_PREFIX}{namespace}.{_digest(key, namespace)}"


def namespace_of(key: bytes, shown: str) -> str | None:
    """Returns whose token it is; None if it is nobody's."""
    namespace, _, digest = shown.removeprefix(_PREFIX).rpartition(".")
    right = shown.startswith(_PREFIX) and hmac.compare_digest(digest.encode(), _digest(key, namespace).encode())
    return namespace if right and namespace else None


def _digest(key: bytes, namespace: str) -> str:
    return hmac.new(key, namespace.encode(), hashlib.sha256).hexdigest()
