"""Children against the world: foreign objects, manual edits, fields and objects that are no longer wanted."""

from __future__ import annotations

from genset import desired, kinds
from tests.support.integration import samples
from tests.support.integration.world import World


async def test_a_foreign_object_of_the_same_name_is_never_touched(world: World) -> None:
    """Somebody's ConfigMap has the name that a router's configuration needs."""
    foreign = (await world.apply(samples.config_map(world.namespace, "assistant-router-config", note="mine")))[0]
    await world.start()
    await world.apply(
        samples.secret(world.namespace),
        samples.model_deployment(world.namespace, "house"),
        samples.route_policy(world.namespace, "assistant"),
    )
    accepted = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "False", "NameConflict")
    assert "ConfigMap assistant-router-config exists" in accepted["message"]
    assert await world.get(kinds.CONFIG_MAP, "assistant-router-config") == foreign
    assert await world.list(kinds.DEPLOYMENT) == [await world.get(kinds.DEPLOYMENT, "house")], "no router mounts it"

    await world.delete(kinds.CONFIG_MAP, "assistant-router-config")
    await world.patch(kinds.ROUTE_POLICY, "assistant", {"spec": {"router": {"replicas": 1}}})
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
    ours = await world.get(kinds.CONFIG_MAP, "assistant-router-config")
    assert ours is not None and ours["metadata"]["ownerReferences"][0]["kind"] == "RoutePolicy"


async def test_children_of_a_deleted_namesake_are_waited_for(world: World) -> None:
    """A resource that was deleted and made again waits for the garbage collector; it does not take over by name.

    That is nothing for a person to do: neither Stalled nor a Warning. This API server has no garbage collector.
    """
    operator = await world.start()
    first = (await world.apply(samples.model_deployment(world.namespace, "house")))[0]
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.stop(operator)
    await world.delete(kinds.MODEL_DEPLOYMENT, "house")
    second = (await world.apply(samples.model_deployment(world.namespace, "house")))[0]
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    await world.start()
    problem = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "PredecessorLeaving")
    assert "Deployment house of a deleted ModelDeployment house is still being removed" in problem["message"]
    waiting = await world.get(kinds.MODEL_DEPLOYMENT, "house")
    assert waiting is not None and "Stalled" not in {c["type"] for c in waiting["status"]["conditions"]}
    left = await world.get(kinds.DEPLOYMENT, "house")
    assert left is not None and left["metadata"]["ownerReferences"][0]["uid"] == first["metadata"]["uid"]
    for kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.DISRUPTION_BUDGET, kinds.NETWORK_POLICY):
        for child in await world.list(kind):
            await world.delete(kind, child["metadata"]["name"])
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")


async def test_a_policy_made_again_follows_even_a_secret_that_no_watch_shows(world: World) -> None:
    operator = await world.start()
    await world.apply(
        samples.secret(world.namespace),
        samples.model_deployment(world.namespace, "house"),
        samples.route_policy(world.namespace, "assistant"),
    )
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
    await world.stop(operator)
    await world.delete(kinds.ROUTE_POLICY, "assistant")
    second = (await world.apply(samples.route_policy(world.namespace, "assistant")))[0]
    for kind in desired.ROUTE_POLICY.listed:
        for child in await world.list(kind):
            if child["metadata"]["name"].startswith("assistant"):
                await world.delete(kind, child["metadata"]["name"])
    await world.start()
    problem = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "False", "PredecessorLeaving")
    assert "Secret assistant-router-credentials of a deleted RoutePolicy assistant" in problem["message"]
    assert await world.get(kinds.DEPLOYMENT, "assistant-router") is None, "a router that mounts its predecessor's keys"
    await world.delete(kinds.SECRET, "assistant-router-credentials")
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
    secret = await world.get(kinds.SECRET, "assistant-router-credentials")
    assert secret is not None and secret["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"]


async def test_a_manual_edit_is_repaired(world: World) -> None:
    await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.patch(
        kinds.DEPLOYMENT,
        "house",
        {"spec": {"replicas": 5, "template": {"spec": {"automountServiceAccountToken": True}}}},
    )

    async def repaired() -> bool:
        live = await world.get(kinds.DEPLOYMENT, "house")
        assert live is not None
        spec = live["spec"]
        return spec["replicas"] == 1 and spec["template"]["spec"]["automountServiceAccountToken"] is False

    await world.until("the edit is undone", repaired)


