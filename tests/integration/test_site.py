"""What platform teams set up, on a real API server: the site's proxy, CA and token, kept volumes, namespaces of OpenShift."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genset import kinds
from genset.contracts.ledger import namespace_of
from genset.desired import CHILD_KINDS
from genset.desired.site import SiteProxies
from genset.kube.client import ApiError
from genset.kube.site import SiteOptions
from genset.runtime import Operator
from tests.support.integration.openshift import create, make_project, operator_pod, pod, restricted_v2
from tests.support.integration.samples import model_deployment, route_policy, secret
from tests.support.integration.world import SETTINGS, World

Object = dict[str, Any]
MD, RP = kinds.MODEL_DEPLOYMENT, kinds.ROUTE_POLICY
PEM = (Path(__file__).parents[1] / "data" / "ca.crt").read_text()


def decoded(found: Object | None) -> dict[str, str]:
    data = (found or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


async def start(world: World, site: SiteOptions, **settings: Any) -> Operator:
    given = replace(SETTINGS, operator_namespace=world.namespace, **settings)
    return await world.start(site=site, settings=given)


# A ledger


async def test_the_ledger_s_key_is_made_once_and_routers_get_tokens_of_it(world: World) -> None:
    options = SiteOptions(ledger_url="http://genset-ledger.genset-system.svc:8090", ledger_secret="genset-ledger-key")
    await world.start(site=options, settings=SETTINGS)
    await world.apply(model_deployment(world.namespace, "house"), secret(world.namespace))
    await world.apply(route_policy(world.namespace, "assistant"))

    async def token() -> str:
        return decoded(await world.get(kinds.SECRET, "assistant-router-credentials")).get("site.ledger", "")

    await world.until("routers have a token", token)
    key = decoded(await world.api.get(kinds.SECRET, SETTINGS.operator_namespace, "genset-ledger-key"))["key"]
    assert len(key) == 64 and namespace_of(key.encode(), await token()) == world.namespace


# Proxy, CA and token


async def test_proxy_and_certificates_reach_pullers_and_routers_and_follow_their_files(
    world: World, tmp_path: Path
) -> None:
    password, bundle = tmp_path / "proxy", tmp_path / "ca.crt"
    password.write_text("user:first-pw\n")
    bundle.write_text(PEM)
    proxies = SiteProxies(https="http://proxy.corp:3128", no_proxy=("corp.example",))
    await start(world, SiteOptions(proxies, password, bundle))
    await world.apply(model_deployment(world.namespace, "house"), secret(world.namespace))
    await world.apply(route_policy(world.namespace, "assistant"))

    async def handed_on(word: str) -> bool:
        variables = decoded(await world.get(kinds.SECRET, "house.site"))
        files = decoded(await world.get(kinds.SECRET, "assistant-router-credentials"))
        return word in variables.get("HTTPS_PROXY", "") and word in files.get("site.proxy", "")

    await world.until("the proxy is handed on", lambda: handed_on("first-pw"))
    found = await world.get(kinds.CONFIG_MAP, "house.site")
    assert found is not None and found["data"]["ca.crt"].strip() in PEM
    before = {}
    for name in ("house", "assistant-router"):
        before[name] = await world.until(f"there is {name}", lambda name=name: world.get(kinds.DEPLOYMENT, name))  # type: ignore[misc]
        assert "first-pw" not in json.dumps(before[name])
    config = await world.get(kinds.CONFIG_MAP, "assistant-router-config")
    assert config is not None and '"proxyUrl":"http://proxy.corp:3128"' in config["data"]["router.json"]

    password.write_text("user:second-pw\n")
    await world.until("the new password is handed on", lambda: handed_on("second-pw"))
    for name, was in before.items():
        live = await world.get(kinds.DEPLOYMENT, name)
        assert live is not None
        assert live["metadata"]["generation"] == was["metadata"]["generation"], "no pod is replaced for it"


async def test_what_the_site_no_longer_says_is_taken_back(world: World, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(PEM)
    operator = await start(world, SiteOptions(SiteProxies(https="http://proxy.corp:3128"), None, tmp_path / "ca.crt"))
    await world.apply(model_deployment(world.namespace, "house"))
    await world.until("there is a Secret", lambda: world.get(kinds.SECRET, "house.site"))
    await world.until("there is a Deployment", lambda: world.get(kinds.DEPLOYMENT, "house"))
    await world.quiet(operator)
    await world.stop(operator)
    await start(world, SiteOptions())

    async def taken_back() -> bool:
        left = await world.get(kinds.SECRET, "house.site")
        return decoded(left) == {} and await world.get(kinds.CONFIG_MAP, "house.site") is None

    await world.until("the Secret is empty, and the ConfigMap gone", taken_back)


async def test_a_file_that_turns_bad_changes_nothing(world: World, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text(PEM)
    await start(world, SiteOptions(ca_file=bundle))
    await world.apply(model_deployment(world.namespace, "house"))
    await world.until("there is a ConfigMap", lambda: world.get(kinds.CONFIG_MAP, "house.site"))
    bundle.write_text("no certificate")
    await asyncio.sleep(1.0)  # some looks at the file; that nothing happens has no condition to wait for
    assert await world.get(kinds.CONFIG_MAP, "house.site") is not None
    bundle.write_text(PEM + PEM)

    async def follows() -> bool:
        found = await world.get(kinds.CONFIG_MAP, "house.site")
        return found is not None and found["data"]["ca.crt"].count("BEGIN CERTIFICATE") == 2

    await world.until("a good one is followed again", follows)


async def test_the_hubs_token_needs_its_owners_consent(world: World) -> None:
    await world.apply(secret(world.namespace, "hub", allow=None, token="hf_secret"))
    await start(world, SiteOptions(hub_token=("hub", "token")))
    await world.apply(model_deployment(world.namespace, "house"))
    told = await world.until_condition(MD, "house", "Warnings", "True", "SiteTokenNotUsed")
    assert "does not let it go to huggingface.co" in told["message"] and "hf_secret" not in told["message"]
    await world.apply(secret(world.namespace, "hub", allow="huggingface.co", token="hf_secret"))

    async def given() -> bool:
        found = decoded(await world.get(kinds.SECRET, "house.site"))
        return found == {"GENSET_SITE_TOKEN": "huggingface.co:443 hf_secret"}

    await world.until("the token is given", given)

    async def silent() -> bool:
        return not await world.condition(MD, "house", "Warnings")

    await world.until("nothing is to be told any more", silent)


# Volumes that stay


async def collect_garbage(world: World) -> None:
    """Does what the garbage collector does, which this control plane does not have: what has an owner goes with it."""
    for kind in CHILD_KINDS:
        if kind == kinds.LEADER_WORKER_SET:  # not a kind of every cluster, and not of this one
            continue
        for item in await world.list(kind):
            if item["metadata"].get("ownerReferences"):
                await world.delete(kind, item["metadata"]["name"])


async def test_a_retained_volume_outlives_its_resource_and_is_taken_over(world: World) -> None:
    operator = await world.start()
    spec: Object = {"cache": {"size": "1Gi", "retain": True}}
    await world.apply(model_deployment(world.namespace, "house", **spec))
    volume = await world.until("there is a volume", lambda: world.get(kinds.PVC, "house-weights"))
    assert not volume["metadata"].get("ownerReferences")
    assert volume["metadata"]["labels"]["genset.dev/modeldeployment"] == "house"
    await world.until_condition(MD, "house", "Accepted", "True")
    await world.quiet(operator)

    position = world.plane.audit_position()
    await world.delete(MD, "house")
    await collect_garbage(world)
    await world.quiet(operator)
    assert await world.get(kinds.PVC, "house-weights") is not None
    await world.apply(model_deployment(world.namespace, "house", **spec))
    await world.until_condition(MD, "house", "Accepted", "True")
    await world.quiet(operator)
    same = await world.get(kinds.PVC, "house-weights")
    assert same is not None and same["metadata"]["uid"] == volume["metadata"]["uid"]
    assert not [line for line in world.writes(position) if "persistentvolumeclaims" in line], "it is as it was wanted"


async def test_retain_can_be_turned_on_and_off(world: World) -> None:
    await world.start()

    async def owners(wanted: int) -> bool:
        found = await world.get(kinds.PVC, "house-weights")
        return found is not None and len(found["metadata"].get("ownerReferences") or ()) == wanted

    for retain, count in ((False, 1), (True, 0), (False, 1)):
        await world.apply(model_deployment(world.namespace, "house", cache={"size": "1Gi", "retain": retain}))
        await world.until(f"it has {count} owners", lambda count=count: owners(count))  # type: ignore[misc]


async def test_a_volume_of_somebody_else_is_refused(world: World) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "house-weights", "namespace": world.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await world.apply(claim)
    await world.start()
    await world.apply(model_deployment(world.namespace, "house", cache={"size": "1Gi", "retain": True}))
    told = await world.until_condition(MD, "house", "Accepted", "False", "NameConflict")
    assert "PersistentVolumeClaim house-weights exists and was not made by genset" in told["message"]


async def test_a_retained_volume_that_cannot_change_holds_back_nothing_else(world: World) -> None:
    operator = await world.start()
    await world.apply(model_deployment(world.namespace, "house", cache={"size": "2Gi", "retain": True}))
    await world.until_condition(MD, "house", "Accepted", "True")
    await world.quiet(operator)
    await world.apply(model_deployment(world.namespace, "house", replicas=3, cache={"size": "4Gi", "retain": True}))
    await world.until_condition(MD, "house", "Accepted", "False", "ApplyRejected")

    async def scaled() -> bool:
        found = await world.get(kinds.DEPLOYMENT, "house")
        return found is not None and found["spec"]["replicas"] == 3

    await world.until("the Deployment follows", scaled)


# OpenShift


async def test_every_pod_fits_restricted_v2(world: World) -> None:
    await make_project(world)
    await world.start()
    await world.apply(model_deployment(world.namespace, "house", cache={"size": "1Gi"}), secret(world.namespace))
    await world.apply(route_policy(world.namespace, "assistant"))
    async with restricted_v2(world):
        for name in ("house", "assistant-router"):
            made = await world.until(f"there is Deployment {name}", lambda name=name: world.get(kinds.DEPLOYMENT, name))  # type: ignore[misc]
            await create(world, pod(name, made["spec"]["template"]["spec"]))
        await create(world, pod("operator", operator_pod()))


async def test_elsewhere_pods_say_as_whom_they_run(world: World) -> None:
    await world.start()
    await world.apply(model_deployment(world.namespace, "house"))
    made = await world.until("there is a Deployment", lambda: world.get(kinds.DEPLOYMENT, "house"))
    assert made["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 65532
    await make_project(world)
    async with restricted_v2(world):
        with pytest.raises(ApiError, match="runAsUser is not in the range"):
            await create(world, pod("house", made["spec"]["template"]["spec"]))
