"""What a running server has against an adapter stands in Warnings, while the model serves on."""

from __future__ import annotations

from typing import Any

from genset import kinds, names
from genset.contracts import adapter_list
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod
from tests.support.integration.world import World

MD = kinds.MODEL_DEPLOYMENT


def on_disk(path: str) -> dict[str, Any]:
    return {"pvc": {"claimName": "models", "path": path}}


async def test_an_adapter_that_the_server_refuses_is_told_until_it_joins(world: World) -> None:
    operator = await world.start()
    resource = samples.model_deployment(world.namespace, "house")
    spec = {key: value for key, value in resource["spec"].items() if key not in ("source", "llamaCpp", "cache")}
    spec |= {
        "engine": "vllm",
        "source": on_disk("base"),
        "adapters": [{"name": name, "source": on_disk(name)} for name in ("good", "wide")],
    }
    await world.apply({**resource, "spec": spec})
    await world.until_condition(MD, "house", "Accepted", "True")
    listed = await world.until("the list", lambda: world.get(kinds.CONFIG_MAP, "house.adapters"))
    mark = adapter_list.mark(adapter_list.read(listed["data"][adapter_list.FILE]))
    words = "the server answered 400: LoRA rank 64 is greater than max_lora_rank 16."
    pod = FakePod("127.77.9.11", adapters={"mark": "another", "refused": {}, "waiting": 0})
    async with pod.listening(names.ENGINE_PORT, names.WEIGHTS_PORT):
        await FakeKubelet(world.api, world.namespace, "house", pod.address).run(1)
        await world.until_condition(MD, "house", "Ready", "True")
        pod.adapters = {"mark": mark, "refused": {"wide": words}, "waiting": 0}  # no event tells of it: it is asked
        condition = await world.until_condition(MD, "house", "Warnings", "True", "AdapterRefused")
        assert f"wide: {words}" in condition["message"] and "good" not in condition["message"]
        await world.until_condition(MD, "house", "Ready", "True")
        await world.quiet(operator)
        position = world.plane.audit_position()
        await world.patch(MD, "house", {"metadata": {"annotations": {"look": "again"}}})
        await world.quiet(operator)
        assert [line for line in world.writes(position) if "/status" in line] == [], "a status that says the same"

        pod.adapters = {"mark": mark, "refused": {}, "waiting": 0}
        await world.patch(MD, "house", {"metadata": {"annotations": {"look": "once more"}}})

        async def no_warning() -> bool:
            live = await world.get(MD, "house")
            found = live["status"]["conditions"] if live is not None else [{"type": "Warnings"}]
            return all(condition["type"] != "Warnings" for condition in found)

        await world.until("the warning goes", no_warning)
