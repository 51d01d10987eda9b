"""Which Secrets a round reads: a namespace that names thousands keeps no other waiting, and each has its turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genset.controllers.secrets import SecretTurns


def test_a_namespace_with_thousands_takes_its_own_share_alone() -> None:
    loud = [("loud", f"s{number:04d}") for number in range(2048)]
    quiet = [("quiet", "keys"), ("silent", "keys"), ("silent", "more")]
    turns = SecretTurns()
    rounds = [turns.take([*loud, *quiet], 200) for _ in range(11)]
    assert all(set(quiet) <= set(taken) and len(taken) == 200 for taken in rounds)
    assert {secret for taken in rounds for secret in taken} == {*loud, *quiet}


@given(st.sets(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("uvwxyz")), max_size=40), st.integers(1, 12))
def test_each_has_its_turn_and_none_is_read_twice_in_a_round(named: set[tuple[str, str]], most: int) -> None:
    turns, seen = SecretTurns(), set[tuple[str, str]]()
    largest = max((sum(1 for one in named if one[0] == namespace) for namespace, _ in named), default=0)
    spaces = len({namespace for namespace, _ in named})
    for _ in range(largest * -(-spaces // most) + largest):
        taken = turns.take(named, most)
        assert len(taken) == len(set(taken)) == min(most, len(named))
        seen.update(taken)
    assert seen == named


def test_what_is_no_longer_named_is_forgotten() -> None:
    turns = SecretTurns()
    turns.take([("gone", "a"), ("here", "b")], 10)
    assert turns.take([("here", "b")], 10) == [("here", "b")]
    assert turns.take([("here", "a"), ("here", "b"), ("new", "c")], 2) == [("new", "c"), ("here", "a")]
