"""IdleServer is a fake llama-server that only answers /metrics: busy for a number of scrapes, then idle."""

from __future__ import annotations

from tests.support.local_server import Handler, LocalServer

# Lines as llama-server build 11669 writes them, help lines included: they name the gauges, too.
_METRICS = """\
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing {processing}
# HELP llamacpp:requests_deferred Number of requests deferred.
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred {deferred}
"""


class IdleServer(LocalServer):
    """Listens on a free port while it is entered. `asked` counts the scrapes."""

    def __init__(self, busy_answers: int, status: int = 200) -> None:
        self.asked = 0
        outer = self

        class Answers(Handler):
            def do_GET(self) -> None:
                outer.asked += 1
                busy = outer.asked <= busy_answers
                # The last busy scrape has only a waiting request, which counts as busy, too.
                processing = int(busy and outer.asked < busy_answers)
                body = _METRICS.format(processing=processing, deferred=int(busy)).encode()
                self.answer(status, body)

        super().__init__(Answers)
