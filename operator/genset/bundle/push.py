"""A bundle is pushed to a registry as the OCI distribution-spec says: blobs that it lacks, then manifests, each by digest.

The registry holds every blob against its digest as it comes in. A run that was ended goes on from the first blob that the
registry lacks. oras-py would do the same over requests; here proxies, certificates, log-in and patience are those of the
puller, which speaks the other half of the same protocol (`weights.registry`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from genset.bundle import archive, layout, reference
from genset.bundle.errors import BundleError
from genset.bundle.gather import Means, asked
from genset.bundle.verify import Opened
from genset.contracts.bundle import Artifact, Blob
from genset.contracts.sources import Oci
from genset.times import retry_after
from genset.weights.client import transport_errors
from genset.weights.failure import unreachable
from genset.weights.progress import ProgressLog
from genset.weights.registry import Registry, knows
from genset.weights.retry import Transient

_LOGIN = "log in with docker login as somebody who may push there, or name a Docker configuration (--docker-config)"


@dataclass(frozen=True)
class Pushed:
    """This is where something lies now: by digest, and the tag for people."""

    name: str  # HOST/REPOSITORY@DIGEST
    tag: str


class Pusher:
    """A pusher fills one registry from one bundle. `target` is HOST[:PORT], with a path if everything goes below one."""

    def __init__(self, opened: Opened, target: str, means: Means, client: httpx.Client, progress: ProgressLog) -> None:
        self._opened = opened
        self._target = target.strip("/")
        self._means = means
        self._client = client
        self._progress = progress
        self._sent = 0
        self._stream = opened.path.open("rb")

    def close(self) -> None:
        self._stream.close()

    def push(self, one: Artifact) -> Pushed:
        """Pushes an artifact with all that it names. Raises BundleError."""
        repository = reference.repository_of(one.name)
        source = reference.source_of(f"{self._target}/{repository}:latest", self._means.plain)
        config = self._means.docker_config
        registry = Registry(source, self._client, config if knows(config, source) else "", login=_LOGIN)
        to = _Repository(self, source, registry)
        root, content = self._root(one.root)
        tag = reference.tag_of(one.name, root.digest)
        self._fill(to, root, content)
        to.manifest(root, content, tag)
        return Pushed(f"{self._target}/{repository}@{root.digest}", tag)

    def _root(self, root: Blob) -> tuple[Blob, bytes]:
        """Returns what becomes of an index of which only some platforms are here: the only one, or an index of those.

        A registry refuses an index whose manifests it lacks.
        """
        content = self._opened.read(root.digest)
        document = json.loads(content)
        if not isinstance(document.get("manifests"), list):
            return root, content
        there = [one for one in document["manifests"] if one["digest"] in self._opened.members]
        if len(there) == len(document["manifests"]):
            return root, content
        if len(there) == 1:
            only = Blob(media_type=there[0]["mediaType"], digest=there[0]["digest"], size=there[0]["size"])
            return only, self._opened.read(only.digest)
        content = layout.written({**document, "manifests": there})
        return layout.blob_of(root.media_type, content), content

    def _fill(self, to: _Repository, root: Blob, content: bytes) -> None:
        for blob, is_manifest in layout.references(content, root.media_type):
            if is_manifest:
                inner = self._opened.read(blob.digest)
                self._fill(to, blob, inner)
                to.manifest(blob, inner, blob.digest)
            else:
                to.blob(blob)
                self._sent += blob.size
                self._progress.update(received=self._sent, file=to.shown)

    def content(self, blob: Blob) -> Iterator[bytes]:
        return archive.content(self._stream, self._opened.members[blob.digest])

    def asked(self, shown: str, question: Callable[[], Any]) -> Any:
        return asked(shown, question, self._means.retry, self._progress)


class _Repository:
    """This is one repository, as it is written to."""

    def __init__(self, pusher: Pusher, source: Oci, registry: Registry) -> None:
        self._pusher = pusher
        self._registry = registry
        self._client = registry.client
        self._base = f"{source.server}/v2/{source.repository}"
        self.shown = f"{source.reference.partition('/')[0]}/{source.repository}"

    def blob(self, blob: Blob) -> None:
        """Uploads a blob, unless the registry has it."""
        self._pusher.asked(f"{self.shown} {blob.digest[:19]}", lambda: self._blob(blob))

    def manifest(self, blob: Blob, content: bytes, reference_: str) -> None:
        url = f"{self._base}/manifests/{reference_}"
        kind = {"content-type": blob.media_type}
        answer = self._pusher.asked(
            self.shown, lambda: self._send("PUT", url, kind, lambda: content, good=(200, 201, 202))
        )
        told = answer.headers.get("docker-content-digest", blob.digest)
        if told != blob.digest:
            raise BundleError(
                f"{self.shown}: the registry keeps {told} in place of {blob.digest}: it changes what it is given"
            )

    def _blob(self, blob: Blob) -> None:
        found = self._send("HEAD", f"{self._base}/blobs/{blob.digest}", {}, None, good=(200, 404, 405))
        if found.status_code == 200 and found.headers.get("content-length", str(blob.size)) == str(blob.size):
            return
        began = self._send("POST", f"{self._base}/blobs/uploads/", {"content-length": "0"}, lambda: b"", good=(202,))
        where = httpx.URL(urljoin(f"{self._base}/blobs/uploads/", began.headers.get("location", "")))
        target = str(where.copy_merge_params({"digest": blob.digest}))
        sent = {"content-type": "application/octet-stream", "content-length": str(blob.size)}
        self._send("PUT", target, sent, lambda: self._pusher.content(blob), good=(201, 204))

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: Callable[[], Any] | None, *, good: tuple[int, ...]
    ) -> httpx.Response:
        """Sends one request, and once more after a log-in. Raises Transient, or WeightsFailure."""
        same = urlsplit(url)[:2] == urlsplit(self._base)[:2]  # elsewhere nobody is told who we are
        with transport_errors(url):
            for _ in range(2):
                own = self._registry.headers() if same else {}
                answer = self._client.request(method, url, headers={**own, **headers}, content=body() if body else None)
                if answer.status_code in good:
                    return answer
                if answer.status_code != 401 or not self._registry.log_in(
                    answer.headers.get("www-authenticate", ""), anew=True
                ):
                    break
        self._registry.check(answer)
        reason = _words(answer)
        trouble = unreachable(f"{self.shown}: the registry answered {answer.status_code} to {method}{reason}")
        if answer.status_code in (408, 429) or answer.status_code >= 500:
            raise Transient(trouble, wait=retry_after(answer.headers.get("retry-after", ""), 0.0))
        raise trouble


def _words(answer: httpx.Response) -> str:
    try:
        return f": {answer.json()['errors'][0]['message']}"[:300]
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
