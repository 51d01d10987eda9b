"""What makes pods new: what the user asks for, at once; what a release changes by itself, when it is let."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import genset
from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import metadata, router, service, workload
from genset.desired.context import ModelDeploymentContext, Object, RoutePolicyContext, Settings
from genset.desired.kept import PodsRecord
from tests.support.owned import applied

HOUSE: dict[str, Any] = {"source": {"http": {"url": "https://host/m.gguf", "sha256": "a" * 64}}}
OLD = Settings(image="genset:1")
#: Each is a change that an administrator makes without a word of the user.
RELEASES = [
    {"image": "genset:2"},
    {"image_pull_policy": "Never"},
    {"engine_images": {"llama.cpp": {"cpu": "another"}}},
    {"image_pull_secrets": ("registry",)},
]


def resource(spec: dict[str, Any], *, roll: str = "", seen: int | None = None, weights: int = 0) -> ModelDeployment:
    """`seen`: the generation that the status tells of; `weights`: the bytes."""
    status: dict[str, Any] = {} if seen is None else {"observedGeneration": seen}
    if weights:
        status["weights"] = {"bytes": weights, "totalBytes": weights}
    return ModelDeployment.model_validate(
        {
            "apiVersion": "genset.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {
                "name": "house", "namespace": "n", "uid": "u", "generation": 3,
                "annotations": {names.ANNOTATION_ROLL: roll} if roll else {},
            },
            "spec": {**HOUSE, **spec},
            **({"status": status} if status else {}),
        }
    )  # fmt: skip


def running(made: ModelDeployment, context: ModelDeploymentContext) -> ModelDeploymentContext:
    """What the next reconcile finds."""
    deployment = workload.deployment(made, context)
    assert deployment is not None
    return replace(context, running=applied(deployment), bearer=service.endpoints(made, context), wanted=[])


def template(made: ModelDeployment, context: ModelDeploymentContext) -> Object:
    deployment = workload.deployment(made, context)
    assert deployment is not None
    found: Object = deployment["spec"]["template"]
    return found


def told(context: ModelDeploymentContext) -> PodsRecord:
    record = PodsRecord.of(context.bearer)
    assert record is not None
    return record


@pytest.mark.parametrize("changed", RELEASES)
def test_what_a_release_changes_by_itself_is_kept_back_until_it_is_let(changed: dict[str, Any]) -> None:
    house = resource({})
    before = running(house, ModelDeploymentContext(settings=OLD))
    after = replace(before, settings=replace(OLD, **changed))
    assert template(house, after) == template(house, before)
    pending = workload.pending(house, after)
    assert pending is not None and pending.release == genset.__version__ and pending.fields
    assert service.endpoints(house, after) == before.bearer, "nothing is written while it waits"

    let = running(house, replace(after, upgrade=True))
    assert template(house, let) == template(house, ModelDeploymentContext(settings=after.settings))
    assert workload.pending(house, replace(let, upgrade=False)) is None


def patch(**container: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"initContainers": [{"name": "weights", **container}]}}}


@pytest.mark.parametrize(
    ("before", "after", "concerned"),
    [
        ({}, {"context": {"parallel": 9}}, True),
        ({}, {"resources": {"cpu": "3"}}, True),
        ({}, {"llamaCpp": {"image": "mine"}}, True),
        ({}, {"source": {**HOUSE["source"], "maxSize": "5Gi"}}, True),
        ({}, patch(image="mine:1"), True),
        (patch(image="mine:1"), {}, True),
        ({}, {"model": "another"}, True),
        ({}, {"replicas": 3}, False),
        ({}, {"metadataTemplate": {"labels": {"a": "b"}}}, False),
        ({"cache": {"size": "1Gi"}}, {"cache": {"size": "2Gi"}}, False),
        ({}, {"rollout": {"onUpgrade": "Now"}}, False),
        ({}, {"rollout": {"strategy": "Replace"}}, False),
        ({}, {"rollout": {"drainSeconds": 7}}, True),
    ],
)
@pytest.mark.parametrize("changed", RELEASES)
def test_what_the_user_changes_of_pods_is_done_at_once_and_takes_the_release_along(
    before: dict[str, Any], after: dict[str, Any], concerned: bool, changed: dict[str, Any]
) -> None:
    old = running(resource(before), ModelDeploymentContext(settings=OLD))
    waiting = running(resource(before), replace(old, settings=replace(OLD, **changed)))
    fresh = template(resource(after), ModelDeploymentContext(settings=waiting.settings))
    for context in (waiting, replace(old, settings=waiting.settings)):  # later, and in the very moment of the upgrade
        kept = template(resource(before), context)
        assert template(resource(after), context) == (fresh if concerned else kept)
        assert (workload.pending(resource(after), context) is None) is concerned


BOUNDS = {"max_scratch_size": "7Gi", "forbidden_networks": ("10.0.0.0/8",)}


def test_bounds_that_no_resource_names_and_sizes_that_became_known_are_no_change() -> None:
    before = running(resource({}), ModelDeploymentContext(settings=OLD))
    known = resource({}, weights=5 << 30)
    after = replace(before, settings=replace(OLD, **BOUNDS))
    assert template(known, after) == template(resource({}), before)
    assert template(known, replace(after, upgrade=True)) == template(resource({}), before), (
        "nothing waits that may go now"
    )
    assert workload.pending(known, after) is None
    changed = template(resource({"context": {"parallel": 9}}, weights=5 << 30), after)
    requests = changed["spec"]["containers"][0]["resources"]["requests"]
    assert requests["ephemeral-storage"] == f"{5 * 1024 + 64}Mi", "the next roll-out asks for what is known"
    waiting = replace(after, settings=replace(after.settings, image="genset:2"))
    pending = workload.pending(known, waiting)
    assert pending is not None and pending.fields == ("spec.initContainers[weights].image",)


def test_nor_is_an_operator_that_sets_bounds_for_the_first_time() -> None:
    made = workload.deployment(resource({}), ModelDeploymentContext(settings=OLD))
    assert made is not None
    spec = made["spec"]["template"]["spec"]
    spec["volumes"] = [{**volume, "emptyDir": {}} for volume in spec["volumes"]]
    for container in (*spec["containers"], *spec["initContainers"]):
        for amounts in container["resources"].values():
            del amounts["ephemeral-storage"]
    args = spec["initContainers"][0]["args"]
    assert args.pop() == "--guarded"
    del args[-5:-1]
    old = ModelDeploymentContext(settings=OLD, running=applied(made))
    assert workload.pending(resource({}, seen=3), old) is None
    assert template(resource({}, seen=3), old) == made["spec"]["template"]


def test_another_value_of_the_annotation_makes_pods_new_and_none_is_no_news() -> None:
    house = running(resource({}, roll="1"), ModelDeploymentContext(settings=OLD))
    upgraded = replace(house, settings=replace(OLD, image="genset:2"))
    assert workload.pending(resource({}, roll="1"), upgraded) is not None
    assert workload.pending(resource({}, roll="2"), upgraded) is None
    assert template(resource({}, roll="2"), house) != template(resource({}, roll="1"), house)


def unrecorded(spec: dict[str, Any]) -> ModelDeploymentContext:
    """Pods that a release without records has made."""
    return replace(running(resource(spec), ModelDeploymentContext(settings=OLD)), bearer=None)


def test_pods_of_a_release_without_records_stay_if_it_had_seen_the_spec() -> None:
    upgraded = replace(unrecorded({}), settings=replace(OLD, image="genset:2"))
    seen, unseen = resource({}, seen=3), resource({}, seen=2)
    pending = workload.pending(seen, upgraded)
    assert pending is not None and pending.release == ""
    assert pending.fields == ("spec.initContainers[weights].image",)
    assert workload.pending(unseen, upgraded) is None and workload.pending(resource({}), upgraded) is None


def test_a_recorded_change_of_code_is_kept_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release writes another argument; then it is scaled, and then changed in earnest."""
    house = resource({})
    before = running(house, ModelDeploymentContext(settings=OLD))
    from genset.engines.llama_cpp import LlamaCppEngine

    plain = LlamaCppEngine.args
    monkeypatch.setattr(LlamaCppEngine, "args", lambda self, one, path: [*plain(self, one, path), "--new"])
    monkeypatch.setattr(genset, "__version__", "9.0.0")
    pending = workload.pending(house, before)
    assert pending is not None and pending.release != "9.0.0"
    after = running(house, before)
    assert told(after).by == "9.0.0" and told(after).release == pending.release
    assert workload.pending(resource({"replicas": 2}), after) is not None
    assert workload.pending(resource({"context": {"tokens": 512}}), after) is None


