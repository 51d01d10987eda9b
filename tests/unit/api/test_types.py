"""The types give the verdicts that the API server gives, with a message that says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from genset.api.base import ApiModel, CelRule, rules_of
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from tests.crds import cases

TYPES: dict[str, type[ApiModel]] = {"ModelDeployment": ModelDeployment, "RoutePolicy": RoutePolicy}


def subclasses(cls: type[ApiModel]) -> list[type[ApiModel]]:
    return [item for sub in cls.__subclasses__() for item in (sub, *subclasses(sub))]


ALL_RULES: list[CelRule] = [rule for cls in subclasses(ApiModel) for rule in rules_of(cls)]


@pytest.mark.parametrize("case", cases.CASES, ids=cases.identify)
def test_verdict(case: cases.Case) -> None:
    document: dict[str, Any] = case.document()
    if case.accepted or case.old is not None:  # what compares with the old object only an API server can refuse
        TYPES[case.kind].model_validate(document)
        return
    with pytest.raises(ValidationError) as failure:
        TYPES[case.kind].model_validate(document)
    assert (case.types or case.refused) in str(failure.value)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.message[:60])
def test_every_rule_has_an_example_that_it_refuses(rule: CelRule) -> None:
    assert any(case.refused and rule.message.startswith(case.refused) for case in cases.CASES), (
        f"no case in tests/crds/cases shows: {rule.message}"
    )


def test_what_nests_deeper_than_any_object_is_refused() -> None:
    """The API server keeps it as it is; whoever walked it would not come back."""
    deep: Any = "end"
    for _ in range(2000):
        deep = {"a": [deep]}
    for kind, spec in (
        ("ModelDeployment", cases.house(podTemplate={"spec": {"affinity": deep}})),
        ("RoutePolicy", cases.policy(router={"podTemplate": {"spec": {"affinity": deep}}})),
        ("RoutePolicy", cases.policy(router={"allowedClients": [{"podSelector": deep}]})),
    ):
        with pytest.raises(ValidationError, match="nests deeper than 32 maps and lists"):
            TYPES[kind].model_validate({"metadata": {"name": "a"}, "spec": spec})


@pytest.mark.parametrize("kind", TYPES)
def test_accepted_documents_come_back_as_they_went_in(kind: str) -> None:
    for case in cases.CASES:
        if case.kind == kind and case.accepted:
            first = TYPES[kind].model_validate(case.document())
            again = TYPES[kind].model_validate(first.model_dump(mode="json", exclude_none=True))
            assert again == first