async def test_a_deleted_child_and_a_lost_label_come_back(world: World) -> None:
    operator = await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.delete(kinds.SERVICE, "house-endpoints")

    async def back() -> bool:
        return await world.get(kinds.SERVICE, "house-endpoints") is not None

    await world.until("the Service is back", back)
    await world.quiet(operator)
    await world.patch(kinds.SERVICE, "house", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}})

    async def labelled() -> bool:
        live = await world.get(kinds.SERVICE, "house")
        return live is not None and live["metadata"]["labels"].get("app.kubernetes.io/managed-by") == "genset"

    await world.until("the label is back", labelled)


async def test_fields_and_objects_that_are_no_longer_wanted_go(world: World) -> None:
    await world.start()
    spec = {
        "cache": {"size": "1Gi"},
        "podTemplate": {"metadata": {"annotations": {"team": "a"}}, "spec": {"nodeSelector": {"disk": "fast"}}},
    }
    await world.apply(samples.model_deployment(world.namespace, "house", **spec))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    template = (await world.get(kinds.DEPLOYMENT, "house") or {})["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"disk": "fast"} and template["metadata"]["annotations"]["team"] == "a"
    assert await world.list(kinds.PVC)

    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"podTemplate": None, "cache": None}})

    async def gone() -> bool:
        template = (await world.get(kinds.DEPLOYMENT, "house") or {})["spec"]["template"]
        claims = [item for item in await world.list(kinds.PVC) if "deletionTimestamp" not in item["metadata"]]
        return (
            "nodeSelector" not in template["spec"] and "team" not in template["metadata"]["annotations"] and not claims
        )

    await world.until("node selector, annotation and claim are gone", gone)


async def test_a_volume_that_is_named_as_one_that_is_there_stays(world: World) -> None:
    """Whoever goes on from cache.size to the volume itself, or reads it where it lies, has not asked for it to be deleted."""
    operator = await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house", cache={"size": "1Gi"}))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    lying = {"huggingFace": None, "pvc": {"claimName": "house-weights", "path": "m.gguf"}}
    for change in ({"cache": {"size": None, "claimName": "house-weights"}}, {"cache": None, "source": lying}):
        await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": change})

        async def rolled() -> bool:
            live = await world.get(kinds.MODEL_DEPLOYMENT, "house")
            assert live is not None
            return live["status"]["observedGeneration"] == live["metadata"]["generation"]

        await world.until("the change is seen", rolled)
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
        await world.quiet(operator)
        claim = await world.get(kinds.PVC, "house-weights")
        assert claim is not None and "deletionTimestamp" not in claim["metadata"], change
    await world.patch(
        kinds.MODEL_DEPLOYMENT, "house", {"spec": {"source": {**lying, "pvc": {"claimName": "w", "path": "m"}}}}
    )

    async def gone() -> bool:
        claim = await world.get(kinds.PVC, "house-weights")
        return claim is None or "deletionTimestamp" in claim["metadata"]

    await world.until("it goes when nothing names it any more", gone)


async def test_what_others_add_to_children_stays(world: World) -> None:
    """A field that genset does not want belongs to whoever set it, and causes no write."""
    operator = await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.quiet(operator)
    since = world.plane.audit_position()
    await world.patch(kinds.DEPLOYMENT, "house", {"metadata": {"annotations": {"audited-by": "someone"}}})
    await world.quiet(operator)
    live = await world.get(kinds.DEPLOYMENT, "house")
    assert live is not None and live["metadata"]["annotations"]["audited-by"] == "someone"
    assert world.writes(since) == []


async def test_what_the_api_server_refuses_is_told(world: World) -> None:
    """podTemplate is checked only when the Deployment is applied."""
    await world.start()
    bad = {"podTemplate": {"spec": {"nodeSelector": {"disk": "not a label value!"}}}}
    await world.apply(samples.model_deployment(world.namespace, "house", **bad))
    accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "ApplyRejected")
    assert "nodeSelector" in accepted["message"]
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"podTemplate": None}})
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
