"""The table of what single losses do to a route."""

from __future__ import annotations

from genset.continuity.coverage import Survival
from tests.unit.continuity.cases import (
    CLOUD,
    HOUSE,
    Case,
    account,
    cloud,
    down,
    house,
    node,
    resting,
    route,
    world,
    zone,
)

S, D, L = Survival.SURVIVES, Survival.DEGRADED, Survival.LOST

_ONE_CLOUD = world(cloud("a"), routes=[route("a")])
_ONE_HOUSE = world(house("h"), routes=[route("h")])
_CLOUD_FIRST = world(cloud("a"), house("h"), routes=[route("a > h")])
_HOUSE_FIRST = world(cloud("a"), house("h"), routes=[route("h > a")])
_TWO_CLOUDS = world(cloud("a", zone="eu"), cloud("b", zone="us"), routes=[route("a b")])
_ONE_ACCOUNT = world(cloud("a", "x"), cloud("b", "x"), house("h"), routes=[route("a > b > h")])
_TWO_ACCOUNTS = world(cloud("a", "x"), cloud("b", "y"), routes=[route("a > b")])
_TWO_NODES = world(house("h", "n1 n2", 50.0), routes=[route("h", 80.0)])
_SEES = world(cloud("a"), house("h", lacks="vision audio"), routes=[route("h > a")])
_SMALL = world(cloud("a"), house("h", context_tokens=8192), routes=[route("a > h")])
_BARRED = world(cloud("a"), house("h"), routes=[route("h > a", only="Full Cold")])

SIDES = [
    Case("the only cloud, without a way out", _ONE_CLOUD, CLOUD, L, why="no backend but a"),
    Case("a policy of clouds has no house to lose", _ONE_CLOUD, HOUSE, None),
    Case("the only model of the house", _ONE_HOUSE, HOUSE, L, why="no backend but h"),
    Case("a policy of the house needs no way out", _ONE_HOUSE, CLOUD, None),
    Case("cloud first: the house stands in", _CLOUD_FIRST, CLOUD, D, 2, why="tier 2 (h) stands in for tier 1"),
    Case("cloud first: without the house", _CLOUD_FIRST, HOUSE, S, 1),
    Case("house first: the cloud stands in", _HOUSE_FIRST, HOUSE, D, 2, why="tier 2 (a) stands in for tier 1"),
    Case("house first: without a way out", _HOUSE_FIRST, CLOUD, S, 1),
    Case("two in one tier, one stays", world(cloud("a"), house("h"), routes=[route("a h")]), CLOUD, S, 1),
    Case("two in one tier, the other stays", world(cloud("a"), house("h"), routes=[route("a h")]), HOUSE, S, 1),
    Case("three tiers, the first two gone", world(cloud("a"), cloud("b"), house("h"), routes=[route("a > b > h")]),
         CLOUD, D, 3, why="tier 3 (h)"),
    Case("three tiers, the middle one gone", world(cloud("a"), cloud("b"), house("h"), routes=[route("a > h > b")]),
         HOUSE, S, 1),
    Case("a server of the house elsewhere goes with the house", world(house("h", ""), routes=[route("h")]), HOUSE, L),
    Case("another site of the house is a cloud to the way out",
         world(house("h"), cloud("site", zone="house"), routes=[route("h > site")]), HOUSE, D, 2),
    Case("and its zone can be lost, too", world(house("h"), cloud("site", zone="house"), routes=[route("h > site")]),
         zone("house"), L),
]  # fmt: skip

ACCOUNTS = [
    Case("the account of the only cloud", _ONE_CLOUD, account("a"), L),
    Case("two clouds of one account, the house behind them", _ONE_ACCOUNT, account("x"), D, 3),
    Case("two clouds of two accounts: the first", _TWO_ACCOUNTS, account("x"), D, 2),
    Case("two clouds of two accounts: the second", _TWO_ACCOUNTS, account("y"), S, 1),
    Case("two accounts in one tier", _TWO_CLOUDS, account("a"), S, 1),
    Case("two clouds of one account and nobody else", world(cloud("a", "x"), cloud("b", "x"), routes=[route("a > b")]),
         account("x"), L, why="no backend but a, b"),
    Case("an account that this route does not use",
         world(cloud("a"), cloud("b"), routes=[route("a"), route("b", name="other")]), account("b"), None),
    Case("one that another route uses, too",
         world(cloud("a"), cloud("b"), routes=[route("a > b"), route("b", name="other")]), account("b"), S, 1),
    Case("the account of the cloud behind the house", _HOUSE_FIRST, account("a"), S, 1),
]  # fmt: skip

