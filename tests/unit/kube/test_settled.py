"""What does not stay as it was written is not written for ever: neither against a webhook nor against somebody else."""

from __future__ import annotations

from typing import Any

from genset.kube.apply import with_hash
from genset.kube.diff import differences
from genset.kube.settled import REST_SECONDS, REVERSAL_SECONDS, REVERSALS, Settled


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wanted(image: str = "ours") -> dict[str, Any]:
    return with_hash({"kind": "Deployment", "metadata": {"name": "house", "annotations": {}}, "spec": {"image": image}})


def stored(desired: dict[str, Any], **spec: str) -> dict[str, Any]:
    return {**desired, "metadata": {**desired["metadata"], "uid": "u"}, "spec": {**desired["spec"], **spec}}


def test_what_a_webhook_made_of_the_write_rests_until_one_side_changes() -> None:
    settled, body = Settled(Clock()), wanted()
    live = stored(body, image="a mirror's")
    assert not settled.rests(body, live, differences(body, live)), "it was never written"
    assert settled.wrote(body, live, differences(body, live)), "the first time is news"
    assert settled.rests(body, live, differences(body, live))
    other = stored(body, image="somebody's")
    assert not settled.rests(body, other, differences(body, other))
    changed = wanted("another")
    assert not settled.rests(changed, live, differences(changed, live))
    assert not settled.wrote(body, live, differences(body, live)), "the same again is no news"


def test_fields_that_nobody_wants_do_not_count() -> None:
    settled, body = Settled(Clock()), wanted()
    live = stored(body, image="a mirror's")
    settled.wrote(body, live, differences(body, live))
    live["spec"]["stamp"] = "2026-11-29"
    assert settled.rests(body, live, differences(body, live))


def test_who_is_set_back_again_and_again_gives_way_for_a_while() -> None:
    clock = Clock()
    settled, body = Settled(clock), wanted()
    settled.wrote(body, stored(body), {})
    theirs = stored(body, image="theirs")
    for _ in range(REVERSALS - 1):
        clock.now += 1
        assert not settled.contested(body, theirs)
        settled.wrote(body, stored(body), {})
    assert settled.contested(body, theirs)
    clock.now += REST_SECONDS - 1
    assert settled.contested(body, theirs), "it rests"
    clock.now += 2
    assert settled.contested(body, theirs), "once more after the rest, and it rests again"
    clock.now += REST_SECONDS + REVERSAL_SECONDS + 1
    assert not settled.contested(body, theirs), "that was long ago"


def test_another_operator_is_remembered_for_longer_than_it_rests() -> None:
    clock = Clock()
    settled, body = Settled(clock), wanted()
    settled.wrote(body, stored(body), {})
    live = stored(body)
    settled.saw(live, "b/genset")
    assert settled.shared_with(live) == "", "once may be an upgrade"
    settled.saw(live, "b/genset")
    settled.wrote(body, live, {})
    assert settled.shared_with(live) == "b/genset"
    clock.now += REST_SECONDS * 2
    assert settled.shared_with(live) == "b/genset", "it is back before it is forgotten"
    clock.now += REST_SECONDS
    assert settled.shared_with(live) == "", "it is gone"


def test_changes_of_what_is_wanted_are_no_reversals() -> None:
    settled = Settled(Clock())
    for number in range(3 * REVERSALS):
        body = wanted(f"image {number}")
        assert not settled.contested(body, stored(wanted("before")))
        settled.wrote(body, stored(body), {})


def test_a_person_who_edits_now_and_then_is_set_right_each_time() -> None:
    clock = Clock()
    settled, body = Settled(clock), wanted()
    settled.wrote(body, stored(body), {})
    for _ in range(3 * REVERSALS):
        clock.now += REVERSAL_SECONDS / 2
        assert not settled.contested(body, stored(body, image="theirs"))
        settled.wrote(body, stored(body), {})
