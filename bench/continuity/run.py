"""Takes the first choice away from cells in which requests are asked, wave by wave, and notes what became of each request.

A wave is one outage that cells of all peers meet together. Each cell has asked in peace, and has one answer on its way, when it
begins; then it asks again and again, until three requests were as quick as before, or it has asked all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from bench.continuity.asking import Answer, Verdict, ask
from bench.continuity.far import CA_FILE
from bench.continuity.faults import Fault, Side
from bench.continuity.near import FarSideOfWire
from bench.continuity.peers import Cell, ContinuityPeer, Spot
from bench.processes import Cores, running
from testbed.cluster.ports import free_ports

WARM: Final = 16  # short requests of each cell beforehand: a router in service knows how long its backends take
MOMENTS: Final = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 14.0, 17.0, 20.0)  # s after the fault
QUICK_MOMENTS: Final = MOMENTS[:4]
QUICK_SECONDS: Final = 0.5  # a request that takes this much longer than in peace has lost time to the fault
SETTLED: Final = 3
PEACE_SECONDS: Final = 180.0  # in which peers start, and take back what was down
_SPREAD_SECONDS: Final = 0.25
_ON_ITS_WAY_SECONDS: Final = 0.6


@dataclass(frozen=True)
class Plan:
    """What is tried. `patience`: seconds that a client waits for an answer."""

    faults: Sequence[Fault]
    firsts: Sequence[Side]
    modes: Sequence[bool]  # whether answers are streams
    runs: int
    at_once: int
    patience: float
    moments: Sequence[float] = MOMENTS
    warm: int = WARM

    @property
    def blocks(self) -> list[tuple[Fault, Side]]:
        """A block is a fault in one direction."""
        return [(fault, first) for fault in self.faults for first in self.firsts]

    def waves(self) -> list[range]:
        return [range(begin, min(begin + self.at_once, self.runs)) for begin in range(0, self.runs, self.at_once)]

    def cell(self, peer: str, fault: Fault, first: Side, stream: bool, number: int) -> Cell:
        name = f"{peer}-{first.value[0]}-{fault.name}-{'s' if stream else 'w'}{number}"
        return Cell(name, first, fault, stream)

    def cells(self, peer: str, fault: Fault, first: Side, numbers: range | None = None) -> list[Cell]:
        chosen = range(self.runs) if numbers is None else numbers
        return [self.cell(peer, fault, first, stream, number) for number in chosen for stream in self.modes]


@dataclass(frozen=True)
class Outcome:
    """What a cell has met. `added`: seconds that each answer took longer than in peace; `detection`: seconds from the fault to
    the first request from which on nothing lost time to it, None if there was none."""

    peer: str
    cell: Cell
    detection: float | None
    added: Sequence[float]
    answers: Sequence[Answer]

    def count(self, verdict: Verdict) -> int:
        return sum(answer.verdict is verdict for answer in self.answers)


@dataclass(frozen=True)
class Running:
    """A peer that runs, at a port of 127.0.0.1."""

    peer: ContinuityPeer
    port: int


class Benchmark:
    """A benchmark runs all blocks of a plan; `tell` hears of each wave."""

    def __init__(self, plan: Plan, far: FarSideOfWire, folder: Path, cores: Cores, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._far = far
        self._folder = folder
        self._cores = cores
        self._tell = tell
        self._waves_done = 0
        self._began = time.monotonic()

    async def measure(self, chosen: Sequence[ContinuityPeer], found: list[Outcome]) -> None:
        """Measures all peers together, and adds what it has found, wave by wave. Raises ClickException if one does not start."""
        plan = self._plan
        with ExitStack() as lasting:
            last = [
                lasting.enter_context(self._started(peer, [c for b in plan.blocks for c in plan.cells(peer.name, *b)]))
                for peer in chosen
                if peer.lasts
            ]
            for fault, first in plan.blocks:
                with ExitStack() as block:
                    fresh = [
                        block.enter_context(self._started(peer, plan.cells(peer.name, fault, first)))
                        for peer in chosen
                        if not peer.lasts
                    ]
                    for numbers in plan.waves():
                        self._announce(fault, first, numbers)
                        wave = Wave(plan, self._far, fault, first)
                        found += await wave.run(
                            sorted([*fresh, *last], key=lambda one: chosen.index(one.peer)), numbers
                        )
                        self._waves_done += 1

    @contextlib.contextmanager
    def _started(self, peer: ContinuityPeer, cells: Sequence[Cell]) -> Iterator[Running]:
        port, spare = free_ports(2)
        folder = self._folder / f"{peer.name}-{port}"
        folder.mkdir()
        spot = Spot(folder, port, spare, (self._folder / CA_FILE).read_text(), cells)
        log = self._folder / f"{peer.name}-{port}.log"
        with running(peer.command(spot), self._cores.peer, log, peer.environment(spot), self._cores.nice):
            yield Running(peer, port)

    def _announce(self, fault: Fault, first: Side, numbers: range) -> None:
        total = len(self._plan.blocks) * len(self._plan.waves())
        spent = time.monotonic() - self._began
        left = (
            f", {spent / self._waves_done * (total - self._waves_done) / 60:.0f} min left" if self._waves_done else ""
        )
        runs = f"runs {numbers.start + 1} to {numbers.stop} of {self._plan.runs}"
        self._tell(f"[{self._waves_done + 1}/{total}] {fault.name}, {first} first, {runs}{left}")


class Wave:
    """A wave is one outage of one side, which cells of all peers meet."""

    def __init__(self, plan: Plan, far: FarSideOfWire, fault: Fault, first: Side) -> None:
        self._plan = plan
        self._far = far
        self._fault = fault
        self._first = first
        self._begun = asyncio.Event()
        self._at = 0.0

    async def run(self, peers: Sequence[Running], numbers: range) -> list[Outcome]:
        pairs = [
            (one, cell) for one in peers for cell in self._plan.cells(one.peer.name, self._fault, self._first, numbers)
        ]
        usual = await self._peace(pairs)
        cells = [asyncio.create_task(self._cell(one, cell, usual[cell.name])) for one, cell in pairs]
        await asyncio.sleep(_SPREAD_SECONDS + _ON_ITS_WAY_SECONDS)
        self._at = time.monotonic()
        await self._far.begin(self._fault, self._first)
        self._begun.set()
        try:
            return list(await asyncio.gather(*cells))
        finally:
            await self._far.end(self._fault, self._first)

    async def _peace(self, pairs: Sequence[tuple[Running, Cell]]) -> dict[str, float]:
        """Returns how long each cell's answers take in peace, once its first choice answers. Raises ClickException."""
        usual: dict[str, float] = {}
        deadline = time.monotonic() + PEACE_SECONDS
        await self._far.asked()
        while missing := [(one, cell) for one, cell in pairs if cell.name not in usual]:
            if time.monotonic() > deadline:
                names = ", ".join(cell.name for _, cell in missing)
                raise click.ClickException(f"{names}: no answer of the first choice in peace")
            answers = await asyncio.gather(*(self._ask(one, cell) for one, cell in missing))
            asked = (await self._far.asked())[self._first.value]
            for (_, cell), answer in zip(missing, answers, strict=True):
                if answer.verdict is Verdict.WHOLE and cell.name in asked:
                    usual[cell.name] = answer.waited(answer.asked)
            if len(usual) < len(pairs):
                await asyncio.sleep(0.5)
        await asyncio.gather(*(self._ask(one, cell, words=1) for one, cell in pairs for _ in range(self._plan.warm)))
        return usual

    async def _cell(self, one: Running, cell: Cell, usual: float) -> Outcome:
        await asyncio.sleep(random.random() * _SPREAD_SECONDS)
        asked = [asyncio.create_task(self._ask(one, cell))]
        await self._begun.wait()
        phase = random.random() * _SPREAD_SECONDS
        for moment in self._plan.moments:
            await asyncio.sleep(max(0.0, self._at + phase + moment - time.monotonic()))
            if self._settled(cell, usual, asked):
                break
            asked.append(asyncio.create_task(self._ask(one, cell)))
        answers = await asyncio.gather(*asked)
        slow = [index for index, answer in enumerate(answers) if not self._is_quick(cell, usual, answer)]
        if not slow:
            detection: float | None = 0.0
        elif slow[-1] + 1 < len(answers):
            detection = max(0.0, answers[slow[-1] + 1].asked - self._at)
        else:
            detection = None
        added = [self._added(cell, usual, one) for one in answers if one.verdict is Verdict.WHOLE]
        return Outcome(one.peer.name, cell, detection, added, answers)

    def _settled(self, cell: Cell, usual: float, asked: Sequence[asyncio.Task[Answer]]) -> bool:
        last = asked[-SETTLED:]
        done = all(task.done() for task in asked) and len(asked) > SETTLED
        return done and all(self._is_quick(cell, usual, task.result()) for task in last)

    def _is_quick(self, cell: Cell, usual: float, answer: Answer) -> bool:
        return answer.verdict is Verdict.WHOLE and self._added(cell, usual, answer) < QUICK_SECONDS

    def _added(self, cell: Cell, usual: float, answer: Answer) -> float:
        """Returns by how many seconds an answer, or its longest silence, was longer than in peace."""
        return max(0.0, answer.waited(self._at if cell.stream else answer.asked) - usual)

    async def _ask(self, one: Running, cell: Cell, words: int | None = None) -> Answer:
        path, patience = one.peer.path(cell), self._plan.patience
        return await ask(one.port, path, cell.name, stream=cell.stream, patience=patience, words=words)
