"""Adapters join a running vLLM, and leave it, as a list says: nothing is restarted, and no request is cut.

vLLM loads and unloads by two paths of its own (POST /v1/load_lora_adapter and /v1/unload_lora_adapter, docs/features/lora.md), if
it is started with VLLM_ALLOW_RUNTIME_LORA_UPDATING. What it has loaded stands in /v1/models: adapters have a `parent`, and `root`
is the folder that they came from. This runs beside the server, in its pod, and asks it over the loopback.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from genset.contracts import adapter_list

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two looks at list and server
AGAIN_SECONDS = 30.0  # before an adapter is tried again that the server has refused
CALL_SECONDS = 60.0  # for one call: loading reads the adapter's files
WHOLE = "adapter_config.json"  # an adapter's folder is complete when this is there: the puller renames whole folders
FIRST_SECONDS = (
    120.0  # after the server's first answer, in which the pod waits for adapters that are still being fetched
)


class LoadFailure(NamedTuple):
    """A failure is why an adapter is not loaded. `path` is where it was looked for, `at` is in seconds of the clock."""

    path: str
    message: str
    at: float


class Joined:
    """The joined are the adapters of one server, as the list wants them.

    `ready` is true from the moment when each adapter of the list was loaded, or could not be: then nothing more is to be waited
    for. It stays true: an adapter that comes later keeps nobody from the model.
    """

    def __init__(
        self,
        file: Path,
        http: httpx.Client,
        fixed: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fixed` are adapters that the server was started with: they stay whatever the list says."""
        self._file = file
        self._http = http
        self._fixed = fixed
        self._clock = clock
        self._answered_at: float | None = None
        self._mark = ""  # of the list that the last step brought the server to
        self.failures: dict[str, LoadFailure] = {}
        self.ready = False

    def step(self) -> None:
        """Brings the server one step nearer to the list. Failures are kept, and tried again."""
        try:
            wanted = adapter_list.read(self._file.read_text())
        except FileNotFoundError:
            wanted = {}  # the ConfigMap is about to be made
        except (OSError, ValueError) as problem:
            log.warning("Kept the adapters as they are: %s: %s", self._file, problem)
            return
        try:
            loaded = self._loaded()
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as problem:
            log.debug("Failed to ask the server for its models: %s", problem)
            return  # it is starting, or on its way out
        if self._answered_at is None:
            self._answered_at = self._clock()
        self.failures = {name: failure for name, failure in self.failures.items() if wanted.get(name) == failure.path}
        for name, path in loaded.items():
            if name not in self._fixed and wanted.get(name) != path:
                self._unload(name)
                loaded = {**loaded, name: ""}
        missing = [name for name, path in wanted.items() if loaded.get(name) != path]
        for name in missing:
            self._load(name, wanted[name])
        self._mark = adapter_list.mark(wanted)
        self._judge()

    def report(self) -> adapter_list.AdapterReport:
        """Returns what has become of the list. Another thread asks: everything is read once."""
        mark, failures = self._mark, self.failures
        refused = {name: failure.message for name, failure in failures.items() if failure.message != _MISSING}
        return adapter_list.AdapterReport(mark, refused, len(failures) - len(refused))

    def _judge(self) -> None:
        if self.ready or self._answered_at is None:
            return
        waited = self._clock() - self._answered_at >= FIRST_SECONDS
        if waited or not any(failure.message == _MISSING for failure in self.failures.values()):
            self.ready = True
            log.info("The server has its adapters%s", " but for those told above" if self.failures else "")

    def _loaded(self) -> dict[str, str]:
        answer = self._http.get("/v1/models")
        answer.raise_for_status()
        return {one["id"]: str(one.get("root") or "") for one in answer.json()["data"] if one.get("parent")}

    def _load(self, name: str, path: str) -> None:
        before, now = self.failures.get(name), self._clock()
        if not (Path(path) / WHOLE).is_file():
            self._failed(name, path, _MISSING)
            return
        if before is not None and before.message != _MISSING and now - before.at < AGAIN_SECONDS:
            return
        problem = self._call("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        if problem:
            self._failed(name, path, problem)
        else:
            self.failures = {other: failure for other, failure in self.failures.items() if other != name}
            log.info("Loaded adapter %s from %s", name, path)

    def _unload(self, name: str) -> None:
        problem = self._call("/v1/unload_lora_adapter", {"lora_name": name})
        log.log(
            logging.WARNING if problem else logging.INFO,
            "Unloaded adapter %s%s",
            name,
            f": {problem}" if problem else "",
        )

    def _call(self, path: str, body: dict[str, Any]) -> str:
        """Returns what the server has against it; "" if it has done it."""
        try:
            answer = self._http.post(path, json=body)
        except httpx.HTTPError as problem:
            return f"the server did not answer: {problem}"
        if answer.status_code == 200:
            return ""
        return f"the server answered {answer.status_code}: {_words(answer)}"

    def _failed(self, name: str, path: str, message: str) -> None:
        before = self.failures.get(name)
        if before is None or before.message != message:
            log.warning("Failed to load adapter %s from %s: %s", name, path, message)
        self.failures = {**self.failures, name: LoadFailure(path, message, self._clock())}


_MISSING = "its folder is not there yet"


def _words(answer: httpx.Response) -> str:
    try:
        error = answer.json().get("error")
        return str(error.get("message") if isinstance(error, dict) else error)[:500]
    except (json.JSONDecodeError, AttributeError):
        return " ".join(answer.text.split())[:500]


def keep(joined: Joined, told: Callable[[Joined], None]) -> None:
    """Follows the list until the process is ended. `told` hears of each step."""
    while True:
        joined.step()
        told(joined)
        time.sleep(LOOK_SECONDS)


def client(url: str) -> httpx.Client:
    """Makes the client of a server in the same pod: no proxy stands before it."""
    return httpx.Client(base_url=url, timeout=CALL_SECONDS, trust_env=False)
