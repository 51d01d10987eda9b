"""Source `huggingFace` is a revision of a repository, resolved to a commit, and in it the files of exactly one model.

One request of the hub's own client lists the commit with sizes and checksums; the bytes then come through our reader,
so that progress, resuming and verification are the same for every source. The client writes nothing: no cache, no
token, no telemetry, and it reads no token but the one in the mounted Secret.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genset.api.modeldeployment import Reason
from genset.contracts.puller import SITE_TOKEN_VARIABLE, FetchSpec, site_token_for
from genset.contracts.sources import PUBLIC_HUB, HuggingFace
from genset.off_limits import OffLimits
from genset.times import retry_after
from genset.weights.bounded import bounded
from genset.weights.choice import Listed, Wish, one_model, whole_folder
from genset.weights.client import tls_context, trouble_of
from genset.weights.failure import WeightsFailure, unreachable
from genset.weights.guard import guard_of
from genset.weights.origin import Checksum, Lookup, RemoteFile, Resolved
from genset.weights.proxy import transport
from genset.weights.retry import Transient

LOGIN = (
    "gated and private repositories need source.huggingFace.tokenSecretRef with a token that may read them; for a "
    "gated one, its owner's terms must be accepted on the hub, too"
)
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_REVISION = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]*\Z")  # of a hub or mirror, which may count commits in its own way


@dataclass(frozen=True)
class HubFile(Listed):
    """This is one file of a commit, as the hub lists it."""

    sha256: str = ""  # of files in large-file storage
    blob: str = ""  # git's SHA-1 of the others


def is_commit(revision: str) -> bool:
    """Returns whether it is a full commit, which can't move; a branch or tag can."""
    return bool(_COMMIT.match(revision))


def choose(source: HuggingFace, files: Iterable[HubFile], *, whole: bool = False) -> list[HubFile]:
    """Returns the files of the one model that the patterns mean, in the order of their shards; or of the whole folder. Pure."""
    where = f"{source.repo} at {source.revision}"
    if whole:
        return whole_folder(Wish(where, "source.huggingFace"), files, source.include, source.exclude)
    return one_model(Wish(where, "source.huggingFace.file", source.file, source.repo), files)


def resolve(source: HuggingFace, spec: FetchSpec) -> Resolved:
    """Asks the hub. Raises WeightsFailure, or Transient for what may pass."""
    endpoint = (source.endpoint or PUBLIC_HUB).rstrip("/")
    token = read_token(spec.token_file) or _site_token(endpoint, spec)
    hub = _import_hub(tls_context(spec.ca_file), guard_of(spec))
    info = _ask(
        source,
        endpoint,
        lambda: hub.HfApi(endpoint=endpoint, library_name="genset").model_info(
            source.repo, revision=source.revision, files_metadata=True, timeout=30, token=token or False
        ),
    )
    commit = info.sha
    if not commit:
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE, f"{endpoint} did not say which commit {source.revision} of {source.repo} is"
        )
    if not isinstance(commit, str) or not _REVISION.match(commit):
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE,
            f"{endpoint} names no commit of {source.repo} that a URL could hold; check source.huggingFace.endpoint",
        )
    chosen = choose(source, [_hub_file(sibling) for sibling in info.siblings or []], whole=spec.whole_folder)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    files = [_remote(source, file, endpoint, commit, headers, hub.hf_hub_url) for file in chosen]
    if spec.whole_folder:
        files = [replace(file, path=file.name) for file in files]
    return Resolved(tuple(files), commit)


def read_token(path: str) -> str:
    """Reads the token from the mounted Secret; empty without a path."""
    if not path:
        return ""
    try:
        token = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        token, problem = "", f"can't be read: {error}"
    else:
        problem = "is empty"
    if not token or not token.isascii() or not token.isprintable():
        problem = "is no token" if token else problem
        raise WeightsFailure(
            Reason.SOURCE_UNAUTHORIZED, f"The token of source.huggingFace.tokenSecretRef ({path}) {problem}"
        )
    return token


def _site_token(endpoint: str, spec: FetchSpec) -> str:
    """Returns the token of the operator's site, for its own hub alone, and only if the resource does not say who that is."""
    return "" if spec.ca_file else site_token_for(endpoint, os.environ.get(SITE_TOKEN_VARIABLE, ""))


