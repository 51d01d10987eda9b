"""A ModelDeployment is one model, served in the house by pods of one engine, or by a server that runs elsewhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from genset.api.accelerator import Accelerator
from genset.api.adapters import MOST_ADAPTERS, Adapter, Part, parts_of
from genset.api.autoscaling import Autoscaling, Rest
from genset.api.base import (
    LATER,
    RESOURCE_NAME_CEL,
    ApiModel,
    CelRule,
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
from genset.api.modeldeployment_status import ModelDeploymentStatus
from genset.api.parallelism import NODES_ADAPTERS_RULE, NODES_NAME_RULE, NODES_RULE, PARALLELISM_RULE, Parallelism
from genset.api.pod_template import PodTemplate
from genset.api.price import HousePrice
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
    LEADER_WORKER_SET_MISSING = "LeaderWorkerSetMissing"  # the cluster has no such kind, which parallelism.nodes needs
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
    WAITS_FOR_POOL = "WaitsForPool"  # autoscaling.pool: requests come, and another deployment has the device
    UNSCHEDULABLE = "Unschedulable"
    NO_NODE_FITS = "NoNodeFits"  # no node could take a pod, were it empty
    IMAGE_PULL_FAILED = "ImagePullFailed"
    SANDBOX_FAILED = "SandboxFailed"  # a node cannot make a pod's sandbox: no container starts
    SIDECAR_NOT_READY = "SidecarNotReady"  # a container that is not genset's keeps a pod from serving
    STARTUP_TIMEOUT = "StartupTimeout"  # the engine was ended because it had not become ready in time
    CRASH_LOOP = "CrashLoop"
    MODEL_MISMATCH = "ModelMismatch"  # the engine cannot serve this model as the spec asks, by the model's own files
    REPLICAS_MISSING = "ReplicasMissing"
    ROLLING_OUT = "RollingOut"
    COMPLETION_FAILED = "CompletionFailed"
    UNREACHABLE = "Unreachable"
    NOT_PROBED = "NotProbed"  # a server elsewhere is asked by routers, and none has reason to
    # Warnings
    ADAPTER_REFUSED = "AdapterRefused"  # a running server does not load it; the model serves on
    CONTEXT_TOO_LONG = "ContextTooLong"  # beyond what the model was made for
    MEMORY_SHORT = "MemoryShort"  # the model needs more memory than it may have
    SITE_TOKEN_NOT_USED = "SiteTokenNotUsed"  # the hub token of the operator could not be given to this download
    WITHOUT_EFFECT = "WithoutEffect"  # fields about pods of a server that is not ours
    # UpgradePending
    IN_USE = "InUse"  # onUpgrade WhenIdle: until nobody is served
    WAITS_ITS_TURN = "WaitsItsTurn"  # another one of the namespace takes the upgrade first


CpuFeature = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9_.]*$", max_length=32, examples=["AVX512F"])]
DEFAULT_MEMORY = "4Gi"  # of a model that is not known yet


class Context(ApiModel):
    """How much text one request may hold, and how many run at once in one replica."""

    tokens: int = Field(
        default=4096, ge=256, le=10_485_760, description="Tokens of one request: prompt and answer together."
    )
    parallel: int = Field(default=4, ge=1, le=256, description="Requests that one replica works on at the same time.")


@rules(
    cores("resources.cpu"),
    at_least("resources.memory", MEMORY_LEAST, gibi_below=64, optional=True),
)
class Resources(ApiModel):
    """What one replica may use. Requests equal limits, so that a model never competes with its neighbours."""

    cpu: Quantity = Field(default="2", description="CPU cores; the engine's thread count follows.")
    memory: Quantity | None = Field(
        default=None,
        description="Memory. On CPU: weights, context and prompt cache must fit. Default: what status.size says that the model "
        f"needs, and a tenth; {DEFAULT_MEMORY} while its files are not there, and with vLLM on CPU.",
    )
    accelerator: Accelerator | None = Field(default=None, description="GPUs.")
    architecture: Literal["amd64", "arm64"] | None = Field(
        default=None,
        description="Only nodes of this architecture (label kubernetes.io/arch), where an image is for one alone.",
    )
    cpu_features: list[CpuFeature] | None = Field(
        default=None,
        max_length=16,
        description="Only nodes whose cores have these (labels of node feature discovery, "
        "feature.node.kubernetes.io/cpu-cpuid.NAME), e.g. AVX512F, AMXINT8.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

    @property
    def vendor(self) -> str:
        """Names one of `VENDORS`."""
        return self.accelerator.vendor if self.accelerator is not None else "cpu"


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
    NODES_RULE,
    NODES_ADAPTERS_RULE,
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
        max_length=MOST_ADAPTERS,
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
    price: HousePrice | None = Field(
        default=None,
        description="What a replica costs the house, to be shown beside what clouds cost and what was avoided.",
    )
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
    def sleeps(self) -> bool:
        """Returns whether its servers sleep while it is at rest."""
        return self.autoscaling is not None and self.autoscaling.rest is Rest.SLEEP

    @property
    def nodes(self) -> int:
        """Returns how many pods one replica is."""
        return 1 if self.parallelism is None else self.parallelism.nodes

    @property
    def most_replicas(self) -> int:
        """Returns how many copies there are when all of them run."""
        if self.autoscaling is not None:
            return self.autoscaling.most
        return 1 if self.replicas is None else self.replicas


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
    NODES_NAME_RULE,
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
