"""Every name that genset writes into a cluster stands here, with the reason for it.

Pure constants: imported by every layer. Selector labels are immutable in Deployments, so a name here is
changed only together with a migration.
"""

from __future__ import annotations

GROUP = "genset.dev"  # API group of both resources
VERSION = "v1alpha1"  # the only served and stored version so far
API_VERSION = f"{GROUP}/{VERSION}"
MODEL_DEPLOYMENT = "ModelDeployment"
ROUTE_POLICY = "RoutePolicy"
PLURALS = {MODEL_DEPLOYMENT: "modeldeployments", ROUTE_POLICY: "routepolicies"}

FIELD_MANAGER = "genset"  # owner of the fields of every child in server-side apply
STATUS_FIELD_MANAGER = "genset-status"  # apart from children, so that a status write never claims a child's field
EVENT_COMPONENT = "genset"  # source of Events

# Labels. app.kubernetes.io/* is what dashboards and people read; the genset.dev/* pair is what selects.
LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "genset"  # value of LABEL_MANAGED_BY: the label that watches and LISTs of children select on
LABEL_MODEL_DEPLOYMENT = f"{GROUP}/modeldeployment"  # name of the owning ModelDeployment; immutable selector key
LABEL_ROUTE_POLICY = f"{GROUP}/routepolicy"  # name of the owning RoutePolicy; immutable selector key

LABEL_OPERATOR = f"{GROUP}/operator"  # on the operator's own pods, by the chart: NetworkPolicies let its probes in
OPERATOR = "true"
LABEL_CONSOLE = f"{GROUP}/console"  # on the console's pods, by the chart: NetworkPolicies of routers let it in
CONSOLE = "true"
LABEL_DOWNLOADING = (
    f"{GROUP}/downloading"  # on engine pods until their weights are there: selects the policy of a way out
)
DOWNLOADING = "true"
LABEL_DATA_ZONES = f"{GROUP}/data-zones"  # on namespaces, by their administrator: zones with dots between them
LABEL_MANAGED_NAMESPACE = f"{GROUP}/managed"  # on namespaces, by their administrator: a cluster-wide operator may write
MANAGED_NAMESPACE = "true"
LABEL_CONSUMER = f"{GROUP}/consumer"  # on users' Secrets, by their owners: their values are keys of consumers
CONSUMER = "true"

COMPONENT_ENGINE = "engine"  # pods that serve a model
COMPONENT_WORKER = "worker"  # further pods of a replica that is a group, without an API
COMPONENT_PREFETCH = "prefetch"  # pods that fetch weights ahead
COMPONENT_ROUTER = "router"  # pods of the data plane
COMPONENT_LEDGER = "ledger"  # the pod that keeps what routers write down; the chart makes it
COMPONENT_CONSOLE = "console"  # the pages for people; the chart makes its pod
COMPONENT_OPERATOR = "operator"  # the control plane's own pods (set by the chart)

# Annotations
ANNOTATION_DESIRED_HASH = (
    f"{GROUP}/desired-hash"  # sha256 of what was applied last: a field that is no longer wanted changes it
)
ANNOTATION_TEMPLATE_HASH = f"{GROUP}/template-hash"  # on Deployments of release 0.1.0, which reads it after a rollback
ANNOTATION_PODS = f"{GROUP}/pods"  # which release has made the pods, and of what (desired.kept)
ANNOTATION_ROLL = f"{GROUP}/roll"  # on both resources, by users, and on their pods: another value makes these new
ANNOTATION_DRILL = f"{GROUP}/drill"  # on policies, by users: a drill to run now, NAME.WORD; another word asks anew
ANNOTATION_OPERATOR = f"{GROUP}/operator"  # NAMESPACE/NAME of the Lease of the operator that wrote a child last
ANNOTATION_CONFIG_HASH = (
    f"{GROUP}/config-hash"  # on running router pods: makes the kubelet refresh the mounted volume at once
)
ANNOTATION_WEIGHTS_HASH = f"{GROUP}/weights-hash"  # on engine pod templates: a changed source rolls the pods
ANNOTATION_ADAPTERS = f"{GROUP}/adapters"  # on engine pods: the list of adapters that they have been told of
ANNOTATION_ALLOW_HOSTS = f"{GROUP}/allow-hosts"  # on users' Secrets: where their values may be sent