ZONES = [
    Case("two zones in one tier: the first", _TWO_CLOUDS, zone("eu"), S, 1),
    Case("two zones in one tier: the second", _TWO_CLOUDS, zone("us"), S, 1),
    Case("both clouds in one zone", world(cloud("a", zone="eu"), cloud("b", zone="eu"), routes=[route("a > b")]),
         zone("eu"), L),
    Case("one zone, the house behind it", world(cloud("a", zone="eu"), house("h"), routes=[route("a > h")]),
         zone("eu"), D, 2),
    Case("a zone that the route does not use",
         world(cloud("a", zone="eu"), cloud("b", zone="us"), routes=[route("a"), route("b", name="other")]), zone("us"), None),
    Case("one account in two zones: the zone alone",
         world(cloud("a", "x", "eu"), cloud("b", "x", "us"), routes=[route("a > b")]), zone("eu"), D, 2),
    Case("one account in two zones: the account",
         world(cloud("a", "x", "eu"), cloud("b", "x", "us"), routes=[route("a > b")]), account("x"), L),
    Case("the house's zone is no loss of its own without a cloud in it", _HOUSE_FIRST, zone("house"), None),
]  # fmt: skip

NODES = [
    Case("the only node", _ONE_HOUSE, node("n1"), L),
    Case("one node of two that were both needed", _TWO_NODES, node("n1"), D, 1, percent=62, why="62 % of the tokens"),
    Case("one node of two, and the other is enough", world(house("h", "n1 n2", 100.0), routes=[route("h", 80.0)]),
         node("n2"), S, 1, percent=125),
    Case("one node of two, nothing measured", world(house("h", "n1 n2"), routes=[route("h", 80.0)]), node("n1"), S, 1),
    Case("one node of two, no load known", world(house("h", "n1 n2", 50.0), routes=[route("h")]), node("n1"), S, 1),
    Case("one node of two, nobody asked", world(house("h", "n1 n2", 50.0), routes=[route("h", 0.0)]), node("n1"), S, 1),
    Case("the only node, a cloud behind it", _HOUSE_FIRST, node("n1"), D, 2),
    Case("the only node, a cloud before it", _CLOUD_FIRST, node("n1"), S, 1),
    Case("a node with another route's model",
         world(house("h"), house("g", "n2"), routes=[route("h"), route("g", name="other")]), node("n2"), None),
    Case("two models on one node", world(house("h"), house("g"), routes=[route("h > g")]), node("n1"), L),
    Case("two models on two nodes", world(house("h"), house("g", "n2"), routes=[route("h > g")]), node("n1"), D, 2),
    Case("the node of every router", world(cloud("a"), routes=[route("a")], routers="n9"), node("n9"), L,
         why="every router of the policy is on node n9"),
    Case("one router's node of two", world(cloud("a"), routes=[route("a")], routers="n8 n9"), node("n9"), None),
    Case("a node with model and every router, a cloud behind",
         world(house("h"), cloud("a"), routes=[route("h > a")], routers="n1"), node("n1"), L),
    Case("a node with model and one router of two",
         world(house("h"), cloud("a"), routes=[route("h > a")], routers="n1 n2"), node("n1"), D, 2),
    Case("a server elsewhere is on no node", world(house("h", ""), house("g"), routes=[route("h > g")]), node("n1"), S, 1),
]  # fmt: skip

ABILITIES = [
    Case("pictures went to the cloud behind", _SEES, CLOUD, D, 1, ("audio", "vision"), why="nobody left has audio, vision"),
    Case("the house that sees nothing is lost", _SEES, HOUSE, D, 2),
    Case("tools are gone with the cloud", world(cloud("a"), house("h", lacks="tools"), routes=[route("a > h")]),
         CLOUD, D, 2, ("tools",)),
    Case("tools that nobody had", world(cloud("a", lacks="tools"), house("h", lacks="tools"), routes=[route("a > h")]),
         CLOUD, D, 2),
    Case("another cloud of the tier sees, too",
         world(cloud("a", zone="eu"), cloud("b", zone="us"), house("h", lacks="vision"), routes=[route("a b > h")]),
         zone("eu"), S, 1),
    Case("the second cloud sees nothing", world(cloud("a"), cloud("b", lacks="vision"), routes=[route("a b")]),
         account("a"), D, 1, ("vision",)),
    Case("long prompts went to the cloud", _SMALL, CLOUD, D, 2, ("context",)),
    Case("the small house goes", _SMALL, HOUSE, S, 1),
    Case("the larger of two", world(house("h", context_tokens=32768), house("g", "n2", context_tokens=8192),
                                    routes=[route("h g")]), node("n1"), D, 1, ("context",)),
    Case("two of one size", world(house("h", context_tokens=8192), house("g", "n2", context_tokens=8192),
                                  routes=[route("h g")]), node("n1"), S, 1),
    Case("what may not leave the house", world(cloud("a"), house("h"), routes=[route("h > a", sensitive=True)]),
         HOUSE, D, 2, ("sensitive",)),
    Case("what may not leave the house, without a way out",
         world(cloud("a"), house("h"), routes=[route("h > a", sensitive=True)]), CLOUD, S, 1),
]  # fmt: skip

