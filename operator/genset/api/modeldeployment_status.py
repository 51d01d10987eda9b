"""The status of a ModelDeployment says what is served, how far its weights are, and what the model needs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genset.api.autoscaling import ScalingStatus
from genset.api.base import ApiModel, Condition


class PartStatus(ApiModel):
    """One of several parts of the weights."""

    name: str = Field(min_length=1, max_length=63, description="model, projector, or the name of an adapter.")
    state: Literal["Waiting", "Downloading", "Ready"] = Field(description="How far this part is.")
    total_bytes: int = Field(
        default=0, ge=0, description="Bytes in all; 0 while unknown.", json_schema_extra={"format": "int64"}
    )
    revision: str = Field(default="", description="Commit or digest that it resolved to.")


class WeightsStatus(ApiModel):
    """How far the weights are. The replica that is furthest behind speaks."""

    bytes: int = Field(default=0, ge=0, description="Bytes on disk.", json_schema_extra={"format": "int64"})
    total_bytes: int = Field(
        default=0, ge=0, description="Bytes in all; 0 while unknown.", json_schema_extra={"format": "int64"}
    )
    percent: int = Field(default=0, ge=0, le=100, description="Share that is on disk, rounded down to steps of 5.")
    revision: str = Field(default="", description="Commit or digest that the model's source resolved to.")
    parts: list[PartStatus] | None = Field(
        default=None,
        max_length=80,
        description="Model, projector and adapters, if there is more than the model.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class SizeStatus(ApiModel):
    """What the model is, by its files, and what it needs at the spec's context and parallelism."""

    model_class: str = Field(
        default="",
        alias="class",
        description="Small: below 15 billion parameters. Medium: up to 70. Large: above.",
    )
    speed: str = Field(
        default="", description="Fast: a token uses below 5 billion parameters. Moderate: up to 20. Slow: above."
    )
    architecture: str = Field(default="", description="Architecture, as llama.cpp names it.")
    parameters: int = Field(default=0, ge=0, description="Parameters in total.", json_schema_extra={"format": "int64"})
    active_parameters: int = Field(
        default=0,
        ge=0,
        description="Parameters that one token uses; fewer in a mixture of experts.",
        json_schema_extra={"format": "int64"},
    )
    quantisation: str = Field(default="", description="Quantisation of the weights, e.g. Q4_K_M.")
    licence: str = Field(default="", description="Licence that the files name, in small letters.")
    context_tokens: int = Field(
        default=0,
        ge=0,
        description="Tokens that the model was made for; 0 while unknown.",
        json_schema_extra={"format": "int64"},
    )
    weights_bytes: int = Field(default=0, ge=0, description="Bytes of weights.", json_schema_extra={"format": "int64"})
    cache_bytes: int = Field(
        default=0, ge=0, description="Bytes of all contexts of one replica.", json_schema_extra={"format": "int64"}
    )
    memory_bytes: int = Field(
        default=0,
        ge=0,
        description="Memory that one replica needs, beside its accelerators.",
        json_schema_extra={"format": "int64"},
    )
    device_bytes: int = Field(
        default=0,
        ge=0,
        description="Memory that it needs on each accelerator; 0 without.",
        json_schema_extra={"format": "int64"},
    )


class PlaceStatus(ApiModel):
    """What the replicas on one node can do at once."""

    node: str = Field(max_length=253, description="Name of the node; empty for a server elsewhere.")
    replicas: int = Field(ge=0, description="Replicas there that are ready.")
    slots: int = Field(ge=0, description="Requests that they work on at once, by context.parallel.")
    tokens_per_second: int | None = Field(
        default=None,
        ge=0,
        description="Tokens that one slot makes in a second, as measured by completions that prove readiness and by traffic, to "
        "two digits; absent while not measured.",
    )


class PriceStatus(ApiModel):
    """What the deployment costs the house."""

    per_hour: str = Field(default="", max_length=32, description="One replica, for an hour.")
    reserved_per_hour: str = Field(default="", max_length=32, description="All replicas that there are, for an hour.")
    currency: str = Field(default="", max_length=3, description="Currency of both.")


class ModelDeploymentStatus(ApiModel):
    """What is served."""

    observed_generation: int = Field(default=0, ge=0, description="Generation of the spec that this status speaks of.")
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="Accepted, WeightsReady, Available, Ready; Stalled when only a person can help; Warnings when "
        "something in the spec does nothing; UpgradePending while pods of an earlier release serve on.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    model: str = Field(default="", description="Name of the model as served.")
    url: str = Field(default="", description="Base URL of the model's OpenAI API inside the cluster.")
    desired_replicas: int | None = Field(
        default=None, ge=0, description="Pods that there should be now: replicas, or what autoscaling has decided."
    )
    scaling: ScalingStatus | None = Field(
        default=None, description="Who decides how many pods there should be, and by what."
    )
    last_active_time: str | None = Field(
        default=None,
        description="Autoscaling: when a router last had a request, told about once a minute.",
        json_schema_extra={"format": "date-time"},
    )
    replicas: int = Field(default=0, ge=0, description="Pods that exist.")
    ready_replicas: int = Field(default=0, ge=0, description="Pods that pass the engine's readiness probe.")
    selector: str = Field(default="", description="Label selector of the pods, for autoscalers.")
    weights: WeightsStatus | None = Field(default=None, description="Progress of the download.")
    size: SizeStatus | None = Field(default=None, description="What the model is and needs, once its files are there.")
    price: PriceStatus | None = Field(default=None, description="What it costs the house, by spec.price.")
    capacity: list[PlaceStatus] | None = Field(
        default=None,
        max_length=1000,
        description="Where ready replicas are, and what they can do at once.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["node"]},
    )
    lost_nodes: list[str] | None = Field(
        default=None,
        max_length=1000,
        description="Nodes that do not answer any more, while replicas that stood there are missed.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
