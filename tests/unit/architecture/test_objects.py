"""The size and the names of objects: what has many attributes is several things, and who sets them from outside owns
them, too.

The tables are exact, so that they cannot grow unseen, and become shorter when somebody tidies up.
"""

from __future__ import annotations

from collections import Counter

from tests.support.source import attributes_with_bases, classes, set_from_outside

MOST = 14  # about a dozen

#: Classes with more, and why.
LARGE = {
    "ModelDeploymentObserved": (15, "the world as far as one resource goes: each is one look at it"),
    "RoutePolicyObserved": (15, "the same of the other resource"),
    "RoutePolicyContext": (15, "facts that the shell has read for one pass, each by itself"),
    "Options": (17, "what the command line said, read once and never set again"),
    "Facts": (15, "what a request was when it came, written once and never changed"),
    "Record": (30, "one flat object of what is known of a request; whoever reads it reads most of it"),
    "BackendConfig": (15, "the document's word on one backend, one attribute for each of its fields"),
    "Provider": (19, "the values of one provider, written once in its file"),
    "Target": (25, "a configuration's values, read once and never set again"),
    "Cloud": (16, "a block of the resource, one attribute for each of its fields"),
    "Settings": (23, "the operator's own, read once and never set again"),
    "RouterConfig": (19, "the document that a router reads, one attribute for each of its blocks"),
    "ModelDeploymentStatus": (15, "a resource's status: each is something that users read"),
    "RoutePolicyStatus": (17, "a resource's status: each is something that users read"),
    "RouterSpec": (16, "a block of the resource, one attribute for each of its fields"),
    "Shared": (16, "what all requests of a router have in common, one part each"),
    "Session": (15, "what the controllers share, one part each, put together in one place"),
    "EgressEntry": (17, "one line of the egress record, as people and ledgers read it"),
    "UsageAttempt": (22, "one attempt in a line of the usage spool, as routers and the ledger have it"),
    "UsageRecord": (18, "one line of the usage spool, as routers and the ledger have it"),
    "Route": (21, "a configuration's values, read once and never set again"),
    "MatchShape": (19, "a block of the resource, one attribute for each of its fields"),
    "FetchSpec": (17, "a command line: each is a flag"),
    "ModelDeploymentSpec": (23, "a resource's spec: each is a block that users write"),
    "AdminConnection": (15, "one connection, its parser and its times"),
    "FleetRow": (17, "a line of a page: each is a cell"),
    "RequestTrail": (16, "a request as its page shows it: each is a fact"),
    "_Partial": (16, "one download, which resumes from any of them"),
}
#: Names that several classes bear, because they are one thing: as it is declared and as it is at work, of each resource,
#: of each program.
ONE_THING = {"Backend", "ConditionType", "Metrics", "Proxy", "Reason", "Route", "Task"}
#: The operator's and the router's counters are named one by one where they are shown.
COUNTERS = {"Metrics"}


def test_no_class_grows_beyond_a_dozen_attributes_unseen() -> None:
    found = {}
    for one in classes():
        count = len(attributes_with_bases(one))
        if count > MOST and one.name not in COUNTERS:
            found[one.name] = count
    assert found == {name: count for name, (count, _) in LARGE.items()}


def test_nobody_sets_what_belongs_to_another_room() -> None:
    assert set_from_outside() == {}


def test_one_word_names_one_thing() -> None:
    """Apart from classes that only their own file sees."""
    counted = Counter(one.name for one in classes() if not one.name.startswith("_"))
    assert {name for name, times in counted.items() if times > 1} == ONE_THING
