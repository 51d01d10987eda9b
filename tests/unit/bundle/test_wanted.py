"""What a site needs follows from its resources, and these are written anew for where things lie then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.bundle import reference, site
from genset.bundle.errors import BundleError
from genset.bundle.wanted import Needed, settings_of, wanted
from genset.contracts.bundle import Blob, BundledModel, Contents, Image

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"
DIGEST = "sha256:" + "a" * 64
BLOB = Blob(media_type="application/vnd.oci.image.manifest.v1+json", digest=DIGEST, size=1)


def documents() -> list[dict[str, Any]]:
    """Returns the samples' own resources; those of the demo have places for what is not known yet."""
    texts = [path.read_text() for path in sorted(SAMPLES.rglob("*.yaml"))]
    found = [one for text in texts if "${" not in text for one in yaml.safe_load_all(text)]
    return [one for one in found if isinstance(one, dict) and one.get("kind") in ("ModelDeployment", "RoutePolicy")]


def needed(*given: dict[str, Any], values: dict[str, Any] | None = None) -> Needed:
    deployments = [ModelDeployment.model_validate(one) for one in given if one["kind"] == "ModelDeployment"]
    policies = [RoutePolicy.model_validate(one) for one in given if one["kind"] == "RoutePolicy"]
    return wanted([(deployments, policies)], settings_of(values or {}, "9.9"))


def deployment(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "genset.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "m", "namespace": "models"},
        "spec": spec,
    }


HUB = {"huggingFace": {"repo": "org/name"}}


