"""A ModelDeployment is one model, served in the house by pods of one engine, or by a server that runs elsewhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

from pydantic import Field

from genset.api.adapters import Adapter, Part, parts_of
from genset.api.base import (
    LATER,
    RESOURCE_NAME_CEL,
    ApiModel,
    CelRule,
    Condition,
    ModelName,
    ObjectMeta,
    Quantity,
    is_resource_name,
    rules,
)
from genset.api.bounds import MEMORY_LEAST, at_least, cores
from genset.api.cache import Cache
from genset.api.children import DISRUPTION_BUDGET, ON_UPGRADE, DisruptionBudget, MetadataTemplate, OnUpgrade
from genset.api.engines import DEFAULT_ENGINE, ENGINE_DESCRIPTION, FIELDS, EngineBlocks, EngineName
from genset.api.engines.base import EngineSettings, Task
from genset.api.parallelism import PARALLELISM_RULE, Parallelism
from genset.api.pod_template import PodTemplate
from genset.api.sources import CACHE_RULE, Source
from genset.api.weights_rules import weights_rules


class RolloutStrategy(StrEnum):
    """Which comes first when replicas are replaced."""

    SURGE = "Surge"  # the new one: no gap, and room for one more is needed
    REPLACE = "Replace"  # the end of the old one


class ConditionType(StrEnum):
    """Condition types of a ModelDeployment, in the order in which they become true."""

    ACCEPTED = "Accepted"  # the spec makes sense and every reference resolves
    WEIGHTS_READY = "WeightsReady"  # the weights are complete and verified where the engine reads them
    AVAILABLE = "Available"  # at least one replica passes the engine's own readiness probe
    READY = "Ready"  # all wanted replicas are available and a real completion succeeded
    STALLED = "Stalled"  # only a person can help; absent otherwise
    WARNINGS = "Warnings"  # something in the spec does nothing; absent otherwise
    UPGRADE_PENDING = "UpgradePending"  # pods of an earlier release serve on; absent otherwise


class Reason(StrEnum):
    """Reasons of the conditions, each with what it tells."""

    # Accepted
    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    SECRET_NOT_FOUND = "SecretNotFound"
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"
    SECRET_KEY_INVALID = "SecretKeyInvalid"  # the key's content cannot serve its use, e.g. a CA that is no PEM
    SECRET_NOT_ALLOWED = "SecretNotAllowed"  # its owner does not let its values go to this server
    HOST_PATH_NOT_ALLOWED = "HostPathNotAllowed"
    NAME_CONFLICT = "NameConflict"  # an object of the child's name exists and is not ours
    PREDECESSOR_LEAVING = "PredecessorLeaving"  # the child's name is still taken by a deleted namesake's
    APPLY_REJECTED = "ApplyRejected"  # the API server refused a child, e.g. because of podTemplate
    CONTESTED = "Contested"  # somebody else keeps on changing a child
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    NAMESPACE_NOT_MANAGED = "NamespaceNotManaged"  # the operator may not write here: its administrator labels it
    # WeightsReady
    WEIGHTS_READY = "WeightsReady"
    DOWNLOADING = "Downloading"
    WAITING_FOR_VOLUME = "WaitingForVolume"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    NOT_GGUF = "NotGGUF"
    NOT_A_MODEL = "NotAModel"  # a folder that lacks what an engine reads, or a projector or adapter that is none
    UNSAFE_ARCHIVE = "UnsafeArchive"  # it would write outside its folder, or more than it says
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_UNAUTHORIZED = "SourceUnauthorized"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    SOURCE_AMBIGUOUS = "SourceAmbiguous"  # the file pattern matches several models
    SOURCE_TOO_LARGE = "SourceTooLarge"  # it brings more than source.maxSize, or than the volume that it is for
    DISK_FULL = "DiskFull"
    LICENCE_NOT_ALLOWED = "LicenceNotAllowed"  # the operator's administrator names those that are
    DOWNLOAD_FAILED = "DownloadFailed"
    NOT_MANAGED = "NotManaged"  # the server is not ours, nor are its weights
    # Available and Ready
    AVAILABLE = "Available"
    READY = "Ready"
    STARTING = "Starting"
    SCALED_TO_ZERO = "ScaledToZero"
    AT_REST = "AtRest"  # autoscaling: no request came for idleSeconds; the next one wakes it
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    SANDBOX_FAILED = "SandboxFailed"  # a node cannot make a pod's sandbox: no container starts
    SIDECAR_NOT_READY = "SidecarNotReady"  # a container that is not genset's keeps a pod from serving
    STARTUP_TIMEOUT = "StartupTimeout"  # the engine was ended because it had not become ready in time
    CRASH_LOOP = "CrashLoop"
    REPLICAS_MISSING = "ReplicasMissing"
    ROLLING_OUT = "RollingOut"
    COMPLETION_FAILED = "CompletionFailed"
    UNREACHABLE = "Unreachable"
    NOT_PROBED = "NotProbed"  # a server elsewhere is asked by routers, and none has reason to
    # Warnings
    MEMORY_SHORT = "MemoryShort"  # the model needs more memory than it may have
    SITE_TOKEN_NOT_USED = "SiteTokenNotUsed"  # the hub token of the operator could not be given to this download
    WITHOUT_EFFECT = "WithoutEffect"  # fields about pods of a server that is not ours
    # UpgradePending
    IN_USE = "InUse"  # onUpgrade WhenIdle: until nobody is served
    WAITS_ITS_TURN = "WaitsItsTurn"  # another one of the namespace takes the upgrade first


class EventReason(StrEnum):
    """Reasons of Events that tell of no condition."""

    WOKEN = "Woken"  # autoscaling: a request came, min -> max replicas
    FIELD_OVERRULED = "FieldOverruled"  # a child's field does not become what is wanted of it; also of a RoutePolicy
    PUT_TO_REST = "PutToRest"  # autoscaling: no request came for idleSeconds, max -> min replicas


Vendor = Literal["nvidia", "amd", "intel"]
#: What images of an engine may be for: cores alone, or a vendor's accelerators.
VENDORS: tuple[str, ...] = ("cpu", *get_args(Vendor))


class Context(ApiModel):
    """How much text one request may hold, and how many run at once in one replica."""

    tokens: int = Field(
        default=4096, ge=256, le=10_485_760, description="Tokens of one request: prompt and answer together."
    )
    parallel: int = Field(default=4, ge=1, le=256, description="Requests that one replica works on at the same time.")


class Accelerator(ApiModel):
    """GPUs of one replica. Without it the model runs on CPU cores."""

    vendor: Vendor = Field(default="nvidia", description="Decides the extended resource and the engine's image.")
    count: int = Field(default=1, ge=1, le=16, description="GPUs for each replica.")


@rules(
    cores("resources.cpu"),
    at_least("resources.memory", MEMORY_LEAST, gibi_below=64),
)
class Resources(ApiModel):
    """What one replica may use. Requests equal limits, so that a model never competes with its neighbours."""

    cpu: Quantity = Field(default="2", description="CPU cores; the engine's thread count follows.")
    memory: Quantity = Field(default="4Gi", description="Memory. On CPU: weights, context and prompt cache must fit.")
    accelerator: Accelerator | None = Field(default=None, description="GPUs.")

    @property
    def vendor(self) -> str:
        """Names one of `VENDORS`."""
        return self.accelerator.vendor if self.accelerator is not None else "cpu"


@rules(
    CelRule(
        "self.min < self.max",
        "autoscaling.min must be below autoscaling.max; for a fixed number of copies give replicas instead",
        lambda scaling: scaling.min < scaling.max,
    ),
)
class Autoscaling(ApiModel):
    """Copies by demand. Routers tell of requests; the operator wakes the model and puts it to rest."""

    min: int = Field(default=0, ge=0, le=1000, description="Copies while no request comes. 0 frees everything.")
    max: int = Field(default=1, ge=1, le=1000, description="Copies from the first request on.")
    idle_seconds: int = Field(
        default=600,
        ge=5,
        le=2_592_000,
        description="Silence after which the model is put to rest: no request at any router for so long, and none in "
        "work.",
    )


class Rollout(ApiModel):
    """How replicas come and go."""

    strategy: RolloutStrategy | None = Field(
        default=None,
        strict=False,
        description="Surge: a new replica is ready before an old one goes; the nodes need room for one more. Replace: an "
        "old one goes first, which needs no room and leaves a gap. Default: Surge; Replace with an accelerator or a "
        "ReadWriteOncePod cache.",
    )
    drain_seconds: int = Field(
        default=60, ge=0, le=3600, description="How long a replica that is going away may finish its running answers."
    )
    startup_seconds: int = Field(
        default=900, ge=10, le=86_400, description="How long loading the weights into the engine may take."
    )
    on_upgrade: OnUpgrade = Field(
        default=OnUpgrade.WHEN_IDLE, strict=False, description=ON_UPGRADE, json_schema_extra=LATER
    )


@rules(
    CelRule(
        "!has(self.replicas) || !has(self.autoscaling)",
        "replicas and autoscaling exclude each other: remove one (kubectl scale sets replicas; for an autoscaled model "
        "change autoscaling instead)",
        lambda spec: spec.replicas is None or spec.autoscaling is None,
    ),
    CelRule(
        "!has(self.rollout) || !has(self.rollout.strategy) || self.rollout.strategy != 'Surge' || !has(self.cache) || "
        "self.cache.accessMode != 'ReadWriteOncePod'",
        "rollout.strategy Surge needs a cache that two pods can mount: use Replace, or another cache.accessMode",
        lambda spec: (
            spec.rollout.strategy != RolloutStrategy.SURGE
            or spec.cache is None
            or spec.cache.access_mode != "ReadWriteOncePod"
        ),
    ),
    CACHE_RULE,
    PARALLELISM_RULE,
    *weights_rules(),
)
class ModelDeploymentSpec(EngineBlocks):
    """What should be served."""

    model: ModelName | None = Field(
        default=None,
        description="Name of the model as the engine reports it and routers ask for it. Default: metadata.name.",
    )
    engine: EngineName = Field(default=DEFAULT_ENGINE, description=ENGINE_DESCRIPTION)
    task: Task = Field(
        default=Task.CHAT,
        strict=False,
        description="Chat: chats and completions. Embeddings: vectors of texts. Rerank: documents in the order in which "
        "they fit a question. The server is started for it alone, and proves it before the deployment is Ready.",
        json_schema_extra=LATER,
    )
    source: Source | None = Field(default=None, description="Where the weights come from.")
    projector: Source | None = Field(
        default=None,
        description="Where the projector comes from, the file by which a model sees pictures (mmproj, as GGUF). By default "
        "file is *mmproj*.gguf.",
    )
    adapters: list[Adapter] = Field(
        default_factory=list,
        max_length=64,
        description="LoRA adapters on the model, each a model of its own to clients.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    cache: Cache | None = Field(default=None, description="Volume that keeps downloaded weights.")
    prefetch: bool | None = Field(
        default=None,
        description="Fetch the weights into the cache now, by a Job that needs neither an accelerator nor a pod of the "
        "engine: also while replicas is 0.",
    )
    context: Context = Field(default_factory=Context, description="Size of a request and parallelism.")
    resources: Resources = Field(default_factory=Resources, description="CPU, memory and GPUs of one replica.")
    parallelism: Parallelism | None = Field(
        default=None,
        description="How the model is split over a replica's GPUs. Default: each layer over all of them (tensor).",
    )
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Copies of the model. 0 puts it to rest; weights in a cache stay. Default: 1, unless autoscaling "
        "is given instead. A HorizontalPodAutoscaler needs a number here to begin with.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None, description="Copies by demand instead of replicas: woken by a request, put to rest by silence."
    )
    rollout: Rollout = Field(default_factory=Rollout, description="How replicas come and go.")
    pod_template: PodTemplate | None = Field(default=None, description="Escape hatch, merged last into engine pods.")
    metadata_template: MetadataTemplate | None = Field(
        default=None, description="Labels and annotations of every object of the deployment."
    )
    disruption_budget: DisruptionBudget | None = Field(default=None, strict=False, description=DISRUPTION_BUDGET)

    @property
    def parts(self) -> list[Part]:
        """Returns every source that it names: of the model, the projector and the adapters."""
        return parts_of(self.source, self.projector, self.adapters)

    @property
    def engine_settings(self) -> EngineSettings | None:
        """Returns the block of its engine, if it has one."""
        found: EngineSettings | None = getattr(self, FIELDS[self.engine])
        return found

    @property
    def most_replicas(self) -> int:
        """Returns how many copies there are when all of them run."""
        if self.autoscaling is not None:
            return self.autoscaling.max
        return 1 if self.replicas is None else self.replicas


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


@rules(
    CelRule(
        RESOURCE_NAME_CEL,
        "metadata.name must be at most 52 characters of a-z, 0-9 and -, beginning with a letter: Services take it as "
        "their name (spec.model may hold any name)",
        lambda resource: is_resource_name(resource.metadata.name),
    ),
    CelRule(
        "!self.metadata.name.endsWith('-router') && !self.metadata.name.endsWith('-endpoints')",
        "metadata.name must not end with -router or -endpoints: genset's own Services are named so",
        lambda resource: not resource.metadata.name.endswith(("-router", "-endpoints")),
    ),
    CelRule(
        "!has(self.spec.adapters) || has(self.spec.model) || self.spec.adapters.all(a, a.name != self.metadata.name)",
        "adapters: a name is that of the model itself: give the adapter one of its own, or say another one in spec.model",
        lambda resource: all(one.name != resource.served_model for one in resource.spec.adapters),
    ),
)
class ModelDeployment(ApiModel):
    """A model that the house serves, or that a server elsewhere serves for it."""

    api_version: Literal["genset.dev/v1alpha1"] = "genset.dev/v1alpha1"
    kind: Literal["ModelDeployment"] = "ModelDeployment"
    metadata: ObjectMeta
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus | None = None

    @property
    def served_model(self) -> str:
        """Returns the name that clients of the engine use."""
        return self.spec.model or self.metadata.name
