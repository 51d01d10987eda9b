"""Consumers: whom tokens name, what metrics call them, and what their requests count when they end early."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from prometheus_client.core import CollectorRegistry, Metric

from genset.contracts.access_config import AccessConfig
from genset.contracts.access_keys import digest_of
from genset.router.access import consumers as module
from genset.router.access.bearer import Bearer
from genset.router.access.consumer import Consumer, Visit
from genset.router.access.consumers import ANONYMOUS, NAME_TAKEN, OTHERS, Consumers
from genset.router.errors import ErrorAnswer
from genset.router.process.consumer_metrics import families
from tests.support.router.consumers import access, consumer


class FakeProver:
    """Believes every token, whose second part is its name and whose third one is its team."""

    def bearer(self, token: bytes) -> Bearer | ErrorAnswer:
        _, name, team = token.decode().split(".")
        return Bearer(name, team, 0.0)


def take(consumers: Consumers, *told: dict[str, Any], **more: Any) -> None:
    config = AccessConfig.model_validate({**access(*told, **more), "keysFile": None})
    consumers.take(config, {digest_of(b"a key of the lab"): "lab"}, FakeProver())


def by_token(consumers: Consumers, name: str, team: str = "") -> Consumer | ErrorAnswer:
    return consumers.who({b"authorization": f"Bearer eyJ.{name}.{team}".encode()})


def labels(consumers: Consumers) -> Counter[tuple[str, str]]:
    """Returns how often each series is there: more than once, and a scraper refuses the whole page."""

    class Page:
        def collect(self) -> list[Metric]:
            return list(families(consumers))

    registry = CollectorRegistry()
    registry.register(Page())
    return Counter(
        (sample.name, str(sorted(sample.labels.items()))) for metric in registry.collect() for sample in metric.samples
    )


def test_a_guest_that_is_listed_later_is_the_same_consumer() -> None:
    consumers = Consumers()
    take(consumers)
    guest = by_token(consumers, "robot")
    assert isinstance(guest, Consumer)
    visit = guest.enter(1, 1, 0.0)
    assert isinstance(visit, Visit)
    take(consumers, {**consumer("robot", requestsPerMinute=9), "byToken": True})
    assert by_token(consumers, "robot") is guest and guest.places.in_work == 1 and guest.requests is not None
    assert set(labels(consumers).values()) == {1}
    take(consumers, consumer("robot"))
    assert by_token(consumers, "robot") is NAME_TAKEN and set(labels(consumers).values()) == {1}


@pytest.mark.interpreted
@pytest.mark.parametrize("listed", [False, True])
def test_nobody_can_be_called_as_the_metrics_call_the_rest(monkeypatch: pytest.MonkeyPatch, listed: bool) -> None:
    monkeypatch.setattr(module, "MOST_TOLD", 2)
    consumers = Consumers()
    take(consumers, *([{**consumer(OTHERS), "byToken": True}] if listed else []), required=False)
    for name in (OTHERS, "a", "b", "c", 'd"\\', "anonymous "):
        found = by_token(consumers, name)
        assert isinstance(found, Consumer)
        visit = found.enter(0, 0, 0.0)
        assert isinstance(visit, Visit)
        visit.leave(3, 4, failed=False, now=0.0)
    assert by_token(consumers, ANONYMOUS) is NAME_TAKEN
    assert set(labels(consumers).values()) == {1}
    assert [one.name for one in consumers.told()] == ["a", "b", ANONYMOUS, OTHERS]
    assert {one.name: one.counts.requests for one in consumers.told()} == {"a": 1, "b": 1, ANONYMOUS: 0, OTHERS: 4}


@pytest.mark.interpreted
def test_guests_are_forgotten_and_so_is_their_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_GUESTS", 3)
    monkeypatch.setattr(module, "MOST_TOLD", 2)
    consumers = Consumers()
    take(consumers)
    for number in range(20):
        by_token(consumers, f"guest-{number}")
    assert sum(one.name != OTHERS for one in consumers.told()) <= 2
    assert "guest-19" in {one.name for one in consumers.told()} | {OTHERS}
    busy = by_token(consumers, "busy")
    assert isinstance(busy, Consumer)
    busy.enter(0, 0, 0.0)
    for number in range(20, 30):
        by_token(consumers, f"guest-{number}")
    assert by_token(consumers, "busy") is busy, "a guest with a request in work was forgotten"


def test_the_team_is_that_of_the_last_token() -> None:
    consumers = Consumers()
    take(consumers)
    assert by_token(consumers, "alice", "lab") is by_token(consumers, "alice", "accounting")
    assert [(one.name, one.team) for one in consumers.told()] == [("alice", "accounting")]


@pytest.mark.parametrize(
    ("prompt", "completion", "failed", "left", "used"),
    [
        (100, 20, False, False, 120),  # as a backend counted
        (0, 0, False, False, 150),  # nobody counted: the estimate stands
        (0, 0, True, False, 0),  # refused, or it broke: nothing was had
        (0, 20, True, True, 120),  # the client left in the middle of a stream, before its usage
        (0, 20, False, False, 120),  # a stream whose backend tells no usage
        (0, 0, True, True, 100),  # the client left while a backend read the prompt
        (0, 0, True, False, 0),
    ],
)
def test_who_leaves_early_has_used_the_prompt(
    prompt: int, completion: int, failed: bool, left: bool, used: int
) -> None:
    consumers = Consumers()
    take(consumers, consumer("lab", tokensPerMinute=1000))
    lab = consumers.who({b"x-api-key": b"a key of the lab"})
    assert isinstance(lab, Consumer) and lab.tokens is not None
    visit = lab.enter(100, 50, 10.0)
    assert isinstance(visit, Visit) and lab.tokens.used(10.0) == 150
    visit.leave(prompt, completion, failed=failed, left=left, now=11.0)
    assert lab.tokens.used(11.0) == used and lab.places.in_work == 0
