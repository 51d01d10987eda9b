"""Sources of ModelDeployments that are accepted and refused, with projectors, adapters and what is fetched ahead."""

from __future__ import annotations

from typing import Any

from tests.crds.base_urls import NO_SERVER
from tests.crds.cases.case import HTTP, MDEP, SECRET, SHA, Case, Spec, external, house

HUB = {"huggingFace": {"repo": "org/name"}}
DIGEST = f"sha256:{SHA}"
_TAG = "oci.reference needs a tag or a digest"
_NODE = "oci.mount ImageVolume is pulled by the node"
_OWN_NAME = "adapters: a name is that of the model itself"


def bucket(uri: str = "s3://models/a/m.gguf", **fields: Any) -> Spec:
    return {"source": {"s3": {"uri": uri, **fields}}}


def registry(reference: str = "registry.corp/models/m:q4", **fields: Any) -> Spec:
    return {"source": {"oci": {"reference": reference, **fields}}}


def adapted(name: str = "invoices", source: Spec | None = None, **spec: Any) -> Spec:
    return house(adapters=[{"name": name, "source": source or HUB}], **spec)


SOURCES = [
    # Buckets
    Case("an object of a bucket", MDEP, bucket(
        endpoint="https://minio.corp:9000", region="eu-central-1", sha256=SHA, credentialsSecretRef=SECRET, caSecretRef=SECRET)),
    Case("a prefix of a bucket", MDEP, bucket("gs://models/a/", file="*Q4*.gguf")),
    Case("a whole bucket", MDEP, bucket("s3://models")),
    Case("a container of Azure", MDEP, bucket("az://models/a/", endpoint="https://house.blob.core.windows.net")),
    Case("a container of no account", MDEP, bucket("az://models/a/"), "s3.uri with az:// needs s3.endpoint"),
    Case("a store that is no host", MDEP, bucket(endpoint="https://minio..corp"), f"s3.endpoint {NO_SERVER}"),
    Case("a bucket of another kind", MDEP, bucket("ftp://models/a"),
         "spec.source.s3.uri in body should match", "String should match pattern"),
    Case("a checksum of a prefix", MDEP, bucket("s3://models/a/", sha256=SHA), "s3.sha256 is of a model in one file"),
    Case("a checksum of one shard", MDEP, bucket("s3://models/m-00001-of-00002.gguf", sha256=SHA),
         "s3.sha256 is of a model in one file"),
    Case("a bucket with a key in its URL", MDEP, bucket("s3://key:secret@models/a"),
         "spec.source.s3.uri in body should match", "String should match pattern"),
    # Registries
    Case("an artifact by its tag", MDEP, registry(credentialsSecretRef=SECRET, caSecretRef=SECRET, path="*Q4*.gguf")),
    Case("an artifact by its digest", MDEP, registry(f"localhost:5000/m@{DIGEST}", plainHTTP=True)),
    Case("an image that the node mounts", MDEP, registry(mount="ImageVolume", path="models/m.gguf")),
    Case("an artifact without a tag", MDEP, registry("registry.corp:5000/models/m"), _TAG),
    Case("an artifact of no registry", MDEP, registry("models:q4"),
         "spec.source.oci.reference in body should match", "String should match pattern"),
    Case("a registry that is no host", MDEP, registry("registry..corp/m:q4"), "oci.reference must begin with its registry"),
    Case("an image volume with a CA", MDEP, registry(mount="ImageVolume", path="m.gguf", caSecretRef=SECRET), _NODE),
    Case("an image volume without TLS", MDEP, registry(mount="ImageVolume", path="m.gguf", plainHTTP=True), _NODE),
    Case("an image volume and a pattern", MDEP, registry(mount="ImageVolume", path="*.gguf"),
         "oci.path must be the file itself"),
    Case("an image volume without a file", MDEP, registry(mount="ImageVolume"), "oci.mount ImageVolume needs oci.path"),
    Case("a cache for an image volume", MDEP, {**registry(mount="ImageVolume", path="m.gguf"), "cache": {"size": "1Gi"}},
         "cache is for downloads"),
    # Folders
    Case("a folder for an engine that reads a file", MDEP, {"source": {"huggingFace": {
        "repo": "org/name", "include": ["*.safetensors"]}}}, "include and exclude are for engines that read a whole folder"),
    Case("a pattern with a comma", MDEP, bucket("s3://models/a/", file="a,b"),
         "spec.source.s3.file in body should match", "String should match pattern"),
    Case("an object for an engine that reads a folder", MDEP, {**bucket(), "engine": "vllm"}, "s3.uri names a GGUF file"),
    Case("folders for an engine that reads them", MDEP, {
        **bucket("s3://models/base/", include=["*.safetensors", "*.json"], exclude=["x/*"]), "engine": "vllm",
        "adapters": [{"name": "a", "source": registry()["source"]}, {"name": "b", "source": HUB}]}),
    Case("an adapter in one file for an engine that reads folders", MDEP, {
        **bucket("s3://models/base/"), "engine": "vllm", "adapters": [{"name": "a", "source": {"http": HTTP}}]},
        "http gives one file"),
    Case("an image volume for an engine that reads folders", MDEP, {**registry(mount="ImageVolume"), "engine": "vllm"}),
    # Projector and adapters
    Case("a model that sees", MDEP, house(projector={"huggingFace": {"repo": "org/name", "revision": "v1"}})),
    Case("a projector of a volume", MDEP, house(projector={"pvc": {"claimName": "w", "path": "mmproj.gguf"}})),
    Case("a projector of several sources", MDEP, house(projector={**HUB, "http": HTTP}), "source needs exactly one of"),
    Case("a projector and a folder of it", MDEP, house(projector={"huggingFace": {"repo": "o/n", "exclude": ["x"]}}),
         "include and exclude are for engines that read a whole folder"),
    Case("a projector for a server elsewhere", MDEP, external(projector=HUB), "projector needs an engine that"),
    Case("adapters from everywhere", MDEP, house(adapters=[
        {"name": "a", "source": HUB}, {"name": "b.2", "source": registry()["source"]},
        {"name": "C-3", "source": bucket()["source"]}, {"name": "d", "source": {"pvc": {"claimName": "w", "path": "a.gguf"}}},
    ])),
    Case("adapters for a server elsewhere", MDEP, external(adapters=[{"name": "a", "source": HUB}]),
         "adapters needs an engine that"),
    Case("two adapters of one name", MDEP, house(adapters=[{"name": "a", "source": HUB}] * 2),
         "Duplicate value", "holds 'a' twice"),
    Case("an adapter called as the model", MDEP, adapted("small", model="small"), _OWN_NAME),
    Case("an adapter called as the resource", MDEP, adapted("case"), _OWN_NAME),
    Case("an adapter called as another part", MDEP, adapted("projector"), "adapters: model and projector are names"),
    Case("an adapter that is a folder", MDEP, adapted(source={"huggingFace": {"repo": "o/n", "include": ["*"]}}),
         "include and exclude are for engines that read a whole folder"),
    Case("an adapter on a mounted image without a file", MDEP, adapted(source=registry(mount="ImageVolume")["source"]),
         "oci.mount ImageVolume needs oci.path"),
    Case("a cache for adapters beside a volume", MDEP, {
        "source": {"pvc": {"claimName": "w", "path": "a.gguf"}}, "cache": {"size": "1Gi"},
        "adapters": [{"name": "a", "source": HUB}]}),
    # The cache, and what is fetched ahead
    Case("a claim that is there", MDEP, house(cache={"claimName": "shared", "accessMode": "ReadWriteMany"})),
    Case("a claim that is there, with a size", MDEP, house(cache={"claimName": "shared", "size": "1Gi"}),
         "cache needs either size"),
    Case("a cache of no size", MDEP, house(cache={}), "cache needs either size"),
    Case("a storage class for a claim that is there", MDEP, house(cache={"claimName": "s", "storageClassName": "x"}),
         "cache.storageClassName and retain are of a volume that is made"),
    Case("a claim that is there, to be retained", MDEP, house(cache={"claimName": "s", "retain": True}),
         "cache.storageClassName and retain are of a volume that is made"),
    Case("fetched ahead", MDEP, house(prefetch=True, cache={"size": "1Gi"}, replicas=0)),
    Case("fetched ahead, and nowhere to keep it", MDEP, house(prefetch=True), "prefetch needs cache"),
]  # fmt: skip
