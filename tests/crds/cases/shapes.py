"""RoutePolicies by what their routes say of the shape of requests."""

from __future__ import annotations

from typing import Any

from tests.crds.cases.case import RP, Case, Spec, route


def shaped(**shape: Any) -> Spec:
    return route(match={"models": ["m"], "shape": shape})


_EMPTY_RANGE = "match.shape: a range is empty: give it atLeast, atMost or both, or take it out"

SHAPES = [
    Case("a shape of everything", RP, shaped(
        task=["Classify", "Extract"],
        promptTokens={"atMost": 4000}, answerTokens={"atLeast": 1, "atMost": 500},
        turns={"atMost": 2}, tools={"atMost": 0}, forcedTool=False, openToolLoop=False,
        images={"atMost": 0}, audio={"atMost": 0}, files={"atMost": 0},
        schema=True, enumsOnly=True, schemaFields={"atMost": 3}, schemaDepth={"atMost": 1}, codePercent={"atMost": 10},
        questions={"atMost": 1}, systemWords={"atMost": 200}, languages=["de", "fr"],
        time={"from": "22:00", "until": "06:00", "days": ["Mon", "Tue"], "timeZone": "Europe/Berlin"})),
    Case("a shape of whole days", RP, shaped(time={"days": ["Sat", "Sun"]})),
    Case("a shape that says nothing", RP, shaped(), "match.shape is empty: say what requests look like, or take it out"),
    Case("a shape with an empty range", RP, shaped(turns={}), _EMPTY_RANGE),
    Case("a shape with a range of nothing", RP, shaped(turns={"atLeast": 3, "atMost": 2}),
         "match.shape: atLeast of a range is more than its atMost, so that no request is in it"),
    Case("a shape with a negative number", RP, shaped(turns={"atLeast": -1}),
         "shape.turns.atLeast in body should be greater than or equal to 0", "greater than or equal to 0"),
    Case("a shape of a task that nobody knows", RP, shaped(task=["Poem"]),
         'Unsupported value: "Poem": supported values: "Classify", "Extract", "Summarise", "Translate", "Code", "Reason", '
         '"Converse", "Agent"', "Input should be 'Classify'"),
    Case("a shape of a language in capitals", RP, shaped(languages=["DE"]),
         "shape.languages[0]", "String should match pattern"),
    Case("a shape with a time without an end", RP, shaped(time={"from": "22:00"}),
         "match.shape.time: from and until belong together: give both, or neither for whole days"),
    Case("a shape with a time of nothing", RP, shaped(time={"timeZone": "Europe/Berlin"}),
         "match.shape.time says nothing: give from and until, days, or all of them"),
    Case("a shape with a time that ends when it begins", RP, shaped(time={"from": "06:00", "until": "06:00"}),
         "match.shape.time: from is until: for whole days take both out"),
    Case("a shape with a time that no clock shows", RP, shaped(time={"from": "24:00", "until": "06:00"}),
         "shape.time.from in body should match", "String should match pattern"),
]  # fmt: skip