@pytest.mark.parametrize("given", documents(), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_every_sample_can_be_brought(given: dict[str, Any]) -> None:
    found = needed(given)
    assert "ghcr.io/genset-dev/genset:9.9" in found.images
    for image in found.images:
        assert reference.whole(image)
    external = given["kind"] == "ModelDeployment" and given["spec"].get("engine") == "external"
    brings = found.parts or found.left or len(found.images) > 1
    assert brings or external or given["kind"] == "RoutePolicy", "a model, an image, or why not"


def test_every_part_of_a_model_is_taken() -> None:
    adapters = [{"name": "invoices", "source": {"oci": {"reference": "registry.corp/adapters/invoices:v3"}}}]
    found = needed(deployment(source=HUB, projector=HUB, adapters=adapters, cache={"size": "5Gi"}))
    assert [part.field for part in found.parts] == ["spec.source", "spec.projector", "spec.adapters[invoices].source"]


def test_an_image_that_a_node_mounts_is_an_image() -> None:
    source = {"oci": {"reference": "registry.corp/models/m:1", "mount": "ImageVolume", "path": "m.gguf"}}
    found = needed(deployment(source=source))
    assert "registry.corp/models/m:1" in found.images and not found.parts


def test_what_lies_on_the_site_is_told() -> None:
    found = needed(deployment(source={"pvc": {"claimName": "models", "path": "m.gguf"}}))
    assert not found.parts and "is read where it lies (pvc)" in found.left[0]


def test_secrets_of_sources_are_named() -> None:
    source = {"huggingFace": {"repo": "org/name", "tokenSecretRef": {"name": "hub", "key": "token"}}}
    [part] = needed(deployment(source=source)).parts
    assert part.secrets == {"token_file": ("hub", "token")}


def test_a_backend_whose_model_is_in_no_file_is_told() -> None:
    policy = next(
        one for one in documents() if one["kind"] == "RoutePolicy" and "deployment" in str(one["spec"]["backends"])
    )
    assert any("which is in no file" in text for text in needed(policy).left)


@pytest.mark.parametrize("values", [{"image": "x"}, {"engines": {"llama.cpp": "x"}}, {"engines": {"nobody": {}}}])
def test_values_of_another_form_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        settings_of(values, "1")


@pytest.mark.parametrize(
    ("image", "whole", "repository", "tag"),
    [
        ("python", "docker.io/library/python:latest", "library/python", "latest"),
        ("python:3.13", "docker.io/library/python:3.13", "library/python", "3.13"),
        ("vllm/vllm-openai:v1", "docker.io/vllm/vllm-openai:v1", "vllm/vllm-openai", "v1"),
        ("localhost/a:1", "localhost/a:1", "a", "1"),
        ("registry.corp:5000/a/b", "registry.corp:5000/a/b:latest", "a/b", "latest"),
        (f"registry.corp/a@{DIGEST}", f"registry.corp/a@{DIGEST}", "a", "sha256-" + "a" * 12),
        (f"registry.corp/a:1@{DIGEST}", f"registry.corp/a:1@{DIGEST}", "a", "1"),
    ],
)
def test_names_of_images(image: str, whole: str, repository: str, tag: str) -> None:
    assert reference.whole(image) == whole
    assert (reference.repository_of(whole), reference.tag_of(whole, DIGEST)) == (repository, tag)


@pytest.mark.parametrize(
    "image",
    ["", "registry.corp/UPPER:1", "registry.corp/a:1 b", "registry.corp/a@sha256:12", "http://registry.corp/a:1"],
)
def test_what_is_no_name_of_an_image(image: str) -> None:
    with pytest.raises(BundleError):
        reference.whole(image)


def contents(**more: Any) -> Contents:
    return Contents(created="2026-11-30T16:00:00+00:00", genset="1", platforms=("linux/amd64",), **more)


def test_each_source_is_named_where_it_lies_now() -> None:
    adapters = [{"name": name, "source": HUB} for name in ("a", "b")]
    given = deployment(source={**HUB, "maxSize": "9Gi"}, projector=HUB, adapters=adapters, cache={"size": "5Gi"})
    fields = ("spec.source", "spec.projector", "spec.adapters[b].source")
    models = [
        BundledModel(name="x/y:1", root=BLOB, namespace="models", deployment="m", field=field, origin="", path="m.gguf")
        for field in fields
    ]
    sources = {("models", "m", one.field): site.pulled(one, f"registry.site/y@{DIGEST}", plain=True) for one in models}
    [made] = site.resources_of([given], {}, sources)
    new = {"oci": {"reference": f"registry.site/y@{DIGEST}", "path": "m.gguf", "plainHTTP": True}}
    assert made["spec"]["source"] == {**new, "maxSize": "9Gi"}
    assert made["spec"]["projector"] == new
    assert [one["source"] for one in made["spec"]["adapters"]] == [HUB, new]
    assert given["spec"]["projector"] == HUB, "what was given stays as it was"
    ModelDeployment.model_validate(made)


def test_values_name_images_by_their_place() -> None:
    images = (
        Image(name="a.corp/g:1", root=BLOB, asked="a.corp/g:1"),
        Image(name="b.corp/l:1", root=BLOB, asked="b.corp/l:1"),
    )
    table = contents(images=images, roles={"": "a.corp/g:1", "llama.cpp/cpu": "b.corp/l:1"})
    now = {"a.corp/g:1": f"site/g@{DIGEST}", "b.corp/l:1": f"site/l@{DIGEST}", "c.corp/other:1": f"site/other@{DIGEST}"}
    values = site.values_of(table, now, DIGEST)
    assert values["image"] == {"repository": "site/g", "tag": "", "digest": DIGEST}
    assert values["engines"] == {"llama.cpp": {"images": {"cpu": f"site/l@{DIGEST}"}}}
    assert values["allowedImages"] == [f"site/other@{DIGEST}"], "resources name it themselves"
    assert values["bundle"] == {"digest": DIGEST, "created": table.created}


def test_an_engine_without_an_image_is_told() -> None:
    file = next(one for one in documents() if one["spec"].get("engine") == "llamafile")
    bare = {**file, "spec": {name: value for name, value in file["spec"].items() if name != "llamafile"}}
    assert any("whose engine llamafile has none" in text for text in needed(bare).left)
    images = {"engines": {"llamafile": {"images": {"cpu": "registry.corp/llamafile:1"}}}}
    found = needed(bare, values=images)
    assert "registry.corp/llamafile:1" in found.images and "image" not in str(found.left)
