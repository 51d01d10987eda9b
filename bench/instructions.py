"""`python -m bench instructions`: how many instructions the router takes for one request, and in which functions.

Clocks of shared machines differ by more than a change of the hot path is worth; callgrind counts the instructions of the
router's own process (user space, without the kernel) to within a tenth of a percent, whatever else the machine does. What
is counted is a router under load from 32 connections, as `python -m bench router` runs it, from the image's Python.
`--misses` counts besides how many lines of code had to be fetched into a first-level cache of 32 KB that callgrind plays:
what a program of many megabytes costs beyond its instructions.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench.install import load_generator
from bench.measure import Load, Plan, wait_until_answers
from bench.network import isolate
from bench.peers import Place
from bench.peers.before import Before
from bench.peers.booked import Booked
from bench.peers.genset import Genset
from bench.peers.policed import Policed
from bench.processes import Cores, running
from bench.router import upstream
from bench.scenarios import SCENARIOS, SHORT, UNTOUCHED, WHOLE
from testbed.cluster.ports import free_ports

#: Where Debian has the programs of valgrind; the launcher starts the tool from the folder that VALGRIND_LIB names.
_LIBRARY = Path("/usr/libexec/valgrind")
_PARTS = ("callgrind-amd64-linux", "callgrind-arm64-linux", "vgpreload_core-amd64-linux.so", "default.supp")
_PYTHON = "/opt/genset/bin/python3"
_PIPE = "vgdb"
#: The sizes of caches that processors of servers have; callgrind would play those of the machine that it runs on.
_CACHE = ("--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=33554432,16,64")
_MISSED = "I1mr"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Count:
    """What callgrind counted in one window: instructions of each function alone, and of each with what it called.

    `misses`: lines of code that were not in the first-level cache; 0 where none was played.
    """

    requests: int
    alone: Counter[str]
    inclusive: Counter[str]
    misses: int = 0

    @property
    def each(self) -> float:
        """Instructions of one request."""
        return self.alone.total() / max(self.requests, 1)

    def table(self, most: int) -> str:
        """The functions that take most, in instructions of one request: with what they call, and alone."""
        share = max(self.requests, 1)
        rows = (
            f"{with_callees / share:10,.0f} {self.alone[name] / share:10,.0f}  {name}"
            for name, with_callees in self.inclusive.most_common(most)
        )
        return "\n".join(rows)


@click.command("instructions")
@click.option("--at", "revision", default=None, help="A commit instead of the tree.")
@click.option(
    "--rules",
    type=click.Choice(["off", "on", "recorded", "booked"]),
    default="off",
    show_default=True,
    help="Access, zones and egress record: on, and with a server outside that answers. booked: a price and usage records.",
)
@click.option("--only", default=f"{WHOLE},{SHORT},{UNTOUCHED}", show_default=True, help="Scenarios, by commas.")
@click.option("--seconds", type=click.FloatRange(1, 600), default=8.0, show_default=True, help="Of load per scenario.")
@click.option("--misses", is_flag=True, help="Lines of code that were not in a first-level cache of 32 KB, too.")
@click.option("--functions", type=click.IntRange(0, 1000), default=0, help="How many functions to list of each.")
def command(revision: str | None, rules: str, only: str, seconds: float, misses: bool, functions: int) -> None:
    """Instructions of one request in the router's own process, by callgrind (needs valgrind and root)."""
    if not _LIBRARY.is_dir() or shutil.which("vgdb") is None:
        raise click.ClickException("valgrind is missing; install it (Debian: apt-get install valgrind)")
    if unknown := [name for name in only.split(",") if name not in SCENARIOS]:
        raise click.BadParameter(f"unknown scenario {', '.join(unknown)}; known: {', '.join(SCENARIOS)}")
    if revision and rules != "off":
        raise click.BadParameter("another commit has rules of its own; count it with --rules off")
    ours = {"off": Genset, "booked": Booked}.get(rules, lambda: Policed(records=rules == "recorded"))()
    peer = Before(revision) if revision else ours
    peer.install()
    rootfs = peer.python().rootfs
    if rootfs is None:
        raise click.ClickException("the project's image cannot be built here; instructions are counted in its Python")
    _put_valgrind(rootfs)
    load_generator()
    isolate()
    for name, count in _counts(peer, only.split(","), seconds, _CACHE if misses else ()).items():
        missed = f", {count.misses / max(count.requests, 1):,.0f} lines of code fetched" if misses else ""
        click.echo(
            f"{peer.version()} {name}: {count.each:,.0f} instructions per request{missed} ({count.requests} requests)"
        )
        if functions:
            click.echo(count.table(functions))


