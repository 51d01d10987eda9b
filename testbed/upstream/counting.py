"""The counting answer is " 0000 0001 0002 …": any gap, repeat or restart shows in the text itself.

Its words are those of the end-to-end tests' counting model, so that both share their assertions. Pure.
"""

from __future__ import annotations

import re

WORDS = 1000  # the counting model ends after " 0999"
_WORD = re.compile(r" (\d{4})")


def word(number: int) -> str:
    """Returns the token of one number, with its leading space."""
    return f" {number:04d}"


def counted(count: int, first: int = 0) -> str:
    """Returns the text of `count` words from `first` on."""
    return "".join(word(number) for number in range(first, first + count))


def numbers(text: str) -> list[int]:
    """Returns the numbers in a counted text, in order."""
    return [int(match) for match in _WORD.findall(text)]


def next_number(text: str) -> int:
    """Returns what a counting model would say after `text`: one more than its last word; 0 if there is none."""
    found = numbers(text)
    return found[-1] + 1 if found else 0


def fault(text: str, count: int, first: int = 0) -> str | None:
    """Returns what is wrong with an answer that should be `counted(count, first)`; None if nothing is."""
    wanted = counted(count, first)
    if text == wanted:
        return None
    at = next((i for i, (a, b) in enumerate(zip(text, wanted, strict=False)) if a != b), min(len(text), len(wanted)))
    if at == len(text):
        return f"cut short after {at} of {len(wanted)} characters: …{text[-15:]!r}"
    if at == len(wanted):
        return f"{len(text) - at} characters too many: {text[at : at + 30]!r}"
    near = slice(max(0, at - 10), at + 15)
    return f"differs at character {at}: …{text[near]!r} instead of …{wanted[near]!r}"
