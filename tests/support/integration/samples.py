"""These resources are what the tests apply, as users write them."""

from __future__ import annotations

import base64
from typing import Any

Object = dict[str, Any]


def model_deployment(namespace: str, name: str, **spec: Any) -> Object:
    """Makes a small model from a hub."""
    content: Object = {
        "engine": "llama.cpp",
        "source": {"huggingFace": {"repo": "org/model", "file": "*.gguf"}},
        "replicas": 1,
        **spec,
    }
    return {
        "apiVersion": "genset.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {key: value for key, value in content.items() if value is not None},
    }


def route_policy(namespace: str, name: str, deployment: str = "house", secret: str = "cloud", **spec: Any) -> Object:
    """Makes a policy that asks the house first, and the cloud if the house cannot answer."""
    content: Object = {
        "backends": [
            {"name": "house", "deployment": {"name": deployment}},
            {
                "name": "frontier",
                "cloud": {
                    "provider": "openai",
                    "model": "some-model",
                    "credentialsSecretRef": {"name": secret, "key": "apiKey"},
                },
            },
        ],
        "routes": [
            {
                "name": "everyday",
                "match": {"models": ["assistant"]},
                "tiers": [{"backends": [{"name": "house"}]}, {"backends": [{"name": "frontier"}]}],
            }
        ],
        **spec,
    }
    return {
        "apiVersion": "genset.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": content,
    }


def secret(namespace: str, name: str = "cloud", allow: str | None = "*", **data: str) -> Object:
    """Makes a user's Secret; by default with the key that `route_policy` names. `allow`: where its values may go."""
    content = data or {"apiKey": "sk-test"}
    metadata: Object = {"name": name, "namespace": namespace}
    if allow is not None:
        metadata["annotations"] = {"genset.dev/allow-hosts": allow}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in content.items()},
    }


def config_map(namespace: str, name: str, **data: str) -> Object:
    """Makes an object of somebody else's."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }
