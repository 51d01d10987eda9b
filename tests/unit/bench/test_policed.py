"""The peer of the benchmark that has all rules on: they act, or its numbers would say nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.peers import UPSTREAM_MODEL, Place
from bench.peers.genset import Genset
from bench.peers.policed import Policed
from genset.contracts.access_keys import ACCESS_KEYS_FILE
from testbed.router import RunningRouter, free_port
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream


@pytest.mark.parametrize("records", [False, True])
async def test_rules_act_while_they_are_measured(tmp_path: Path, records: bool) -> None:
    peer, spool = Policed(records=records), tmp_path / "seen"
    async with ScriptedUpstream() as model:
        place = Place(tmp_path / "place", free_port(), free_port(), int(model.base_url.split(":")[2].split("/")[0]))
        place.folder.mkdir()
        peer.command(place)
        content = (place.folder / "config" / "router.json").read_text()
        keys = {ACCESS_KEYS_FILE: (place.folder / "credentials" / ACCESS_KEYS_FILE).read_bytes()}
        (tmp_path / "router").mkdir()
        async with RunningRouter(tmp_path / "router", content, keys, spool=spool) as router:
            assert (await router.ask(chat(model=UPSTREAM_MODEL))).status == 401
            answer = await router.ask(chat(model=UPSTREAM_MODEL), headers=dict(peer.headers(place)))
            assert answer.status == 200, answer.body
            assert answer.headers["x-ratelimit-limit-requests"] == "10000000"
            narrowed = {**peer.headers(place), "x-genset-data-zones": "us"}
            assert (await router.ask(chat(model=UPSTREAM_MODEL), headers=narrowed)).status == 403
    lines = [line for path in spool.iterdir() for line in path.read_bytes().rstrip(b"\0").splitlines()]
    kinds = [json.loads(line[line.index(b"{") :])["kind"] for line in lines]
    assert (kinds[:2] + kinds[-1:] if records else kinds) == (["opened", "begun", "ended"] if records else ["opened"])


def test_without_rules_it_is_the_same_router(tmp_path: Path) -> None:
    """Both are started alike, so that a difference is of the rules."""
    folders = [tmp_path / name for name in ("plain", "policed")]
    for folder in folders:
        folder.mkdir()
    plain, policed = (
        peer.command(Place(folder, 1, 2, 3)) for peer, folder in zip((Genset(), Policed()), folders, strict=True)
    )
    assert [str(word).replace("policed", "plain") for word in policed[: len(plain)]] == plain
