"""What an answer of the counting model must look like: " 0000 0001 0002 ...", each token one more than the last.

Any gap, repeat or restart shows in the text, so a truncated answer can never pass for a complete one.
"""

from __future__ import annotations

TOKEN_CHARACTERS = len(" 0000")


def counted(tokens: int, start: int = 0) -> str:
    """The exact text of an answer of `tokens` tokens."""
    return "".join(f" {number:04d}" for number in range(start, start + tokens))


def fault(text: str, tokens: int) -> str:
    """What is wrong with an answer that should count `tokens` tokens; "" when nothing is."""
    wanted = counted(tokens)
    if text == wanted:
        return ""
    for position, (got, want) in enumerate(zip(text, wanted, strict=False)):
        if got != want:
            return f"differs at character {position}: {text[max(0, position - 10) : position + 10]!r}"
    return f"has {len(text)} characters instead of {len(wanted)}, the last ones {text[-10:]!r}"
