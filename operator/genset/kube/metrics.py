"""Every metric of the operator stands here, in one registry per process.

A value object without behaviour: the layers count what they do, the scrape endpoint reads.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics' names and labels are part of the product: dashboards and alerts depend on them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        ProcessCollector(registry=r)
        PlatformCollector(registry=r)
        GCCollector(registry=r)
        self.reconciles = Counter("genset_reconcile", "Reconciles, by outcome.", ["kind", "result"], registry=r)
        self.reconcile_seconds = Histogram(
            "genset_reconcile_duration_seconds", "Time of one reconcile.", ["kind"], buckets=_SECONDS, registry=r
        )
        self.depth = Gauge("genset_workqueue_depth", "Keys that wait for a worker.", registry=r)
        self.delayed = Gauge("genset_workqueue_delayed", "Keys that wait for their time.", registry=r)
        self.running = Gauge("genset_workqueue_running", "Keys in work.", registry=r)
        self.retries = Counter("genset_workqueue_retries", "Reconciles that failed and come again.", registry=r)
        self.wait_seconds = Histogram(
            "genset_workqueue_wait_seconds", "Time of a key between due and in work.", buckets=_SECONDS, registry=r
        )
        self.applies = Counter("genset_apply", "Writes of children and status.", ["kind", "verb"], registry=r)
        self.events = Counter("genset_events", "Kubernetes Events, by outcome.", ["result"], registry=r)
        self.api_requests = Counter(
            "genset_api_requests", "Requests to the API server.", ["method", "code"], registry=r
        )
        self.probes = Counter(
            "genset_probe", "Probes of engines, routers and pullers.", ["probe", "result"], registry=r
        )
        self.watch_events = Counter("genset_watch_events", "Events seen by the watches.", ["kind"], registry=r)
        self.resyncs = Counter("genset_resync", "Full resyncs.", ["result"], registry=r)
        self.scalings = Counter("genset_autoscaling", "Deployments woken and put to rest.", ["event"], registry=r)
        self.leader = Gauge("genset_leader", "1 while this process leads.", registry=r)
        self.serving = Gauge(
            "genset_serving",
            "1 while this process watches and reconciles; 0 of a leader: statuses are stale.",
            registry=r,
        )
        self.unserved = Gauge(
            "genset_unserved_namespaces",
            "Namespaces to be served that cannot be watched: rights or CRDs lack.",
            registry=r,
        )
        self.model_deployments = Gauge(
            "genset_model_deployments",
            "ModelDeployments by engine, classes of their models (empty while not known), and whether they are Ready.",
            ["engine", "size_class", "speed_class", "ready"],
            registry=r,
        )
        self.outages = Gauge(
            "genset_outages",
            "Outages that a policy's status tells, by scope: Cloud, House, Node, Provider, Backend, Ledger. None: no row.",
            ["namespace", "policy", "scope"],
            registry=r,
        )
        self.coverage = Gauge(
            "genset_coverage_losses",
            "Single losses by what they do to a route: Survives, Degraded, Lost.",
            ["namespace", "policy", "route", "outcome"],
            registry=r,
        )
        self.drill_seconds = Gauge(
            "genset_drill_last_seconds",
            "What the last run of a drill has measured: detection, first_byte_p50, first_byte_p99, rto, give_back.",
            ["namespace", "policy", "drill", "what"],
            registry=r,
        )
        self.drill_lost = Gauge(
            "genset_drill_last_lost",
            "Requests that the last run of a drill lost, or answered in part.",
            ["namespace", "policy", "drill"],
            registry=r,
        )
        self.drill_good = Gauge(
            "genset_drill_last_passed_timestamp_seconds",
            "When the last run of a drill ended that was passed.",
            ["namespace", "policy", "drill"],
            registry=r,
        )
        self.conditions = Gauge(
            "genset_resource_condition",
            "1 for each condition of a ModelDeployment or RoutePolicy, with its status (True, False, Unknown) and reason.",
            ["namespace", "kind", "name", "condition", "status", "reason"],
            registry=r,
        )
        self.house_cost = Gauge(
            "genset_house_cost_per_hour",
            "What the replicas of a ModelDeployment cost the house for an hour, asked or not, by spec.price.",
            ["namespace", "deployment", "currency"],
            registry=r,
        )
        self.bundle_created = Gauge(
            "genset_bundle_created_timestamp_seconds",
            "When the bundle was made that this site was made from.",
            ["digest"],
            registry=r,
        )
        self.local_share = Gauge(
            "genset_local_share_ratio",
            "What the house gave of a route's whole answers in the window of its localShare, from 0 to 1.",
            ["namespace", "policy", "route"],
            registry=r,
        )
        self.local_share_target = Gauge(
            "genset_local_share_target_ratio",
            "What the house should give of a route's answers, by its localShare.target.",
            ["namespace", "policy", "route"],
            registry=r,
        )
        self.programming_seconds = Histogram(
            "genset_routepolicy_programming_seconds",
            "Time from a changed configuration to the last router that serves it.",
            buckets=_SECONDS,
            registry=r,
        )