def _import_hub(tls: ssl.SSLContext | bool, off_limits: OffLimits | None) -> Any:
    """Imports the hub's client, told to leave no trace. It reads these settings once, when it is imported."""
    for name in (
        "HF_HUB_DISABLE_TELEMETRY",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "HF_HUB_DISABLE_PROGRESS_BARS",
        "HF_HUB_DISABLE_UPDATE_CHECK",
    ):
        os.environ.setdefault(name, "1")
    import httpx2  # what huggingface_hub 2 itself is built on
    import huggingface_hub

    huggingface_hub.set_client_factory(
        lambda: httpx2.Client(
            transport=bounded(httpx2, transport(httpx2, tls, os.environ, off_limits)),
            trust_env=False,
            follow_redirects=True,
            timeout=30,
        )
    )
    return huggingface_hub


def _ask(source: HuggingFace, endpoint: str, question: Callable[[], Any]) -> Any:
    """Calls the hub's client and says in our words what went wrong."""
    import httpx2
    from huggingface_hub import errors

    where = f"{source.repo} at {endpoint}"
    try:
        return question()
    except errors.RevisionNotFoundError as error:
        raise WeightsFailure(
            Reason.SOURCE_NOT_FOUND, f"{where} has no revision {source.revision!r} (source.huggingFace.revision)"
        ) from error
    except errors.GatedRepoError as error:
        raise WeightsFailure(Reason.SOURCE_UNAUTHORIZED, f"{where} is gated; {LOGIN}") from error
    except errors.HfHubHTTPError as error:
        raise _status_failure(where, error.response.status_code, error.response.headers) from error
    except errors.OfflineModeIsEnabled as error:
        raise unreachable(f"{where} was not asked: HF_HUB_OFFLINE is set") from error
    except httpx2.TransportError as error:
        raise trouble_of(error, endpoint) from error
    except (errors.HFValidationError, httpx2.InvalidURL) as error:
        raise WeightsFailure(Reason.SOURCE_NOT_FOUND, f"{where}: {error}") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:  # what the client does with a foreign answer
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE,
            f"{endpoint} did not answer as a hub does ({type(error).__name__}); check source.huggingFace.endpoint",
        ) from error


def _status_failure(where: str, status: int, headers: Mapping[str, str]) -> WeightsFailure | Transient:
    if status == 401:
        # The hub answers 401 for repositories that don't exist, too, so as not to tell who has what.
        return WeightsFailure(Reason.SOURCE_UNAUTHORIZED, f"{where} does not exist, or is not public; {LOGIN}")
    if status == 403:
        return WeightsFailure(Reason.SOURCE_UNAUTHORIZED, f"{where} is not for this token; {LOGIN}")
    if status in (404, 410):
        return WeightsFailure(Reason.SOURCE_NOT_FOUND, f"{where} does not exist (source.huggingFace.repo)")
    if status in (408, 425, 429) or status >= 500:
        return Transient(
            unreachable(f"{where} answered {status}"), wait=retry_after(headers.get("retry-after", ""), time.time())
        )
    return WeightsFailure(Reason.SOURCE_UNREACHABLE, f"{where} answered {status}")


def _hub_file(sibling: Any) -> HubFile:
    lfs = sibling.lfs
    sha256 = str(lfs.sha256).lower() if lfs is not None and lfs.sha256 else ""
    size = lfs.size if lfs is not None and lfs.size is not None else sibling.size
    return HubFile(str(sibling.rfilename), size if isinstance(size, int) else None, sha256, str(sibling.blob_id or ""))


def _remote(
    source: HuggingFace, file: HubFile, endpoint: str, commit: str, headers: dict[str, str], url: Callable[..., str]
) -> RemoteFile:
    if re.fullmatch(r"[0-9a-f]{64}", file.sha256):
        checksum = Checksum("sha256", file.sha256)
    elif re.fullmatch(r"[0-9a-f]{40}", file.blob) and file.size is not None:
        checksum = Checksum("gitSha1", file.blob)
    else:
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE,
            f"{endpoint} gives no checksum for {file.name}, so it could not be verified: use a mirror that passes the "
            "hub's file metadata on, or an http source with sha256",
        )
    return RemoteFile(
        url(source.repo, file.name, revision=commit, endpoint=endpoint),
        file.name,
        checksum,
        file.size,
        headers,
        pinned=True,
    )


LOOKUP = Lookup(HuggingFace, LOGIN, resolve, lambda source: is_commit(source.revision))
