"""What a server tells of itself, such as the files of a repository, is held in memory: it may be only so long, and take only
so much time.

A file is another matter: it goes to a volume, which has a bound of its own (`reader`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from genset.api.modeldeployment import Reason
from genset.weights.failure import WeightsFailure, unreachable
from genset.weights.origin import without_secrets
from genset.weights.retry import Transient

LISTING_BYTES = 64 << 20  # of a repository with 100,000 files some 40 MB
LISTING_SECONDS = 120.0  # a server that sends a byte now and then is not waited for any longer


def bounded(library: Any, transport: Any, clock: Callable[[], float] = time.monotonic) -> Any:
    """Returns a transport of httpx or httpx2 whose answers end after `LISTING_BYTES`, or `LISTING_SECONDS`.

    They come as they are: what a server has compressed could be a thousand times as long.
    """

    class BriefAnswers(library.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            request.headers["accept-encoding"] = "identity"
            answer, shown = transport.handle_request(request), without_secrets(str(request.url))
            encoding = answer.headers.get("content-encoding", "identity")
            if encoding != "identity":
                answer.close()
                raise WeightsFailure(
                    Reason.SOURCE_UNREACHABLE,
                    f"{shown} came compressed ({encoding[:32]}) although that was declined; have the server answer as it is",
                )
            pieces = _stream(library, answer.stream, shown, clock)
            return library.Response(
                answer.status_code, headers=answer.headers, stream=pieces, extensions=answer.extensions
            )

        def close(self) -> None:
            transport.close()

    return BriefAnswers()


def _stream(library: Any, pieces: Any, shown: str, clock: Callable[[], float]) -> Any:
    class BriefStream(library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            held, end = 0, clock() + LISTING_SECONDS
            for piece in pieces:
                held += len(piece)
                if held > LISTING_BYTES:
                    raise WeightsFailure(
                        Reason.SOURCE_UNREACHABLE,
                        f"{shown} answers more than {LISTING_BYTES >> 20} MiB, which no list of files has; check the endpoint",
                    )
                if clock() > end:
                    raise Transient(unreachable(f"{shown} takes more than {LISTING_SECONDS:.0f} s for its answer"))
                yield piece

        def close(self) -> None:
            pieces.close()

    return BriefStream()