def test_a_template_that_somebody_has_edited_is_set_back_to_what_is_wanted_now() -> None:
    house = resource({})
    before = running(house, ModelDeploymentContext(settings=OLD))
    assert before.running is not None
    live, entry = before.running, before.running["metadata"]["managedFields"][0]
    spec = live["spec"]["template"]["spec"]
    spec["containers"][0]["image"] = "edited"
    key = 'k:{"name": "engine"}'
    del entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"][key]["f:image"]
    theirs = {"f:spec": {"f:template": {"f:spec": {"f:containers": {key: {"f:image": {}}}}}}}
    live["metadata"]["managedFields"].append({"manager": "kubectl-edit", "fieldsV1": theirs})
    upgraded = replace(before, settings=replace(OLD, image="genset:2"))
    assert template(house, upgraded) == template(house, ModelDeploymentContext(settings=upgraded.settings))


def test_what_others_have_added_is_not_taken_over() -> None:
    house = resource({})
    before = running(house, ModelDeploymentContext(settings=OLD))
    assert before.running is not None
    before.running["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now"
    before.running["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
    upgraded = replace(before, settings=replace(OLD, image="genset:2"))
    assert template(house, upgraded) == template(house, replace(before, running=None))


@pytest.mark.parametrize("changed", [RELEASES[0], RELEASES[1], RELEASES[3]])
def test_routers_are_kept_likewise(changed: dict[str, Any]) -> None:
    def policy(**spec: Any) -> RoutePolicy:
        return RoutePolicy.model_validate(
            {
                "metadata": {"name": "assistant", "namespace": "n", "uid": "u", "generation": 1},
                "spec": {
                    "backends": [{"name": "house", "deployment": {"name": "house"}}],
                    "routes": [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}]}],
                    "router": spec,
                },
            }
        )

    context = RoutePolicyContext(settings=OLD)
    made = router.deployment(policy(), context)
    assert made is not None
    assert names.ANNOTATION_PODS in router.service_account(policy(), context)["metadata"]["annotations"]
    after = replace(
        context,
        settings=replace(OLD, **changed),
        running=applied(made),
        bearer=router.service_account(policy(), context),
    )
    kept = router.deployment(policy(replicas=3, limits={"maxQueued": 7}), after)
    assert kept is not None and kept["spec"]["template"] == made["spec"]["template"]
    assert router.pending(policy(), after) is not None
    assert router.pending(policy(drainSeconds=3), after) is None
    assert router.pending(policy(), replace(after, upgrade=True)) is None


def test_what_was_asked_reads_the_same_in_every_release() -> None:
    """Hashes of a release before this one stand in clusters: another way to make them would roll every pod once."""
    house = resource({"context": {"tokens": 512}, "podTemplate": {"spec": {"nodeSelector": {"a": "b"}}}})
    assert told(running(house, ModelDeploymentContext(settings=OLD))).asked == "625c28c9beffa9c9"
    assert metadata.endpoints_service("house") == "house-endpoints", "bears the record"
