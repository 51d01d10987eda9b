"""The chain makes it show if a record of what left the house, or of an exercise, is changed, taken out or put in later.

Each link's hash is made of the hash before it, of who wrote the record, and of the record itself. Whoever notes the head of
the chain elsewhere can prove later that nothing before it was touched. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ORIGIN: Final = b"\0" * 32  # the hash before the first link


@dataclass(frozen=True)
class Link:
    """A link is one record of the chain. `number` counts from 1; `writer` is the spool's incarnation."""

    number: int
    writer: str
    body: bytes
    hash: bytes


@dataclass(frozen=True)
class Head:
    """A head is the last link that is known: its number and its hash."""

    number: int = 0
    hash: bytes = ORIGIN

    def following(self, writer: str, body: bytes) -> Head:
        """Returns the head once this record is appended."""
        return Head(self.number + 1, link_hash(self.hash, writer, body))

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"

    @classmethod
    def read(cls, text: str) -> Head:
        """Reads NUMBER:HASH. Raises ValueError."""
        number, _, digest = text.partition(":")
        found = cls(int(number), bytes.fromhex(digest))
        if found.number < 0 or len(found.hash) != len(ORIGIN):
            raise ValueError(f"{text!r} is no head of a chain; write NUMBER:HASH as `genset ledger verify` does")
        return found


def link_hash(before: bytes, writer: str, body: bytes) -> bytes:
    """Returns a link's hash. The writer's name holds no zero byte, so that no two pairs hash alike."""
    return hashlib.sha256(b"%b%b\0%b" % (before, writer.encode(), body)).digest()


class Check:
    """A check follows a chain from an anchor on. `noted` is a head that somebody wrote down earlier, elsewhere."""

    def __init__(self, anchor: Head, noted: Head | None = None) -> None:
        self.head = anchor
        self.anchor = anchor
        self._noted = noted
        self.problem = ""  # with the first link that is wrong
        if noted is not None:
            self._compare()

    def follow(self, links: Iterable[Link]) -> bool:
        """Looks at the next links. Returns whether all is well so far; `problem` says what is not."""
        for link in links:
            if self.problem:
                return False
            expected = self.head.following(link.writer, link.body)
            if link.number != expected.number:
                missing = (
                    f"{expected.number} to {link.number - 1}" if link.number > expected.number + 1 else expected.number
                )
                self.problem = f"link {missing} is missing: link {self.head.number} is followed by link {link.number}"
            elif link.hash != expected.hash:
                self.problem = (
                    f"link {link.number} is broken: the record of {link.writer or 'nobody'} there, or the hash of link "
                    f"{self.head.number}, is not what it was when it was written"
                )
            else:
                self.head = expected
                self._compare()
        return not self.problem

    def end(self) -> bool:
        """Says whether all is well after the last link."""
        if not self.problem and self._noted is not None and self._noted.number > self.head.number:
            self.problem = (
                f"the chain ends at link {self.head.number}, and link {self._noted.number} was noted: the last "
                f"{self._noted.number - self.head.number} are missing"
            )
        return not self.problem

    def _compare(self) -> None:
        noted = self._noted
        if noted is not None and noted.number == self.head.number and noted.hash != self.head.hash:
            self.problem = f"link {noted.number} has another hash than was noted: the chain was made anew"
