"""The benchmark of continuity sees what is lost and what lies, and its wire does what networks do."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Sequence

import pytest

from bench.continuity.asking import Answer, Verdict, ask
from bench.continuity.faults import ADDRESSES, FAULTS, NEAR, Side
from bench.continuity.peers import Cell, Spot
from bench.continuity.peers.envoy import bootstrap
from bench.continuity.peers.genset import config
from bench.continuity.run import Outcome, Plan
from bench.continuity.server import Place, Server
from bench.continuity.table import results, table, totals
from bench.continuity.wire import Wire
from genset.contracts.route_config import FailoverConfig
from testbed.router_config import made

_LOST = {"rate-limited", "suspended-key", "model-gone", "cut-rst", "cut-fin"}


async def answered(fault: str, *, stream: bool) -> Answer:
    """Asks a server straight, with nobody between who could mend anything."""
    place = Place(Side.CLOUD)
    server = await asyncio.get_running_loop().create_server(lambda: Server(place), "127.0.0.1", 0)
    place.begin(fault)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await ask(port, "/v1/chat/completions", "m", stream=stream, patience=3.0)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["", "cut-clean", "error-inside", *sorted(_LOST)])
def test_a_client_tells_whole_answers_from_lost_ones_and_from_lies(fault: str, stream: bool) -> None:
    answer = asyncio.run(answered(fault, stream=stream))
    wanted = Verdict.WHOLE if not fault else Verdict.LOST if fault in _LOST else Verdict.LIED
    if fault == "error-inside" and stream:
        wanted = Verdict.LOST  # SDKs raise an error event
    assert answer.verdict is wanted, answer
    assert bool(answer.heard) == (
        fault in ("", "cut-clean") or (stream and fault.startswith("cut")) or wanted is Verdict.LIED
    )


def test_a_silence_is_measured_from_the_fault() -> None:
    answer = Answer(1.0, Verdict.WHOLE, heard=[1.1, 1.2, 4.2, 4.3])
    assert answer.waited(1.25) == pytest.approx(2.95)
    assert answer.waited(4.25) == pytest.approx(0.05)


def packet(flags: int, *, outward: bool, port: int = 40_000) -> tuple[bytes, bytes, bytes]:
    """Returns a TCP packet between the near side and the cloud, and both addresses."""
    near, far = socket.inet_aton(NEAR), socket.inet_aton(ADDRESSES[Side.CLOUD])
    ports = (port, 443) if outward else (443, port)
    head = bytes([0x45]) + bytes(8) + bytes([6]) + bytes(2) + (near + far if outward else far + near)
    return head + struct.pack("!HH8xBB", *ports, 0x50, flags), near, far


def passes(wire: Wire, flags: int, *, outward: bool) -> bool:
    data, near, far = packet(flags, outward=outward)
    return wire._passes(data, far, near, outward=outward)


def test_a_firewall_that_restarts_drops_what_it_has_not_seen_begin() -> None:
    wire = Wire(-1, -1)
    syn, ack = 0x02, 0x10
    assert not passes(wire, ack, outward=True)
    assert (
        passes(wire, syn, outward=True) and passes(wire, syn | ack, outward=False) and passes(wire, ack, outward=True)
    )
    wire.forget()
    assert not passes(wire, ack, outward=True) and not passes(wire, ack, outward=False)
    assert passes(wire, syn, outward=True) and passes(wire, ack, outward=False)
    wire.of(ADDRESSES[Side.CLOUD]).black = True
    assert not passes(wire, syn, outward=True) and not passes(wire, ack, outward=False)
    wire.weather.clear()
    wire.of(ADDRESSES[Side.HOUSE]).black = True
    assert passes(wire, ack, outward=True), "the weather of another address"


def outcome(peer: str, detection: float | None, verdicts: Sequence[Verdict]) -> Outcome:
    cell = Cell(f"{peer}-1", Side.CLOUD, FAULTS["refused"], True)
    return Outcome(peer, cell, detection, [0.5], [Answer(0.0, verdict) for verdict in verdicts])


def test_the_table_counts_requests_and_tells_what_was_never_noticed() -> None:
    found = results(
        [
            outcome("genset", 0.25, [Verdict.WHOLE, Verdict.WHOLE]),
            outcome("other", 0.25, [Verdict.LOST, Verdict.WHOLE]),
            outcome("other", None, [Verdict.LIED, Verdict.LIED]),
        ]
    )
    assert [(one.asked, one.lost, one.lied) for one in found] == [(2, 0, 0), (4, 1, 2)]
    assert found[1].detection == (0.25, math.inf)
    row = table(found, Side.CLOUD).splitlines()[-1]
    assert row == (
        "| refused | stream | 0.25 / 0.25 | 0.50 / 0.50 | 0 | 0 | 0.25 / > 20 | 0.50 / 0.50 | **1** of 4 | **2** of 4 |"
    )
    assert "| other | 4 | 1 (25.0%) | 2 (50.0%) |" in totals(found)


def test_peers_get_the_same_places_in_the_same_order() -> None:
    plan = Plan(list(FAULTS.values()), list(Side), [True, False], runs=1, at_once=1, patience=1.0)
    assert len(plan.blocks) == 2 * len(FAULTS) and plan.waves() == [range(1)]
    for fault, first in plan.blocks:
        cells = plan.cells("p", fault, first)
        document = config(cells, made(FailoverConfig))
        order = [document.routes[0].tiers[tier][0].backend.rpartition("-")[2] for tier in (0, 1)]
        assert order == [first.value, first.other.value]
        cluster = bootstrap(Spot(None, 1, 2, "", cells))["static_resources"]["clusters"][0]  # type: ignore[arg-type]
        endpoints = [group["lb_endpoints"][0]["endpoint"] for group in cluster["load_assignment"]["endpoints"]]
        assert [one["hostname"].split(".")[0] for one in endpoints] == order
        ports = [one["address"]["socket_address"]["port_value"] for one in endpoints]
        assert ports == [8000 if side == "house" and not fault.over_tls else 443 for side in order]
