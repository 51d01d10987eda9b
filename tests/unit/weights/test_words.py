"""What the puller says: last words that fit, log lines, waits."""

from __future__ import annotations

import json
import logging

import pytest

from genset.api.modeldeployment import Reason
from genset.contracts.puller import LastWords
from genset.weights.failure import WeightsFailure, size_text, unreachable
from genset.weights.origin import without_secrets
from genset.weights.progress import ProgressLog
from genset.weights.retry import Attempts, Retry, Transient


@pytest.mark.parametrize("message", ["short", "x" * 10_000, "ü" * 10_000, '"\n' * 10_000, "漢" * 5_000, "\0" * 5000])
def test_last_words_fit_and_are_json(message: str) -> None:
    text = LastWords("DiskFull", message).to_json()
    assert len(text.encode()) <= 4096
    said = json.loads(text)
    assert said["reason"] == "DiskFull"
    assert message.startswith(said["message"])
    assert len(said["message"]) >= min(len(message), 500)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (4_130_000_000, "4.1 GB"), (2_000_000_000_000, "2.0 TB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/p/x.gguf?sig=s#f", "https://h/p/x.gguf"),
        ("https://user:pw@h:1/p@q", "https://h:1/p@q"),
        ("http://h", "http://h"),
    ],
)
def test_urls_without_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def attempts(clock: FakeClock) -> Attempts:
    retry = Retry(patience=60, first=1, longest=8, sleep=clock.sleep, clock=lambda: clock.now, jitter=lambda: 1.0)
    return Attempts(retry, ProgressLog(lambda: clock.now))


def test_waits_grow_to_a_limit_and_end_with_patience() -> None:
    clock = FakeClock()
    tries = attempts(clock)
    with pytest.raises(WeightsFailure, match="down"):
        while True:
            tries.wait(Transient(unreachable("down")))
    assert clock.slept == [1, 2, 4, 8, 8, 8, 8, 8, 8]


def test_progress_renews_patience() -> None:
    clock = FakeClock()
    tries = attempts(clock)
    for _ in range(100):
        tries.wait(Transient(unreachable("down")))
        tries.succeeded()
    assert clock.now == 100


def test_the_wait_that_a_server_asks_for_is_kept_or_refused() -> None:
    clock = FakeClock()
    tries = attempts(clock)
    tries.wait(Transient(unreachable("busy"), wait=20))
    assert clock.slept == [20]
    with pytest.raises(WeightsFailure):
        tries.wait(Transient(unreachable("busy"), wait=41))


def test_trouble_shows_in_the_progress_until_it_is_over() -> None:
    clock = FakeClock()
    progress = ProgressLog(lambda: clock.now)
    tries = Attempts(Retry(sleep=clock.sleep, clock=lambda: clock.now, jitter=lambda: 1.0), progress)
    tries.wait(Transient(WeightsFailure(Reason.SOURCE_UNREACHABLE, "No route", permanent=False)))
    assert (progress.snapshot().reason, progress.snapshot().message) == (
        "SourceUnreachable", "No route; tries again in 1 s",
    )  # fmt: skip
    tries.succeeded()
    assert (progress.snapshot().reason, progress.snapshot().message) == ("", "")


def test_log_lines_come_every_few_seconds_with_rate_and_remaining_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    progress = ProgressLog(lambda: clock.now)
    progress.update(file="m.gguf", total_bytes=4_000_000_000)
    for second in range(1, 21):
        clock.now = second
        progress.update(received=second * 50_000_000)
    clock.now = 26
    progress.update(received=20 * 50_000_000)
    assert [record.getMessage() for record in caplog.records] == [
        "Downloaded 6% of m.gguf: 250.0 MB of 4.0 GB at 50.0 MB/s, 1m 15s left",
        "Downloaded 12% of m.gguf: 500.0 MB of 4.0 GB at 50.0 MB/s, 1m 10s left",
        "Downloaded 18% of m.gguf: 750.0 MB of 4.0 GB at 50.0 MB/s, 1m 05s left",
        "Downloaded 25% of m.gguf: 1.0 GB of 4.0 GB at 50.0 MB/s, 1m 00s left",
        "Downloaded 25% of m.gguf: 1.0 GB of 4.0 GB at 0.0 MB/s, stalled",
    ]