ANNOTATION_CONSUMER_NAME = (
    f"{GROUP}/consumer-name"  # on Secrets that are consumers: what it is called, if not as the Secret
)
ANNOTATION_CONSUMER_TEAM = f"{GROUP}/consumer-team"  # on the same: whose it is

ANNOTATION_ID_RANGE = "openshift.io/sa.scc.uid-range"  # on namespaces of OpenShift, by it: as whom pods may run there

# Ports. Containers listen above 1024 because they run as a non-root user.
ENGINE_PORT = 8080  # engine's HTTP API in its pod
ENGINE_PORT_NAME = "http"
LISTEN_VARIABLE = "LISTEN_ADDRESS"  # of engine containers: the address that their arguments name as $(LISTEN_ADDRESS)
WEIGHTS_PORT = 9432  # progress of the weights puller (init container), read by the operator
ROUTER_PORT = 8080  # OpenAI API in the router's pod
ROUTER_PORT_NAME = "http"
ROUTER_ADMIN_PORT = 9090  # /-/healthy /-/ready /-/config /-/state /metrics; never on the client Service
ROUTER_ADMIN_PORT_NAME = "admin"
ROUTER_SUFFIX = "-router"  # behind a RoutePolicy's name: its Deployment, Service and what goes with them
SERVICE_PORT = 80  # what clients dial on both Services
SERVICE_TLS_PORT = 443  # and on the router's with router.tls
OPERATOR_HEALTH_PORT = 8081  # /healthz and /readyz of the operator
LEDGER_PORT = 8090  # what routers send to, and people ask by a port-forward
LEDGER_METRICS_PORT = 9090  # /metrics of the ledger
CONSOLE_PORT = 8095  # the console's pages
CONSOLE_AUDIENCE = "genset-console"  # of tokens that are good for the console alone
OPERATOR_METRICS_PORT = 9090  # /metrics of the operator

# Containers
ENGINE_CONTAINER = "engine"
WEIGHTS_CONTAINER = "weights"
ROUTER_CONTAINER = "router"
ADAPTERS_CONTAINER = "adapters"  # beside an engine: has it load and unload adapters while it runs
#: All that genset makes; every other one in its pods is somebody else's, e.g. the sidecar of a mesh.
CONTAINERS = frozenset((ENGINE_CONTAINER, WEIGHTS_CONTAINER, ROUTER_CONTAINER, ADAPTERS_CONTAINER))

# Paths inside our pods
MODELS_DIR = "/models"  # weights volume of engine pods
LEDGER_DIR = "/var/lib/genset"  # the ledger's volume
LEDGER_KEY_FILE = "/etc/genset/ledger/key"  # of the tokens that the ledger takes
ANNOTATION_LEDGER_SECRET = "genset.dev/ledger-secret"  # on the ledger's Service: where its key is
LEDGER_SECRET_KEY = "key"  # under which the ledger's Secret has it
CONSOLE_LEDGER_TOKEN_FILE = "/etc/genset/ledger/token"  # of a reader, which an init container makes of the ledger's key
ROUTER_SPOOL_DIR = "/tmp/genset-spool"  # of egress records; lives as long as its pod, whatever becomes of the process
ROUTER_CONFIG_DIR = "/etc/genset/config"  # ConfigMap, mounted whole (a subPath mount is never refreshed)
ROUTER_CONFIG_FILE = "router.json"
ROUTER_CREDENTIALS_DIR = "/etc/genset/credentials"  # Secret, mounted whole
ROUTER_IDENTITY_DIR = "/etc/genset/identity"
ROUTER_IDENTITY_FILE = "token"
RUN_AS_USER = 65532  # "nonroot" of the distroless images; any non-zero uid works

LEASE_NAME = "genset-operator"  # leader election, in the operator's own namespace