TO_CLOUD_ON = [
    Case("the house may not be left when it is gone", _BARRED, HOUSE, L, why="failover.toCloudOn keeps requests from a"),
    Case("nor when its node is", _BARRED, node("n1"), L, why="toCloudOn"),
    Case("but without a way out nothing changes", _BARRED, CLOUD, S, 1),
    Case("a cloud before the house is not barred",
         world(cloud("a"), house("h"), cloud("b"), routes=[route("a > h > b", only="")]), HOUSE, S, 1),
    Case("the second model of the house stands in",
         world(house("h"), house("g", "n2"), cloud("a"), routes=[route("h > a > g", only="")]), node("n1"), D, 3),
    Case("a resting model that bars", world(resting("h"), cloud("a"), routes=[route("h > a", only="Unreachable")]),
         account("a"), S, 1),
    Case("a resting model that lets pass, and the cloud goes", world(resting("h"), cloud("a"), routes=[route("h > a")]),
         account("a"), S, 1),
]  # fmt: skip

STATES = [
    Case("a house at rest has to wake", world(cloud("a"), resting("h"), routes=[route("a > h")]), CLOUD, D, 2,
         why="h rests, and has to wake first"),
    Case("a house that is down already stands in for nobody", world(cloud("a"), down(house("h")), routes=[route("a > h")]),
         CLOUD, L, why="h is down already"),
    Case("a cloud that is down already", world(down(cloud("a")), house("h"), routes=[route("a > h")]), HOUSE, L,
         why="a is down already"),
    Case("nobody answers even now", world(down(cloud("a")), down(house("h")), routes=[route("a > h")]), node("n1"), None),
    Case("the cloud is down: the house goes on in its tier", world(down(cloud("a")), house("h", "n1 n2"),
                                                                   routes=[route("a > h")]), node("n1"), S, 2),
    Case("at rest on no node", world(cloud("a"), resting("h"), routes=[route("a > h")]), node("n1"), None),
    Case("the loss of what is down already", world(down(cloud("a")), house("h"), routes=[route("a > h")]), account("a"), None),
]  # fmt: skip

CAPACITY = [
    Case("the house is too slow for the cloud's load", world(cloud("a"), house("h", "n1", 20.0),
                                                             routes=[route("a > h", 80.0)]), CLOUD, D, 2, percent=25),
    Case("the house is fast enough", world(cloud("a"), house("h", "n1", 200.0), routes=[route("a > h", 80.0)]),
         CLOUD, D, 2, percent=250),
    Case("a percentage that says nothing more", world(cloud("a"), house("h", "n1", 2e6), routes=[route("a > h", 1.0)]),
         CLOUD, D, 2, percent=999),
    Case("two routes come to one house", world(cloud("a"), house("h", "n1", 100.0),
                                              routes=[route("a > h", 80.0), route("a > h", 120.0, name="other")]),
         CLOUD, D, 2, percent=50),
    Case("the other route has another house", world(cloud("a"), house("h", "n1", 100.0), house("g", "n2", 100.0),
                                                    routes=[route("a > h", 80.0), route("a > g", 120.0, name="other")]),
         CLOUD, D, 2, percent=125),
    Case("a cloud that is left has no bound", world(cloud("a"), cloud("b"), house("h", "n1", 1.0),
                                                   routes=[route("a > b > h", 80.0)]), account("a"), D, 2),
    Case("half of the house is not measured", world(cloud("a"), house("h", "n1", 10.0), house("g", "n2"),
                                                    routes=[route("a > h g", 80.0)]), CLOUD, D, 2),
    Case("two tiers of the house work together", world(cloud("a"), house("h", "n1", 50.0), house("g", "n2", 50.0),
                                                       routes=[route("a > h > g", 100.0)]), CLOUD, D, 2, percent=100),
]  # fmt: skip

TABLE = [*SIDES, *ACCOUNTS, *ZONES, *NODES, *ABILITIES, *TO_CLOUD_ON, *STATES, *CAPACITY]
