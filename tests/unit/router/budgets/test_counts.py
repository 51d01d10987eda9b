"""What lives of routers have spent is the same sum everywhere, whatever is told twice, late, or in another order."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from genset.router.budgets.counts import MOST_KNOWN, MOST_TOLD, WindowCounts

NAMES = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.sampled_from(NAMES), st.integers(0, 1000)),
        st.tuples(st.just("tell"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.tuples(st.just("repeat"), st.sampled_from(NAMES), st.integers(0, 50)),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_sum_is_never_too_high_and_the_same_once_everything_was_heard(steps: list[tuple[str, str, int]]) -> None:
    known = {name: WindowCounts(0) for name in NAMES}
    truth: dict[str, int] = defaultdict(int)
    said: list[tuple[str, int]] = []

    def hear(who: str, identity: str, amount: int) -> None:
        if identity != who:
            known[who].hear(identity, amount)

    for what, who, value in steps:
        before = {name: one.total for name, one in known.items()}
        if what == "spend":
            known[who].add(value)
            truth[who] += value
        elif what == "tell":
            said += list(known[who].told(who))
            for identity, amount in known[who].told(who):
                hear(str(value), identity, amount)
        elif said:  # an old word comes again
            hear(who, *said[value % len(said)])
        for name, one in known.items():
            assert before[name] <= one.total <= sum(truth.values())
            assert one.total == one.own + sum(one.others.values())
    for _ in range(2):
        for teller in NAMES:
            for hearer in NAMES:
                for identity, amount in list(known[teller].told(teller)):
                    hear(hearer, identity, amount)
    assert {one.total for one in known.values()} == {sum(truth.values())}


def test_there_is_a_bound_for_what_others_make_up() -> None:
    one = WindowCounts(0)
    for number in range(MOST_KNOWN + 10):
        one.hear(f"life-{number}", 5)
    assert one.total == 5 * MOST_KNOWN
    one.hear("life-1", 50)
    assert one.total == 5 * MOST_KNOWN + 45
    told = dict(one.told("me"))
    assert len(told) == MOST_TOLD and told["life-1"] == 50, "what is told is the most of it"


def test_an_old_word_takes_nothing_back() -> None:
    one = WindowCounts(0)
    for amount in (5, 3, 5, 4):
        one.hear("other", amount)
    one.add(2)
    assert (one.total, dict(one.told("me"))) == (7, {"me": 2, "other": 5})
