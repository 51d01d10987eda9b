"""RoutePolicies by their routes."""

from __future__ import annotations

from tests.crds.cases.case import RP, Case, balanced, policy, route, tier

_NOTHING_FULL = (
    "whenFull Wait needs balancing.maxInFlightPerEndpoint on a backend of the route: without a bound none is full"
)

_NO_ZONE = (
    "a route has no backend in its data zones, so that it could answer nothing: add a backend whose dataZone is one of"
)

ROUTES = [
    Case("a route that holds", RP, route(coldStart={"mode": "Hold", "seconds": 120})),
    Case("a route that bridges, as it comes", RP, route(coldStart={})),
    Case("a cold start of no known kind", RP, route(coldStart={"mode": "Wait"}),
         'Unsupported value: "Wait": supported values: "Bridge", "Hold"', "Input should be 'Bridge' or 'Hold'"),
    Case("a cold start without time", RP, route(coldStart={"seconds": 0}),
         "coldStart.seconds in body should be greater than or equal to 1", "greater than or equal to 1"),
    Case("a route for the rest", RP, policy(routes=[
        {"name": "a", "match": {"models": ["a"]}, "tiers": [tier("house")]}, {"name": "b", "tiers": [tier("frontier")]},
    ])),
    Case("a local share", RP, route(localShare={"target": 80})),
    Case("a local share of a week", RP, route(localShare={"target": 100, "window": "Week"})),
    Case("a local share of no answers", RP, route(localShare={"target": 0}),
         "localShare.target in body should be greater than or equal to 1", "greater than or equal to 1"),
    Case("a local share of more than all", RP, route(localShare={"target": 101}),
         "localShare.target in body should be less than or equal to 100", "less than or equal to 100"),
    Case("a local share of a month", RP, route(localShare={"target": 80, "window": "Month"}),
         'Unsupported value: "Month": supported values: "Hour", "Day", "Week"', "Input should be 'Hour', 'Day' or 'Week'"),
    Case("a local share without a target", RP, route(localShare={"window": "Day"}),
         "localShare.target: Required value", "Field required"),
    Case("no routes", RP, policy(routes=[]), "spec.routes in body should have at least 1 items", "at least 1 item"),
    Case("no tiers", RP, route(tiers=[]),
         "spec.routes[0].tiers in body should have at least 1 items", "at least 1 item"),
    Case("a star in the middle of a name", RP, route(match={"models": ["a*b"]}),
         "spec.routes[0].match.models[0] in body should match", "String should match pattern"),
    Case("no attempts", RP, route(failover={"maxAttempts": 0}),
         "maxAttempts in body should be greater than or equal to 1", "greater than or equal to 1"),
    Case("two routes of one name", RP, policy(routes=[
        {"name": "a", "tiers": [tier("house")]}, {"name": "a", "tiers": [tier("frontier")]},
    ]), 'spec.routes[1]: Duplicate value: {"name":"a"}', "routes holds 'a' twice"),
    Case("a backend twice in a tier", RP, route(tiers=[tier("house", "house")]),
         'spec.routes[0].tiers[0].backends[1]: Duplicate value: {"name":"house"}', "backends holds 'house' twice"),
    Case("a header twice in letters of another size", RP,
         route(match={"headers": [{"name": "x-a", "value": "1"}, {"name": "X-A", "value": "2"}]}),
         "match.headers: a name stands there twice"),
    Case("a header with a blank behind it", RP, route(match={"headers": [{"name": "a", "value": "gold "}]}),
         "spec.routes[0].match.headers[0].value in body should match", "String should match pattern"),
    Case("a header that is one blank", RP, route(match={"headers": [{"name": "a", "value": " "}]}),
         "spec.routes[0].match.headers[0].value in body should match", "String should match pattern"),
    Case("a header with a tab before it", RP, route(match={"headers": [{"name": "a", "value": "\tgold"}]}),
         "spec.routes[0].match.headers[0].value in body should match", "String should match pattern"),
    Case("a header with a control character", RP, route(match={"headers": [{"name": "a", "value": "go\x01ld"}]}),
         "spec.routes[0].match.headers[0].value in body should match", "String should match pattern"),
    Case("a header of several words", RP, route(match={"headers": [{"name": "a", "value": "go ld\té"}]})),
    Case("a header twice", RP, route(match={"headers": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}),
         'spec.routes[0].match.headers[1]: Duplicate value: {"name":"a"}', "headers holds 'a' twice"),
    Case("a model twice", RP, route(match={"models": ["a", "a"]}),
         'spec.routes[0].match.models[1]: Duplicate value: "a"', "models holds 'a' twice"),
    Case("a tier that names an unknown backend", RP, route(tiers=[tier("hose")]),
         "every backend of a tier must be one of spec.backends: correct the name, or add the backend"),
    Case("a first token after the end", RP, route(failover={"firstTokenSeconds": 20, "totalSeconds": 10}),
         "failover.firstTokenSeconds cannot exceed totalSeconds"),
    Case("a first token after the end by default", RP, route(failover={"firstTokenSeconds": 601}),
         "failover.firstTokenSeconds cannot exceed totalSeconds"),
    Case("a stall after the end", RP, route(failover={"stallSeconds": 20, "totalSeconds": 10}),
         "failover.stallSeconds cannot exceed totalSeconds"),
    Case("a route that stays in the house", RP, route(dataZones=["house"])),
    Case("a route in no zone", RP, route(dataZones=[]),
         "spec.routes[0].dataZones in body should have at least 1 items", "at least 1 item"),
    Case("a zone in capitals", RP, route(dataZones=["EU"]),
         "spec.routes[0].dataZones[0] in body should match", "String should match pattern"),
    Case("a zone twice", RP, route(dataZones=["eu", "eu"]),
         'spec.routes[0].dataZones[1]: Duplicate value: "eu"', "dataZones holds 'eu' twice"),
    Case("a route that none of its backends may answer", RP, route(dataZones=["eu"]), _NO_ZONE),
    Case("a cloud is of the world unless it is told", RP, policy(routes=[
        {"name": "all", "tiers": [tier("frontier")], "dataZones": ["world"]},
    ])),
    Case("a policy and a route that share no zone", RP, policy(
        dataZones=["world"], routes=[{"name": "all", "tiers": [tier("house", "frontier")], "dataZones": ["house"]}],
    ), _NO_ZONE),
    Case("a policy that one of its routes cannot keep", RP, policy(dataZones=["house"], routes=[
        {"name": "a", "match": {"models": ["a"]}, "tiers": [tier("house")]}, {"name": "b", "tiers": [tier("frontier")]},
    ]), _NO_ZONE),
    Case("a route that looks for what is sensitive", RP, route(sensitive={
        "detect": ["iban", "creditCard", "email", "phone", "taxId", "nationalId", "privateKey"], "countries": ["DE"],
        "patterns": [{"name": "case-number", "regex": r"AZ-\d{6}"}], "then": "Refuse",
    })),
    Case("a route that looks for nothing", RP, route(sensitive={"then": "House"}), "sensitive looks for nothing"),
    Case("a kind that nobody can find", RP, route(sensitive={"detect": ["secrets"]}),
         'Unsupported value: "secrets"', "Input should be 'iban'"),
    Case("a pattern that is none", RP, route(sensitive={"patterns": [{"name": "a", "regex": "(a"}]}),
         "missing closing )", "sensitive.patterns[a].regex cannot be used: missing )"),
    Case("a pattern that looks back", RP, route(sensitive={"patterns": [{"name": "a", "regex": r"(a)\1"}]}),
         "invalid escape sequence", "invalid escape sequence"),
    Case("a pattern that is everywhere", RP, route(sensitive={"patterns": [{"name": "a", "regex": "a*"}]}),
         "sensitive.patterns: a regex matches the empty text", "it matches the empty text"),
    Case("countries for nothing", RP, route(sensitive={"detect": ["iban"], "countries": ["DE"]}),
         "sensitive.countries needs phone, taxId or nationalId in detect"),
    Case("a route that waits for what is never full", RP, balanced("Wait"), _NOTHING_FULL),
    Case("an unknown word for full", RP, balanced("Refuse", maxInFlightPerEndpoint=1),
         'supported values: "NextTier", "Wait"', "Input should be 'NextTier' or 'Wait'"),
]  # fmt: skip
