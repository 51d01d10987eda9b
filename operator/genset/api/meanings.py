"""Each condition and each reason has its meaning here, and what to do about it: for the reference pages and for people.

It lives beside the types because a reason without its explanation is only half of the API; a test demands an entry for
every constant. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genset.api.modeldeployment import ConditionType as MC
from genset.api.modeldeployment import Reason as MR
from genset.api.routepolicy import ConditionType as RC
from genset.api.routepolicy import Reason as RR
from genset.api.routepolicy_status import OutageReason as RO


@dataclass(frozen=True)
class Meaning:
    """A meaning has `tells`, one sentence about the state, and `remedy`, what a person does, empty if nothing is
    needed."""

    tells: str
    remedy: str = ""


_DOES_NOTHING = "Something in the spec is valid and does nothing; the rest serves. The condition is absent otherwise."
_UPGRADE = (
    "An upgrade of the operator, or of its settings, would make the pods new, and waits; those that run serve on. The "
    "condition is absent otherwise."
)
MODEL_DEPLOYMENT_CONDITIONS: Mapping[MC, str] = {
    MC.ACCEPTED: "The spec makes sense, everything that it names exists, and its children could be applied.",
    MC.WEIGHTS_READY: "The weights are complete and verified where the engine reads them.",
    MC.AVAILABLE: "At least one replica passes the engine's own readiness probe.",
    MC.READY: "All wanted replicas are available, and a real completion through the engine succeeded; or none is "
    "wanted.",
    MC.STALLED: "Only a person can help. The condition is absent otherwise.",
    MC.WARNINGS: _DOES_NOTHING,
    MC.UPGRADE_PENDING: _UPGRADE,
}

ROUTE_POLICY_CONDITIONS: Mapping[RC, str] = {
    RC.ACCEPTED: "The spec makes sense, and its children could be applied.",
    RC.RESOLVED_REFS: "Every ModelDeployment, Secret and key that the policy names exists.",
    RC.PROGRAMMED: "Every running router has acknowledged this generation's configuration and credentials.",
    RC.READY: "Programmed, every reference resolved, and all wanted routers are available; or none is wanted.",
    RC.STALLED: "Only a person can help. The condition is absent otherwise.",
    RC.WARNINGS: _DOES_NOTHING,
    RC.UPGRADE_PENDING: _UPGRADE,
    RC.PRICES_KNOWN: "False: nobody knows what a cloud costs. The condition is absent otherwise.",
    RC.PROOF_STALE: "True: a drill was not passed for longer than its maxAgeDays. The condition is absent without drills.",
    RC.LOCAL_SHARE_MET: "No route is below its localShare.target. The condition is absent if no route has one.",
    RC.COVERED: "Each single loss leaves every route somebody who answers, as far as status.coverage can tell. The condition is "
    "absent unless continuity.required.",
}

_INVALID = Meaning(
    "The spec contradicts itself in a way that the schema cannot see, or asks for more than the operator allows.",
    "Correct the field in the message, or have an administrator allow it.",
)
_CONFLICT = Meaning(
    "An object of a child's name exists and belongs to someone else; it was not touched.",
    "Rename the resource, or remove the other object.",
)
_LEAVING = Meaning("Objects of a deleted resource of this name are still there; what belongs to this one follows them.")
_REJECTED = Meaning(
    "The API server refused a child, for example because of podTemplate, a quota or an admission policy.",
    "Read the API server's words in the message; correct the spec or the policy.",
)
_TERMINATING = Meaning("The namespace is being deleted; nothing is created in it any more.")
_NO_SECRET = Meaning(
    "A Secret that the spec names does not exist. What already runs keeps running.",
    "Create the Secret in the same namespace; it is noticed by itself.",
)
_BAD_KEY = Meaning(
    "The content of a Secret's key cannot serve its use, e.g. a CA that is no PEM; the last good content stays in use.",
    "Correct the key's content; the message says what is wrong with it.",
)
_UNMANAGED = Meaning(
    "A cluster-wide operator writes only in namespaces that carry its label. What runs keeps running.",
    "Have an administrator run kubectl label namespace NAMESPACE genset.dev/managed=true; it is noticed within a minute.",
)
_NO_KEY = Meaning(
    "A Secret lacks the key that the spec names. What already runs keeps running.",
    "Add the key to the Secret, or correct the name of the key.",
)
_NOT_ALLOWED = Meaning(
    "A Secret does not name the server that its value would be sent to, or is a token of the cluster: it is not sent.",
    "If the server is meant, have the Secret's owner annotate it with genset.dev/allow-hosts; the message has the command.",
)
_STARTING = Meaning("Pods exist and have not passed their readiness probe yet.")
_UNSCHEDULABLE = Meaning(
    "No node can take a pod.", "Read the scheduler's words in the message; add nodes or ask for less."
)
_IMAGE = Meaning(
    "An image cannot be pulled.", "Correct the image's name, or its registry credentials (imagePullSecrets)."
)
_CONTESTED = Meaning(
    "Somebody else changes a child each time after the operator, e.g. a second operator that serves the same namespace. The "
    "child is left alone for minutes at a time.",
    "Let one operator alone serve the namespace (chart value watchNamespaces); change children through this resource only.",
)
_SANDBOX = Meaning(
    "A node cannot make the sandbox of a pod, so that no container starts: a runtime class that the node lacks, too little "
    "memory, a fault of its network.",
    "Read the node's words in the message.",
)
_SIDECAR = Meaning(
    "A container that somebody else has put into the pod, such as the sidecar of a mesh, keeps it from serving.",
    "Read the log of that container; a mesh's sidecar often cannot reach its control plane (docs/mesh.md).",
)
_CRASHING = Meaning(
    "A container keeps ending.", "Read the end of its log in the message, then kubectl logs --previous."
)
_MISSING = Meaning("Fewer replicas are available than wanted; those that are available serve.")
_ROLLING = Meaning("Pods of an older version are being replaced; the older ones serve until then.")

_IN_USE = Meaning(
    "The pods are in use: they take the upgrade once nobody has asked them for some time.",
    "For it at once set onUpgrade: Now, or change the annotation genset.dev/roll; the message has the command.",
)
_TURN = Meaning("onUpgrade is Now, and another resource of the namespace takes the upgrade first.")

MODEL_DEPLOYMENT_REASONS: Mapping[MR, Meaning] = {
    MR.ACCEPTED: Meaning("The spec is in effect."),
    MR.INVALID_SPEC: _INVALID,
    MR.SECRET_NOT_FOUND: _NO_SECRET,
    MR.SECRET_KEY_NOT_FOUND: _NO_KEY,
    MR.SECRET_KEY_INVALID: _BAD_KEY,
    MR.SECRET_NOT_ALLOWED: _NOT_ALLOWED,
    MR.HOST_PATH_NOT_ALLOWED: Meaning(
        "The operator does not allow weights on the nodes' disks.",
        "Use another source, or let an administrator set allowHostPath in the chart.",
    ),
    MR.NAME_CONFLICT: _CONFLICT,
    MR.PREDECESSOR_LEAVING: _LEAVING,
    MR.APPLY_REJECTED: _REJECTED,
    MR.LEADER_WORKER_SET_MISSING: Meaning(
        "parallelism.nodes needs LeaderWorkerSets, and the cluster does not know that kind.",
        "Have an administrator install the LeaderWorkerSet controller (sigs.k8s.io/lws); genset goes on by itself then.",
    ),
    MR.CONTESTED: _CONTESTED,
    MR.NAMESPACE_TERMINATING: _TERMINATING,
    MR.NAMESPACE_NOT_MANAGED: _UNMANAGED,
    MR.WEIGHTS_READY: Meaning("The weights are complete and verified."),
    MR.DOWNLOADING: Meaning("The puller is at work; status.weights tells how far it is."),
    MR.WAITING_FOR_VOLUME: Meaning(
        "The cache's volume is not bound yet.", "Look at the PersistentVolumeClaim's events; check storageClassName."
    ),
    MR.CHECKSUM_MISMATCH: Meaning(
        "The file's SHA-256 is not the one in the spec. It was thrown away and never served.",
        "Compare with the publisher's checksum; correct sha256 or the file on the server.",
    ),
    MR.NOT_GGUF: Meaning("The file is no GGUF, the format that llama.cpp reads.", "Point the source at a .gguf file."),
    MR.NOT_A_MODEL: Meaning(
        "What was fetched is not what its place needs: a folder without configuration or with missing shards, a projector or "
        "an adapter that is none.",
        "Correct the source, or the globs of what is fetched; the message names what is missing.",
    ),
    MR.UNSAFE_ARCHIVE: Meaning(
        "An archive of the source would write outside its folder, hold links or devices, or unpack to more than it may. "
        "Nothing of it was kept.",
        "Pack the model anew, with plain files only.",
    ),
    MR.SOURCE_NOT_FOUND: Meaning(
        "The repository, revision, bucket, reference or file does not exist at the source.",
        "Correct the name in the message.",
    ),
    MR.SOURCE_UNAUTHORIZED: Meaning(
        "The source refused the credentials, or wants some.",
        "Set or renew the token; accept the licence of a gated repository on the hub.",
    ),
    MR.SOURCE_UNREACHABLE: Meaning(
        "The source does not answer. The puller keeps trying.",
        "Check network, proxy and endpoint; a mirror is set by endpoint.",
    ),
    MR.SOURCE_AMBIGUOUS: Meaning("The file pattern matches several models.", "Narrow the source's file or path."),
    MR.SOURCE_TOO_LARGE: Meaning(
        "The source brings more than the download may.", "Raise source.maxSize, or cache.size, or name a smaller file."
    ),
    MR.DISK_FULL: Meaning("The volume or the node's disk has no room for the weights.", "Give cache.size more room."),
    MR.LICENCE_NOT_ALLOWED: Meaning(
        "The model's files name a licence that the operator does not allow. It is not served.",
        "Choose another model, or have an administrator add the licence to the chart's allowedLicences.",
    ),
    MR.DOWNLOAD_FAILED: Meaning(
        "The puller failed for another reason; it tries again and resumes.", "Read the message."
    ),
    MR.NOT_MANAGED: Meaning("An external server keeps its own weights."),
    MR.AVAILABLE: Meaning("At least one replica answers."),
    MR.READY: Meaning("The model serves."),
    MR.STARTING: _STARTING,
    MR.SCALED_TO_ZERO: Meaning("Zero replicas are wanted: the model rests by intent.", "Scale up to wake it."),
    MR.AT_REST: Meaning("No request came for autoscaling.idleSeconds; the next one at a router wakes the model."),
    MR.WAITS_FOR_POOL: Meaning(
        "Requests come, and another deployment of autoscaling.pool has the device; it makes way once it has served for its "
        "minAwakeSeconds and its pods are gone."
    ),
    MR.UNSCHEDULABLE: _UNSCHEDULABLE,
    MR.NO_NODE_FITS: Meaning(
        "No node of the cluster could take a pod, were it empty: it asks for more memory, cores or accelerators than any of them "
        "has.",
        "The message says what would need less: context, parallelism, quantisation; and, if the operator may list nodes (chart "
        "value rbac.readNodes), the nearest one and what would fit it. Or add a larger node.",
    ),
    MR.IMAGE_PULL_FAILED: _IMAGE,
    MR.SANDBOX_FAILED: _SANDBOX,
    MR.SIDECAR_NOT_READY: _SIDECAR,
    MR.STARTUP_TIMEOUT: Meaning(
        "The engine was ended and started again because it had not loaded the model within rollout.startupSeconds.",
        "Raise rollout.startupSeconds; give it more cpu.",
    ),
    MR.CRASH_LOOP: _CRASHING,
    MR.MODEL_MISMATCH: Meaning(
        "The model's files say that the engine cannot serve it as the spec asks: heads that cannot be shared out to so many "
        "accelerators, a context beyond the model's, a chat with a model that makes vectors.",
        "Change what the message names: parallelism, context.tokens, task, or the model.",
    ),
    MR.REPLICAS_MISSING: _MISSING,
    MR.ROLLING_OUT: _ROLLING,
    MR.COMPLETION_FAILED: Meaning(
        "The engine is up and did not answer a real completion.", "Read the engine's answer in the message and its log."
    ),
    MR.UNREACHABLE: Meaning(
        "No server with an OpenAI-compatible API answers at the external server's address, as its routers see it.",
        "Check address, key and network path; /-/state of a router has more.",
    ),
    MR.NOT_PROBED: Meaning(
        "An external server is asked by the routers of its namespace, and none routes to it: nothing is known of it.",
        "Create a RoutePolicy whose routes use it.",
    ),
    MR.ADAPTER_REFUSED: Meaning(
        "A running server does not load an adapter, for the reason in the message: its name is not served. The model and its "
        "other adapters are; the server is asked again every half minute.",
        "Correct the adapter's source, or raise vllm.adapterRank; another adapter joins without a restart.",
    ),
    MR.CONTEXT_TOO_LONG: Meaning(
        "context.tokens is more than the model was made for: the server cuts requests off at the model's own length.",
        "Lower context.tokens to what the message names; it takes memory for nothing.",
    ),
    MR.MEMORY_SHORT: Meaning(
        "A model on CPU cores needs more memory than spec.resources.memory: it reads its weights anew from the disk, and may "
        "be ended.",
        "The message says what it needs, and with how much less context it would do.",
    ),
    MR.SITE_TOKEN_NOT_USED: Meaning(
        "The download asks the site's hub and has no token of its own, and the operator's token cannot be given to it.",
        "Name a token in source.huggingFace.tokenSecretRef, or do what the message says.",
    ),
    MR.WITHOUT_EFFECT: Meaning(
        "Fields that shape pods stand in the spec of a server that genset does not run.", "Take them out."
    ),
    MR.IN_USE: _IN_USE,
    MR.WAITS_ITS_TURN: _TURN,
}

ROUTE_POLICY_REASONS: Mapping[RR, Meaning] = {
    RR.ACCEPTED: Meaning("The spec is in effect."),
    RR.INVALID_SPEC: _INVALID,
    RR.NAME_CONFLICT: _CONFLICT,
    RR.PREDECESSOR_LEAVING: _LEAVING,
    RR.APPLY_REJECTED: _REJECTED,
    RR.CONTESTED: _CONTESTED,
    RR.NAMESPACE_TERMINATING: _TERMINATING,
    RR.NAMESPACE_NOT_MANAGED: _UNMANAGED,
    RR.NO_BACKEND_IN_ZONE: Meaning(
        "A route has no backend in the data zones that cluster, namespace, policy and route allow together; it answers 403. "
        "The other routes serve.",
        "Add a backend in an allowed zone to the route, or have the zones widened by whom the message names.",
    ),
    RR.RESOLVED_REFS: Meaning("Everything that the policy names exists."),
    RR.DEPLOYMENT_NOT_FOUND: Meaning(
        "A backend names a ModelDeployment that does not exist. The other backends serve.",
        "Create it in the same namespace, or correct the name.",
    ),
    RR.SECRET_NOT_FOUND: _NO_SECRET,
    RR.SECRET_KEY_NOT_FOUND: _NO_KEY,
    RR.SECRET_KEY_INVALID: _BAD_KEY,
    RR.SECRET_NOT_ALLOWED: _NOT_ALLOWED,
    RR.PROGRAMMED: Meaning("Every running router serves this generation."),
    RR.PENDING: Meaning("Not every router has acknowledged the new configuration yet; they serve the last one."),
    RR.ROUTER_UNREACHABLE: Meaning(
        "A router's admin port does not answer the operator.", "Check NetworkPolicies and the router's log."
    ),
    RR.CONFIG_REJECTED: Meaning(
        "A router refused the configuration and keeps serving the last good one.",
        "Read the message; a router image of another version than the operator's is the usual cause.",
    ),
    RR.NO_ROUTERS: Meaning("No router is ready yet, or none is wanted (spec.router.replicas is 0)."),
    RR.READY: Meaning("The routers serve."),
    RR.STARTING: _STARTING,
    RR.UNSCHEDULABLE: _UNSCHEDULABLE,
    RR.IMAGE_PULL_FAILED: _IMAGE,
    RR.SANDBOX_FAILED: _SANDBOX,
    RR.SIDECAR_NOT_READY: _SIDECAR,
    RR.STARTUP_TIMEOUT: Meaning(
        "A router was ended and started again because it had not started within the time of its start-up probe.",
        "Give it more router.resources.cpu; its log may tell more.",
    ),
    RR.CRASH_LOOP: _CRASHING,
    RR.REPLICAS_MISSING: _MISSING,
    RR.ROLLING_OUT: _ROLLING,
    RR.UNREACHABLE_ROUTE: Meaning(
        "No request reaches a route, or some of the models that it names, because an earlier route takes all of them.",
        "Move the route before the one that the message names, or narrow that one's match.",
    ),
    RR.DUPLICATE_BACKEND: Meaning(
        "A route names a backend in two tiers, so one that has failed is asked again.", "Take it out of one of them."
    ),
    RR.WITHOUT_EFFECT: Meaning(
        "A route sets toCloudOn, coldStart or localShare, and its tiers have nothing that it is about; or egress.proxy is set, "
        "and nothing that the routers ask is behind it.",
        "Take it out, or add what it is about.",
    ),
    RR.UNUSED_BACKEND: Meaning(
        "No route names a backend. What it names need not exist; it is left out as long as that is missing.",
        "Name it in a tier, or remove it.",
    ),
    RR.NAMESPACE_UNREAD: Meaning(
        "The operator may not read the namespace, so what its label genset.dev/data-zones forbids is not known. The policy's "
        "requests stay in zone house.",
        "Let the operator get this namespace, as the chart's roles do.",
    ),
    RR.WAY_OUT_OPEN: Meaning(
        "egress.proxy is set, and routers ask a server elsewhere without it. NetworkPolicies know no names, so they let the "
        "routers reach every address at that server's port.",
        "Name the server by its address, or its network in spec.router.egress.cidrs.",
    ),
    RR.MODEL_RETIRING: Meaning(
        "Answers of a cloud announce the end of its model (Sunset, Deprecation). It is still asked.",
        "Name the model's successor before the day in the message.",
    ),
    RR.PRICE_UNKNOWN: Meaning(
        "Requests to a cloud are counted without a cost, which is neither guessed nor zero: sums leave them out and say so.",
        "Write the provider's price into cloud.price of the backend.",
    ),
    RR.LOCAL_SHARE_MET: Meaning(
        "No route is below its localShare.target, as far as there are enough answers to tell.", ""
    ),
    RR.LOCAL_SHARE_BELOW: Meaning(
        "The house gives less of a route's answers than its localShare.target. Requests are answered all the same.",
        "Look why others answered: genset_router_failovers_total by reason, genset usage --by route,zone; give the house room.",
    ),
    RR.EVERY_LOSS_SURVIVED: Meaning("Whatever single thing is lost, every route is answered, perhaps degraded."),
    RR.LOSS_NOT_SURVIVED: Meaning(
        "A single loss, named in the message, leaves a route nobody who answers.",
        "Give the route a backend that the loss leaves alone, in a later tier; `genset coverage` shows all losses.",
    ),
    RR.PROOF_FRESH: Meaning("Every drill was passed within its maxAgeDays, or is not older than that itself."),
    RR.PROOF_TOO_OLD: Meaning(
        "A drill, named in the message, was not passed for longer than its maxAgeDays: nobody knows that it would be today.",
        "Look at status.drills for what its last run says, and run it: `genset drill run`.",
    ),
    RR.IN_USE: _IN_USE,
    RR.WAITS_ITS_TURN: _TURN,
}

ROUTE_POLICY_OUTAGES: Mapping[RO, Meaning] = {
    RO.EGRESS_DOWN: Meaning(
        "Two or more cloud hosts cannot be reached at all. Every cloud backend is passed over until one can.",
        "Look at the way out: DNS, firewall, egress proxy, NetworkPolicies.",
    ),
    RO.HOUSE_DOWN: Meaning(
        "No model of the house that should run can answer. Requests go to the cloud if the routes let them.",
        "Look at the conditions of the ModelDeployments that the message names.",
    ),
    RO.PROVIDER_SUSPENDED: Meaning(
        "All backends of one account are refused: its key, for want of money, or because it is suspended. Routers have proved it "
        "by requests of their own at two of them.",
        "By the message: renew the key, pay, or ask the provider.",
    ),
    RO.BACKEND_AUTH_FAILED: Meaning(
        "A backend refuses the routers' key, or the account behind it is exhausted (401, 402, 403). It is passed over "
        "for 30 minutes, or until the key changes.",
        "Renew the key in the Secret that the message names; it is noticed by itself.",
    ),
    RO.BACKEND_MODEL_NOT_FOUND: Meaning(
        "A backend does not know the model that the policy asks it for (404). It is passed over for 5 minutes at a time.",
        "Correct the model's name.",
    ),
    RO.MODEL_RETIRED: Meaning(
        "A backend does not know a model any more that has worked, or says that it is retired. It is passed over.",
        "Name the model's successor.",
    ),
}
