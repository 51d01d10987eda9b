"""The soak's faults are what its upstreams do: which faults, how often, in which weather. Pure: the chance comes in.

Two houses fail now and then, and in a storm most of the time, one after the other; the cloud behind them only has
habits that a router must bear (late, slow, terse). So there is always somebody who can answer, and every request must
be answered.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from testbed.upstream import steps
from testbed.upstream.steps import Answer, Break, Close, How, Raw, Reset, Silence, Step

WORDS = 30  # words of every answer
# Share of a house's answers that fail in fair weather. Not more: three in a row open its breaker, and at hundreds of
# requests a second it would hardly ever close.
FAULTS = 0.03
STORM_FAULTS = 0.8
STORM_SECONDS = 6.0
STORM_EVERY = 150.0  # seconds; the houses take turns
STREAM_BYTES = WORDS * 220  # approximate length of an answer's event stream
FIRST_TOKEN_SECONDS = 3.0  # deadline of the soak's route; a busy machine may need one second for itself
LATE_SECONDS = FIRST_TOKEN_SECONDS + 0.6

Chance = random.Random


def good(chance: Chance) -> Answer:
    """Returns a good answer, in one of the shapes that servers give it."""
    return Answer(
        words=WORDS,
        interval=chance.choice((0.0, 0.002, 0.005)),
        first_delay=chance.choice((0.0, 0.0, 0.01)),
        burst=chance.random() < 0.2,
        role_chunk=chance.random() < 0.9,
    )


def _cut(chance: Chance) -> Step:
    how: How = chance.choice(("fin", "rst", "end"))
    return Answer(words=WORDS, interval=0.002, brk=Break(how, after_bytes=chance.randrange(STREAM_BYTES)))


def _stall(chance: Chance) -> Step:
    return Answer(words=WORDS, brk=Break("stall", after_chunks=chance.randrange(1, WORDS)))


def _garbage(chance: Chance) -> Step:
    send = chance.choice((b"data: {oops\n\n", b"\x00\xff\xfe\n\n", b"<html>bad gateway</html>\n\n"))
    return Answer(words=WORDS, interval=0.001, brk=Break("continue", after_chunks=chance.randrange(WORDS), send=send))


def _error_inside(chance: Chance) -> Step:
    brk = Break(chance.choice(("end", "continue")), after_chunks=chance.randrange(WORDS), send=steps.in_band_error())
    return Answer(words=WORDS, interval=0.001, brk=brk)


def _gave_up(chance: Chance) -> Step:
    """Returns a vLLM that is told to end: finish_reason, usage and [DONE] after a part of the answer."""
    said = b'data: {"choices":[{"index":0,"delta":{"content":" "},"finish_reason":"abort"}]}\n\ndata: [DONE]\n\n'
    return Answer(words=WORDS, interval=0.001, brk=Break("end", after_chunks=chance.randrange(1, WORDS), send=said))


#: Weight of each fault, and what makes it.
FAULTS_OF_A_HOUSE: tuple[tuple[int, Callable[[Chance], Step]], ...] = (
    (24, _cut),
    (6, _stall),
    (8, _garbage),
    (8, _error_inside),
    (6, _gave_up),
    (6, lambda chance: steps.server_error(chance.choice((500, 502, 504)))),
    (5, lambda chance: steps.loading()),
    (5, lambda chance: steps.rate_limited(0.2)),
    (5, lambda chance: Reset(delay=chance.random() * 0.01)),
    (5, lambda chance: Close(delay=chance.random() * 0.01)),
    (4, lambda chance: Silence(headers=chance.random() < 0.5)),
    (4, lambda chance: Answer(words=WORDS, first_delay=LATE_SECONDS)),
    (3, lambda chance: Answer(words=WORDS, header_delay=LATE_SECONDS)),
    (4, lambda chance: Answer(words=WORDS, finish_reason=None)),
    (4, lambda chance: Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", "rst")),
    (3, lambda chance: Raw(b"\x16\x03\x01 no HTTP here\r\n\r\n")),
)


def storms(house: int, seconds: float) -> bool:
    """Returns whether it storms over this house (0 or 1), `seconds` after the start."""
    turn, into = divmod(seconds, STORM_EVERY)
    return int(turn) % 2 == house and into >= STORM_EVERY - STORM_SECONDS


def house_step(chance: Chance, share: float) -> Step:
    """Returns the next answer of a house, of whose answers `share` fail."""
    if chance.random() >= share:
        return good(chance)
    if share == STORM_FAULTS and chance.random() < 0.05:
        return steps.rate_limited(chance.choice((None, 10)))  # keeps requests away for a while
    weights = [weight for weight, _ in FAULTS_OF_A_HOUSE]
    return chance.choices([make for _, make in FAULTS_OF_A_HOUSE], weights)[0](chance)


def cloud_step(chance: Chance) -> Step:
    """Returns the next answer of the cloud, which always answers; not always fast, and not always with [DONE]."""
    if chance.random() < 0.05:
        return Answer(words=WORDS, first_delay=0.3, done=chance.random() < 0.5, framing="close")
    return good(chance)
