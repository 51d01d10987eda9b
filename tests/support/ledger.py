"""Traffic for ledgers: spools as routers write them, and what they come to, reckoned by hand from the lines themselves."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from genset.contracts.usage import line, opening
from genset.contracts.usage_records import segment_name

BEGIN = 1_780_000_000  # seconds since 1970: in May 2026
PRICES = {"paris": (Decimal("0.10"), Decimal("0.30"), "EUR"), "frontier": (Decimal("2.5"), Decimal("10"), "USD")}


@dataclass
class Traffic:
    """Traffic is what the routers of one policy have written: one spool for each incarnation."""

    seed: int = 1
    policy: str = "law/assistant"
    spools: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def add(self, incarnation: str, count: int, seconds: float = 90.0) -> list[dict[str, Any]]:
        """Has a router write so many more lines, one every so many seconds; returns them."""
        held = self.spools.setdefault(incarnation, [])
        made = [self._request(len(held) + at + 1, seconds) for at in range(count)]
        held += made
        return made

    def segment(self, incarnation: str, number: int, lines: list[dict[str, Any]]) -> tuple[str, bytes]:
        """Returns name and content of a segment."""
        first = opening(incarnation, self.policy, f"router-{incarnation}", BEGIN)
        return segment_name(incarnation, number), first + b"".join(line(orjson.dumps(one)) for one in lines)

    def segments(self, incarnation: str, size: int = 40) -> list[tuple[str, bytes]]:
        """Returns a spool in segments of so many lines."""
        lines = self.spools[incarnation]
        places = range(0, len(lines), size)
        return [self.segment(incarnation, at // size + 1, lines[at : at + size]) for at in places]

    def by_hand(self, word: str = "team") -> dict[str, dict[str, Decimal]]:
        """Reckons what each team (or consumer, or route) has spent, asked and had made, from the lines alone."""
        found: dict[str, dict[str, Decimal]] = {}
        for one in (request for spool in self.spools.values() for request in spool):
            row = found.setdefault(one.get(word, ""), {})
            counted: Counter[str] = Counter({"requests": 1, "answered": int(one["outcome"] == "ok")})
            for attempt in one.get("attempts", []):
                counted.update(
                    {"attempts": 1, "prompt": attempt.get("prompt", 0), "completion": attempt.get("completion", 0)}
                )
                if "cost" in attempt:
                    self._pay(row, f"cost {attempt['currency']}", attempt["cost"])
            if "avoided" in one:
                self._pay(row, f"avoided {one['avoidedCurrency']}", one["avoided"])
            for name, more in counted.items():
                row[name] = row.get(name, Decimal()) + more
        return found

    def _pay(self, row: dict[str, Decimal], name: str, amount: str) -> None:
        row[name] = row.get(name, Decimal()) + Decimal(amount)

    def _request(self, number: int, seconds: float) -> dict[str, Any]:
        draw = self.random
        made: dict[str, Any] = {
            "kind": "request",
            "n": number,
            "time": round(BEGIN + number * seconds + draw.random(), 3),
            "seconds": round(draw.random() * 5, 3),
            "request": f"{draw.getrandbits(64):016x}",
            "consumer": draw.choice(["invoices", "letters", "search"]),
            "team": draw.choice(["accounting", "law"]),
            "route": draw.choice(["files", "everyday"]),
            "api": "chat",
            "model": "assistant",
            "status": 200,
            "outcome": draw.choice(["ok"] * 6 + ["cancelled", "cut"]),
        }
        kind = draw.random()
        if kind < 0.05:
            return {**made, "status": 429, "outcome": "refused"}
        attempts = [self._cloud("frontier", 0, "unavailable", cut=True)] if kind < 0.3 else []
        if kind > 0.6:
            attempts.append(self._cloud(draw.choice(["paris", "frontier"]), len(attempts), "ok"))
            return {**made, "attempts": attempts}
        house = {"backend": "house", "tier": len(attempts), "zone": "house", "model": "qwen", "sizeClass": "small"}
        house |= {"outcome": "ok", "prompt": draw.randrange(4000), "completion": draw.randrange(800), "price": "house"}
        avoided = Decimal(house["prompt"]) * 5 / 2_000_000
        return {**made, "attempts": [*attempts, house], "avoided": f"{avoided:f}", "avoidedCurrency": "USD"}

    def _cloud(self, backend: str, tier: int, outcome: str, *, cut: bool = False) -> dict[str, Any]:
        draw, (into, out, currency) = self.random, PRICES[backend]
        prompt, completion = draw.randrange(1, 9000), draw.randrange(20 if cut else 2000)
        cost = (prompt * into + completion * out) / 1_000_000
        told = {"backend": backend, "tier": tier, "zone": "eu" if backend == "paris" else "us", "model": backend + "-1"}
        told |= {
            "sizeClass": "large",
            "outcome": outcome,
            "prompt": prompt,
            "completion": completion,
            "price": "policy",
        }
        return {**told, "cost": f"{cost:f}", "currency": currency}


def egress_segment(incarnation: str, numbers: range, policy: str = "law/assistant") -> tuple[str, bytes]:
    """Returns a segment of what left the house: begin and end of each entry."""
    opened = {"kind": "opened", "version": 1, "incarnation": incarnation, "policy": policy, "router": "router-1"}
    lines = [opened]
    for n in numbers:
        where = {"consumer": "letters", "route": "files", "backend": "paris", "zone": "eu", "host": "api.mistral.ai"}
        lines.append({"kind": "begun", "n": n, "time": BEGIN + n, "request": f"r-{n}", **where, "bytesOut": 100 + n})
        lines.append(
            {"kind": "ended", "n": n, "time": BEGIN + n + 0.5, "bytesOut": 100 + n, "bytesIn": 9, "outcome": "ok"}
        )
    return f"egress-{incarnation}-000001.log", b"".join(line(orjson.dumps(one)) for one in lines)
