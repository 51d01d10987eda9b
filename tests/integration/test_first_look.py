"""`genset status` and `genset doctor` on a real API server, with the rights of an administrator and of somebody with none."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from genset import kinds
from genset.cli import doctor, status, top
from testbed.cluster import tools
from tests.support.integration.samples import model_deployment
from tests.support.integration.world import World

MDEP = kinds.MODEL_DEPLOYMENT


@pytest.fixture
def as_administrator(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(world.plane.kubeconfig))
    monkeypatch.setenv("PATH", f"{tools.path('kubectl').parent}:/usr/bin:/bin")


async def asked(command: click.Command, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(CliRunner().invoke, command, arguments)
    return done.exit_code, str(done.output)


async def test_a_model_that_does_not_serve_yet_is_on_the_screen(world: World, as_administrator: None) -> None:
    await world.start()
    await world.apply(model_deployment(world.namespace, "small"))
    await world.until_condition(MDEP, "small", "Ready", "False")
    code, shown = await asked(status.command, "-n", world.namespace)
    assert code == 1 and f"{world.namespace}  small" in shown.replace("   ", "  "), shown
    code, text = await asked(status.command, "-n", world.namespace, "-o", "json")
    told: dict[str, Any] = json.loads(text)
    assert code == 1 and [one["name"] for one in told["models"]] == ["small"] and told["serves"] is False
    code, shown = await asked(status.command, "-n", "nobody-has-this")
    assert code == 0 and "genset plan" in shown


@pytest.mark.parametrize("where", [(), ("-n", "nobody-has-this")], ids=["everywhere", "one namespace"])
async def test_where_no_router_runs_nothing_is_shown(
    world: World, as_administrator: None, where: tuple[str, ...]
) -> None:
    code, shown = await asked(top.command, "--once", "--interval", "0.5", *where)
    assert code == 0 and "No router runs" in shown, shown


async def test_definitions_that_were_applied_are_those_of_this_command(world: World, as_administrator: None) -> None:
    code, text = await asked(doctor.command, "-o", "json")
    found = {one["about"]: one for one in json.loads(text)["findings"]}
    assert found["definitions"]["verdict"] == "ok", found
    assert found["cluster"]["verdict"] == "ok" and found["cluster"]["seen"].startswith("Kubernetes v1.")
    assert code == 1 and found["operator"]["seen"] == "none is installed", (
        "the operator of these tests is no Deployment"
    )


async def test_whoever_may_read_nothing_is_told_so(world: World, as_administrator: None, monkeypatch: Any) -> None:
    for verb in (status.command, doctor.command):
        monkeypatch.setattr("genset.kubectl._program", nobody)
        _, shown = await asked(verb)
        assert "cannot list resource" in shown, shown
    assert "-n NAMESPACE" in (await asked(status.command))[1]


def nobody(context: str | None, missing: str) -> list[str]:
    return ["kubectl", "--as", "nobody"]
