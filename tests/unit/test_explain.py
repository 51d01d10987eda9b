"""`genset explain` takes the router's own decision, and says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from genset.cli import main

CLOUD = {"backends": [{"name": "cloud"}]}
POLICY: dict[str, Any] = {
    "apiVersion": "genset.dev/v1alpha1",
    "kind": "RoutePolicy",
    "metadata": {"name": "p"},
    "spec": {
        "access": {
            "consumers": [
                {
                    "name": "invoices",
                    "team": "accounting",
                    "keysSecretRef": {"name": "k", "key": "i"},
                    "models": ["small"],
                    "requestsPerMinute": 9,
                },
                {"name": "lab", "keysSecretRef": {"name": "k", "key": "l"}},
            ]
        },
        "backends": [
            {"name": "house", "deployment": {"name": "h"}, "contextTokens": 1000},
            {
                "name": "cloud",
                "cloud": {"provider": "mistral", "model": "m", "credentialsSecretRef": {"name": "m", "key": "k"}},
            },
        ],
        "routes": [
            {
                "name": "short",
                "match": {"models": ["small"], "maxInputTokens": 100},
                "tiers": [{"backends": [{"name": "house"}]}],
            },
            {
                "name": "gold",
                "match": {"headers": [{"name": "x-gold", "value": "1"}]},
                "tiers": [{"backends": [{"name": "cloud"}]}],
            },
            {
                "name": "all",
                "match": {"models": ["small", "large"]},
                "tiers": [{"backends": [{"name": "house"}]}, {"backends": [{"name": "cloud"}]}],
            },
        ],
    },
}


def ask(folder: Path, body: dict[str, Any], *arguments: str, policy: dict[str, Any] = POLICY) -> tuple[int, Any]:
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    (folder / "request.json").write_text(json.dumps(body))
    given = ["explain", "-f", str(folder / "policy.yaml"), "--request", str(folder / "request.json"), "-o", "json"]
    done = CliRunner().invoke(main, [*given, *arguments])
    return done.exit_code, json.loads(done.output) if done.output.startswith("{") else done.output


def prompt(tokens: int, model: str = "small") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "word" * tokens}]}


CASES: list[tuple[dict[str, Any], tuple[str, ...], int, str, list[str], list[str]]] = [
    (prompt(50), ("--key-of", "lab"), 0, "short", ["house"], []),
    (
        prompt(500),
        ("--key-of", "lab"),
        0,
        "all",
        ["house", "cloud"],
        ["match.maxInputTokens is 100", "match.headers wants another x-gold"],
    ),
    (prompt(500), ("--key-of", "lab", "--header", "X-Gold: 1"), 0, "gold", ["cloud"], ["match.maxInputTokens is 100"]),
    (
        prompt(2000),
        ("--key-of", "lab"),
        0,
        "all",
        ["cloud"],
        ["maxInputTokens", "x-gold", "its context holds 1000 tokens, and the request needs about 2000"],
    ),
    (prompt(50, "large"), ("--key-of", "invoices"), 2, "", [], ["the consumer may not name this model"] * 3),
    (
        prompt(50, "none"),
        ("--key-of", "lab"),
        2,
        "",
        [],
        ["match.models does not hold", "x-gold", "match.models does not hold"],
    ),
    (prompt(50), (), 2, "", [], []),
    (
        {"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": "a"}]},
        ("--key-of", "lab", "--path", "/v1/messages"),
        0,
        "short",
        ["house"],
        [],
    ),
]


@pytest.mark.parametrize(("body", "arguments", "code", "route", "candidates", "left_out"), CASES)
def test_what_would_be_decided(
    tmp_path: Path,
    body: dict[str, Any],
    arguments: tuple[str, ...],
    code: int,
    route: str,
    candidates: list[str],
    left_out: list[str],
) -> None:
    status, found = ask(tmp_path, body, *arguments)
    assert (status, found["route"]) == (code, route), found
    assert [step["backend"] for step in found["candidates"]] == candidates
    assert len(found["left_out"]) == len(left_out), found["left_out"]
    assert all(told in one["why"] for told, one in zip(left_out, found["left_out"], strict=True)), found["left_out"]


def test_who_asks_and_what_the_answer_would_be(tmp_path: Path) -> None:
    _, found = ask(tmp_path, prompt(1), "--key-of", "invoices")
    assert (found["consumer"], found["team"], found["limits"]) == ("invoices", "accounting", {"requestsPerMinute": 9})
    _, found = ask(tmp_path, prompt(1))
    assert (found["status"], found["error"]) == (401, "policy_key_unknown")
    _, found = ask(tmp_path, prompt(1, "large"), "--key-of", "invoices")
    assert (found["status"], found["error"]) == (404, "policy_model_not_found")


@pytest.mark.parametrize(
    ("body", "arguments", "told"),
    [
        (prompt(1), ("--key-of", "nobody"), "--key-of nobody: no such consumer; the policy has invoices, lab"),
        ({}, ("--key-of", "lab"), "model name in `model`"),
        (prompt(1), ("--path", "/v1/images", "--key-of", "lab"), "no call of a model is served there"),
        (prompt(1), ("--header", "nonsense"), "write NAME: VALUE"),
    ],
)
def test_a_question_that_is_none(tmp_path: Path, body: dict[str, Any], arguments: tuple[str, ...], told: str) -> None:
    status, output = ask(tmp_path, body, *arguments)
    assert status in (1, 2) and told in output


def test_words_for_people(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(POLICY))
    given = ["explain", "-f", str(tmp_path / "p.yaml"), "--request", "-", "--key-of", "lab"]
    done = CliRunner().invoke(main, given, input=json.dumps(prompt(2000)))
    assert "candidate   cloud (tier 2, cloud)" in done.output and "left out    house: its context" in done.output


@pytest.mark.parametrize(
    ("models", "code", "told"), [(["a-moderation"], 0, "a-moderation"), (["x"], 2, "none is known")]
)
def test_a_moderation_needs_no_model(tmp_path: Path, models: list[str], code: int, told: str) -> None:
    route = {"name": "all", "match": {"models": models}, "tiers": [{"backends": [{"name": "cloud"}]}]}
    policy = {**POLICY, "spec": {"backends": POLICY["spec"]["backends"], "routes": [route]}}
    exit_code, said = ask(tmp_path, {"input": "a"}, "--path", "/v1/moderations", policy=policy)
    assert (exit_code, told in said["model" if code == 0 else "message"]) == (code, True), said


def test_budgets_that_hold_a_request_are_named_and_what_becomes_of_it_once_they_are_spent(tmp_path: Path) -> None:
    money = {"amount": "5", "currency": "EUR"}
    held = {"name": "law", "scope": {"consumers": ["lab"]}, "whenSpent": "NextTier", **money}
    strict = {"name": "strict", "scope": {"backends": ["cloud"]}, "whenSpent": "Refuse", **money}
    budgets = [held, strict, {"name": "others", "scope": {"consumers": ["invoices"]}, **money}]
    policy = {**POLICY, "spec": {**POLICY["spec"], "budgets": budgets}}

    def asked(*arguments: str, gold: bool = False) -> tuple[int, Any]:
        header = ("--header", "X-Gold: 1") if gold else ()
        return ask(tmp_path, prompt(500), "--key-of", "lab", *header, *arguments, policy=policy)

    code, found = asked()
    assert (code, found["budgets"]) == (0, {"law": "NextTier", "strict": "Refuse"})
    assert [step["backend"] for step in found["candidates"]] == ["house", "cloud"]
    code, found = asked("--spent", "law")
    assert (code, [step["backend"] for step in found["candidates"]]) == (0, ["house"])
    assert found["left_out"][-1]["why"] == "cloud was not asked: budget law is spent"
    code, found = asked("--spent", "strict", gold=True)
    assert (code, found["status"], found["error"]) == (2, 429, "policy_budget_spent") and "strict" in found["message"]
    code, found = asked("--spent", "others")
    assert len(found["candidates"]) == 2
    code, told = asked("--spent", "nobody")
    assert code == 1 and "--spent nobody: no such budget; the policy has law, strict, others" in told
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    given = [
        "explain",
        "-f",
        str(tmp_path / "policy.yaml"),
        "--request",
        str(tmp_path / "request.json"),
        "--key-of",
        "lab",
    ]
    text = CliRunner().invoke(main, given).output
    assert "budget      law: once it is spent, its backends are passed over" in text


SHAPED: dict[str, Any] = {
    **POLICY,
    "spec": {
        "backends": POLICY["spec"]["backends"],
        "routes": [
            {
                "name": "nights",
                "match": {"shape": {"time": {"from": "22:00", "until": "06:00"}}},
                "tiers": [{"backends": [{"name": "house"}]}],
            },
            {"name": "german", "match": {"shape": {"languages": ["de"], "turns": {"atMost": 1}}}, "tiers": [CLOUD]},
            {"name": "all", "tiers": [CLOUD]},
        ],
    },
}


@pytest.mark.parametrize(
    ("text", "at", "route", "why"),
    [
        (
            "Wann ist das Amt denn morgen geöffnet?",
            "2026-11-30T12:00",
            "german",
            ["match.shape.time is 22:00 to 06:00"],
        ),
        (
            "When is the office open tomorrow?",
            "2026-11-30T12:00",
            "all",
            ["22:00", "languages is de, and the request's is en"],
        ),
        ("When is the office open tomorrow?", "2026-11-30T23:00", "nights", []),
        ("When is the office open tomorrow?", "2026-11-30T23:00:00+0200", "all", ["22:00", "languages is de"]),
        ("1 + 1", "2026-11-30T12:00", "all", ["22:00", "and the request's is one that cannot be told"]),
    ],
)
def test_the_shape_of_a_request(tmp_path: Path, text: str, at: str, route: str, why: list[str]) -> None:
    body = {"model": "small", "messages": [{"role": "user", "content": text}]}
    status, found = ask(tmp_path, body, "--at", at, policy=SHAPED)
    assert (status, found["route"]) == (0, route), found
    assert len(found["left_out"]) == len(why), found["left_out"]
    assert all(told in one["why"] for told, one in zip(why, found["left_out"], strict=True)), found["left_out"]
    assert found["shape"]["turns"] == 1 and found["shape"]["answerTokens"] is None
