"""Whatever is done to the chain, the first link that is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from genset.ledger.chain import Check, Head, Link


def chain(count: int = 5) -> list[Link]:
    head, links = Head(), []
    for number in range(1, count + 1):
        body = b'{"n":%d}' % number
        head = head.following("abc", body)
        links.append(Link(number, "abc", body, head.hash))
    return links


def rehashed(links: list[Link]) -> list[Link]:
    """Whoever can write to the database can make the whole chain anew."""
    head, found = Head(), []
    for link in links:
        head = head.following(link.writer, link.body)
        found.append(replace(link, number=head.number, hash=head.hash))
    return found


def swapped(links: list[Link]) -> list[Link]:
    return [*links[:1], replace(links[2], number=2), replace(links[1], number=3), *links[3:]]


CASES: dict[str, tuple[Callable[[list[Link]], list[Link]], str]] = {
    "as it was": (lambda links: links, ""),
    "a record changed": (lambda links: [*links[:2], replace(links[2], body=b"{}"), *links[3:]], "link 3 is broken"),
    "a writer changed": (lambda links: [*links[:2], replace(links[2], writer="b"), *links[3:]], "link 3 is broken"),
    "a hash changed": (lambda links: [*links[:2], replace(links[2], hash=b"x" * 32), *links[3:]], "link 3 is broken"),
    "one taken out": (lambda links: [*links[:2], *links[3:]], "link 3 is missing"),
    "two taken out": (lambda links: [*links[:1], *links[3:]], "link 2 to 3 is missing"),
    "the first taken out": (lambda links: links[1:], "link 1 is missing"),
    "two swapped": (swapped, "link 2 is broken"),
    "one twice": (lambda links: [*links[:2], links[1], *links[2:]], "link 3 is missing"),
    "the last taken away": (lambda links: links[:-1], "the chain ends at link 4"),
    "made anew without one": (lambda links: rehashed([*links[:2], *links[3:]]), "the chain ends at link 4"),
    "made anew with one more": (lambda links: rehashed([links[0], *links]), "link 5 has another hash"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_broken_link_is_named(case: str) -> None:
    change, problem = CASES[case]
    links = chain()
    noted = Head(links[-1].number, links[-1].hash)
    check = Check(Head(), noted)
    check.follow(change(links))
    assert check.end() == (not problem)
    assert check.problem.startswith(problem)


def test_a_chain_goes_on_behind_what_was_taken_away() -> None:
    links = chain()
    check = Check(Head(2, links[1].hash))
    assert check.follow(links[2:]) and check.end()
    assert not Check(Head(2, links[0].hash)).follow(links[2:])


def test_no_two_writers_and_records_hash_alike() -> None:
    assert Head().following("ab", b"c").hash != Head().following("a", b"bc").hash


def test_a_head_is_read_as_it_is_written() -> None:
    head = Head().following("a", b"b")
    assert Head.read(str(head)) == head


@pytest.mark.parametrize("text", ["", "5", "x:00", "5:00", "-1:" + "0" * 64, "5:zz"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Head.read(text)
