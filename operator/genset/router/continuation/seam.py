"""Joins the text of a continuing answer to the text that the client already has. Pure: text in, text out.

A seam is fed the pieces of the new answer in order, and returns what is new to the client.
"""

from __future__ import annotations

from typing import Protocol

ANCHOR_CHARACTERS = 64  # asked to be repeated
ANCHOR_LEAST = 8  # a shorter anchor may occur anywhere
SEARCH_CHARACTERS = 400  # of the answer in which the anchor must appear
ECHO_LEAST = 2  # a single character may be what the answer really begins with ("1" of "11")
EXACT_LEAST = 24  # the same, of a server that should not repeat it
START_OVER_CHARACTERS = 64
QUOTED_LEAST = 16  # a shorter anchor may follow itself in the answer, too: nobody can tell
_QUOTED = frozenset("\n\"'`”’»")  # one of these stands between an anchor that is quoted and the answer
_BETWEEN = " \t\r*_>" + "".join(sorted(_QUOTED))
NOT_JOINED = "wrote no continuation that joins the text so far"


class Seam(Protocol):
    """A Seam looks for the place in the new answer where the text so far ends.

    `lost`: why the texts do not join; "" as long as they may.
    """

    lost: str

    def feed(self, piece: str) -> str:
        """Takes a piece of the new answer, and returns what is new of it and of what was held back before."""

    def end(self) -> str:
        """Takes the end of the answer, and returns what was still held back. Sets `lost` if the place was never found."""


class Direct:
    """A Direct joins an answer that begins exactly where the text ends.

    White space at the end of the text was not told to the server, so it comes again.
    """

    def __init__(self, text: str) -> None:
        self.lost = ""
        self._expected = text[len(text.rstrip()) :]

    def feed(self, piece: str) -> str:
        expected = self._expected
        if not expected:
            return piece
        kept = 0
        while kept < len(piece) and kept < len(expected) and piece[kept] == expected[kept]:
            kept += 1
        self._expected = expected[kept:] if kept == len(piece) else ""
        return piece[kept:]

    def end(self) -> str:
        return ""


class Echoed:
    """An Echoed joins an answer that begins where the text ends, or repeats the whole text first.

    `exact`: the server should not repeat the text, and is believed unless it plainly does, as one does that does not know the
    switch by which it was asked.
    """

    def __init__(self, text: str, *, exact: bool = False) -> None:
        self.lost = ""
        self._text = text.rstrip()
        self._direct = Direct(text)
        self._held = ""
        self._exact = exact
        if len(self._text) < (EXACT_LEAST if exact else ECHO_LEAST):
            self._text = ""

    def feed(self, piece: str) -> str:
        if self._text:
            self._held += piece
            if self._held.startswith(self._text):
                piece = self._held[len(self._text) :]
            elif self._text.startswith(self._held):
                return ""
            else:
                piece = self._another_way()
            self._held = self._text = ""
        return self._direct.feed(piece)

    def _another_way(self) -> str:
        """Returns what was held back, because it is no echo of the text; sets `lost` if it begins as the text does, at length."""
        held = self._held
        same = next((i for i, (a, b) in enumerate(zip(held, self._text, strict=False)) if a != b), len(held))
        if same >= START_OVER_CHARACTERS and not self._exact:
            self.lost = NOT_JOINED
            return ""
        return held

    def end(self) -> str:
        held = self._another_way()
        self._held = self._text = ""
        return self._direct.feed(held)


class Anchored:
    """An Anchored joins an answer that repeats the end of the text, the anchor, near its beginning, or starts over identically.

    Some models quote the anchor first and then begin with it, so a second anchor behind a line end or a quotation mark counts.
    """

    def __init__(self, text: str) -> None:
        self.lost = ""
        self._text = text
        self._anchor = anchor_of(text)
        self._held = ""
        self._at = -1  # behind the anchor in what is held; the place, unless the anchor follows once more
        self._then = Direct(text)  # takes what is behind the place
        self._after: Direct | None = None  # set once the place is sure

    def feed(self, piece: str) -> str:
        if self._after is not None:
            return self._after.feed(piece)
        self._held += piece
        held = self._held
        if self._at < 0:
            begun, own = held.lstrip(), self._text.lstrip()  # white space at the beginning is left out as often as not
            if not own:  # nothing but white space was sent: any answer joins, which may begin with it
                if len(held) < len(self._text) and self._text.startswith(held):
                    return ""
                self._at = len(self._text) if held.startswith(self._text) else 0
                self._then = Direct("")
                return self._found()
            if begun.startswith(own):
                self._at = len(held) - len(begun) + len(own)
                self._then = Direct("")
            elif own.startswith(begun):
                return ""  # starts over, so far
            else:
                at = held.find(self._anchor) if len(self._anchor) >= ANCHOR_LEAST else -1
                if not 0 <= at <= SEARCH_CHARACTERS:
                    if len(held) > SEARCH_CHARACTERS + len(self._anchor):
                        self.lost = NOT_JOINED
                    return ""
                self._at = at + len(self._anchor)
        end = len(held[: self._at].rstrip())  # of the anchor itself
        rest = held[end:].lstrip(_BETWEEN)
        if not rest:
            return ""
        gap = held[end : len(held) - len(rest)]
        if not _QUOTED.isdisjoint(gap):
            if rest.startswith(self._anchor):
                if len(self._anchor) < QUOTED_LEAST:
                    self.lost = NOT_JOINED
                    return ""
                self._at = end + len(gap) + len(self._anchor)
                self._then = Direct(self._text)
            elif self._anchor.startswith(rest):
                return ""
        return self._found()

    def _found(self) -> str:
        self._after = self._then
        held, self._held = self._held, ""
        return self._after.feed(held[self._at :])

    def end(self) -> str:
        if self._after is not None:
            return ""
        if self._at >= 0:
            return self._found()
        self.lost = NOT_JOINED
        return ""


def anchor_of(text: str) -> str:
    """Returns the end of `text` that a server is asked to repeat: whole words, without white space around them."""
    text = text.strip()
    if len(text) <= ANCHOR_CHARACTERS:
        return text
    tail = text[-ANCHOR_CHARACTERS:]
    gap = next((i for i, c in enumerate(tail[: ANCHOR_CHARACTERS // 2]) if c.isspace()), -1)
    return tail[gap + 1 :].strip()
