"""A key that its connection has shown before is known without its digest, for as long as it is a key, and nobody else's is."""

from __future__ import annotations

from typing import Any

import pytest

from genset.contracts.access_config import AccessConfig
from genset.contracts.access_keys import digest_of
from genset.router.access.acquaintance import Acquaintance
from genset.router.access.consumer import Consumer
from genset.router.access.consumers import ANONYMOUS, KEY_MISSING, KEY_UNKNOWN, Consumers
from genset.router.errors import ErrorAnswer
from tests.support.router.consumers import access, consumer

LAB, SHOP = b"a key of the lab", b"a key of the shop"


class CountingProver:
    """Believes a token as often as it is told to."""

    def __init__(self, believes: int) -> None:
        self.left = believes

    def bearer(self, token: bytes) -> Any:
        from genset.router.access.bearer import Bearer

        self.left -= 1
        return Bearer("someone", "", 0.0) if self.left >= 0 else KEY_UNKNOWN


def consumers(keys: dict[str, bytes], prover: Any = None, **more: Any) -> Consumers:
    made = Consumers()
    take(made, keys, prover, **more)
    return made


def take(made: Consumers, keys: dict[str, bytes], prover: Any = None, **more: Any) -> None:
    told = access(consumer("lab"), consumer("shop"), **more)
    config = AccessConfig.model_validate({**told, "keysFile": None})
    made.take(config, {digest_of(key): name for name, key in keys.items()}, prover)


def name(found: Consumer | ErrorAnswer) -> str:
    return found.name if isinstance(found, Consumer) else found.kind.word


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer " + LAB},
        {b"x-api-key": LAB},
        {b"api-key": LAB},
        {b"authorization": b"Basic cHJveHk=", b"x-api-key": LAB},
        {b"authorization": b"Bearer nobody's", b"api-key": LAB},
    ],
)
def test_who_was_known_is_known_until_something_else_is_shown(headers: dict[bytes, bytes]) -> None:
    known, lab = consumers({"lab": LAB, "shop": SHOP}), Acquaintance()
    assert [name(lab.who(known, headers)) for _ in range(3)] == ["lab"] * 3
    other = {where: shown.replace(LAB, SHOP) for where, shown in headers.items()}
    assert [name(lab.who(known, one)) for one in (other, headers, other)] == ["shop", "lab", "shop"]
    wrong = {where: shown.replace(LAB, LAB + b"!") for where, shown in headers.items()}
    assert lab.who(known, wrong) is KEY_UNKNOWN and lab.who(known, {}) is KEY_MISSING


def test_the_same_text_in_another_header_is_not_the_same() -> None:
    known, lab = consumers({"lab": LAB}), Acquaintance()
    assert name(lab.who(known, {b"x-api-key": LAB})) == "lab"
    assert lab.who(known, {b"authorization": LAB}) is KEY_MISSING, "a bare key in Authorization is no key"


def test_a_key_that_is_taken_away_or_given_to_another_is_so_at_once() -> None:
    known, lab, shown = consumers({"lab": LAB}), Acquaintance(), {b"x-api-key": LAB}
    assert name(lab.who(known, shown)) == "lab"
    take(known, {"shop": LAB})
    assert name(lab.who(known, shown)) == "shop"
    take(known, {"lab": SHOP})
    assert lab.who(known, shown) is KEY_UNKNOWN


def test_a_token_is_proved_each_time() -> None:
    known, lab = consumers({"lab": LAB}, CountingProver(2)), Acquaintance()
    shown = {b"authorization": b"Bearer eyJ.some.token"}
    assert [name(lab.who(known, shown)) for _ in range(3)] == ["someone", "someone", KEY_UNKNOWN.kind.word]


def test_nobody_in_particular_is_not_remembered_as_somebody() -> None:
    known, lab = consumers({"lab": LAB}, required=False), Acquaintance()
    assert [name(lab.who(known, one)) for one in ({}, {b"x-api-key": LAB}, {})] == [ANONYMOUS, "lab", ANONYMOUS]