def _counts(peer: Genset, names: Sequence[str], seconds: float, options: Sequence[str]) -> dict[str, Count]:
    """Each scenario's count, with one process for all of them; the load before a window warms it."""
    cores = Cores.choose(None, None)
    found: dict[str, Count] = {}
    with tempfile.TemporaryDirectory(prefix="genset-bench-") as folder, upstream(
        load_generator(), cores, Path(folder)
    ) as (upstream_port, upstream_pid):  # fmt: skip
        port, spare = free_ports(2)
        place = Place(Path(folder) / "router", port, spare, upstream_port)
        place.folder.mkdir()
        output, headers = place.folder / "output.log", peer.headers(place)
        load = Load(load_generator(), cores, Plan(seconds=seconds, patience=60.0), upstream_port, upstream_pid)
        with running(_under_callgrind(peer, place, options), cores.peer, output, peer.environment()) as process:
            wait_until_answers(peer.name, port, output, lambda: process.poll() is None, headers, within=900)
            for name in names:
                load.run(SCENARIOS[name], port, process.pid, headers)
                before = _answered(place)
                _dump(place, process.pid)
                load.run(SCENARIOS[name], port, process.pid, headers)
                requests = _answered(place) - before
                found[name] = count(_dump(place, process.pid).read_text().splitlines(), requests)
    return found


def _under_callgrind(peer: Genset, place: Place, options: Sequence[str]) -> list[str]:
    """The router's command with its Python run by callgrind; pipes and dumps lie in the place's folder."""
    command = peer.command(place)
    seen = peer.python().place(place.folder)
    tool = ["--tool=callgrind", f"--callgrind-out-file={seen}/callgrind", f"--vgdb-prefix={seen}/{_PIPE}"]
    at = command.index(_PYTHON)
    return [*command[:at], "/usr/bin/valgrind", "-q", *tool, *options, *command[at:]]


def _put_valgrind(rootfs: Path) -> None:
    """Copies valgrind into the unpacked image, which only benchmarks use. Its tools are static programs."""
    library = rootfs / _LIBRARY.relative_to("/")
    library.mkdir(parents=True, exist_ok=True)
    for name in _PARTS:
        if (_LIBRARY / name).exists():
            shutil.copy2(_LIBRARY / name, library / name)
    launcher = shutil.which("valgrind.bin") or shutil.which("valgrind")
    assert launcher is not None
    shutil.copy2(launcher, rootfs / "usr/bin/valgrind")


def _answered(place: Place) -> int:
    """Requests that the access log tells of; it is written behind them."""
    seen, last = -1, time.monotonic() + 30
    while time.monotonic() < last:
        now = (place.folder / "access.log").read_bytes().count(b"\n")
        if now == seen:
            break
        seen = now
        time.sleep(0.5)
    return seen


def _dump(place: Place, pid: int) -> Path:
    """The file that callgrind writes of everything since the last dump."""
    known = set(place.folder.glob("callgrind.*"))
    subprocess.run(
        ["vgdb", f"--vgdb-prefix={place.folder / _PIPE}", f"--pid={pid}", "dump"], check=True, capture_output=True
    )
    (new,) = set(place.folder.glob("callgrind.*")) - known
    return new


def count(lines: Iterable[str], requests: int) -> Count:
    """Reads callgrind's format (valgrind manual, "Callgrind Format Specification").

    Names are compressed, `(7) name` the first time and `(7)` afterwards; the line behind `calls=` is the callee's cost.
    """
    names: dict[str, str] = {}
    alone: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    function, of_callee, missed, misses = "", False, 0, 0
    for line in lines:
        if line.startswith("events:"):
            events = line.split()[1:]
            missed = events.index(_MISSED) if _MISSED in events else 0
        elif line.startswith(("fn=", "cfn=")):
            kind, _, said = line.partition("=")
            key, _, name = said.partition(" ")
            if name:
                names[key] = name
            if kind == "fn":
                function = names[key]
        elif line.startswith("calls="):
            of_callee = True
        elif re.match(r"[0-9+*-]", line) and (cost := line.split()[1:]):
            inclusive[function] += int(cost[0])
            if not of_callee:
                alone[function] += int(cost[0])
                misses += int(cost[missed]) if missed and len(cost) > missed else 0
            of_callee = False
    return Count(requests, alone, inclusive, misses)
