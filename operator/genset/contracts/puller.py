"""The puller's contract is what it is asked for and what it answers: arguments, progress, last words and exit codes.

The operator writes the arguments of the init container, and the puller reads them; the puller tells how far it is and how
it ended, and the operator reads that. Three things more are decided here, on which both must agree:

1. **Identity.** `FetchSpec.hash` covers what identifies the bytes and nothing else. A mirror (`endpoint`), a token or
   a download URL may change without a new download, because the resolved content is checked by checksum anyway.
2. **Path.** The engine's `-m` must be known before anything is downloaded: `INTO/<hash>/current/<name>`. The folder
   `current` appears by a rename once a whole model is complete and verified (see `volume`), so a file that is open
   in another pod is never replaced or truncated.
3. **Secrets.** They never appear in arguments. They are files under `CREDENTIALS_DIR`, mounted from Secrets into the
   puller only.

A split model (`contracts.shards`) is asked for by its number: `file` ends in `-of-NNNNN.gguf`, e.g.
`*Q8_0-00001-of-00003.gguf`, and the shards are placed as `model-00001-of-00003.gguf` and so on. A pattern that matches a
split model without saying the number is refused by the puller, with the text to write instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from genset.addresses import server_of
from genset.contracts.reading import count, parsed, text
from genset.contracts.shards import model_file_names
from genset.contracts.sources import RemoteSource, source_of

CREDENTIALS_DIR = "/etc/genset/weights"  # Secrets of the source, mounted into the puller only
TOKEN_FILE = f"{CREDENTIALS_DIR}/token"  # access token of a hub
HEADERS_FILE = f"{CREDENTIALS_DIR}/headers"  # request headers, one `Name: value` per line
CA_FILE = f"{CREDENTIALS_DIR}/ca.crt"  # certificates (PEM) that sign the server
TERMINATION_LOG = "/dev/termination-log"  # where the kubelet reads a container's last words
#: File of each Secret of a source, by the field of `FetchSpec` that names it.
CREDENTIAL_FILES = {"token_file": TOKEN_FILE, "headers_file": HEADERS_FILE, "ca_file": CA_FILE}
SITE_FOLDER = "/etc/genset/site"  # what the operator's administrator gives to all pods
SITE_CA_FILE = f"{SITE_FOLDER}/ca.crt"  # certificates (PEM) that are trusted beside the system's
#: Variable with the server that the site's token is for, and the token: `HOST:PORT TOKEN`.
SITE_TOKEN_VARIABLE = "GENSET_SITE_TOKEN"
PROGRESS_PATH = "/-/progress"  # of the HTTP server at `listen`

_VERB = ("weights", "fetch")
_HASH_LENGTH = 16  # hexadecimal digits in paths: 64 bits, for the few models of one volume
_LAST_WORDS_BYTES = 4_096  # of a termination message that the kubelet keeps


class ExitCode(IntEnum):
    """An exit code says how a puller fails. Wrong arguments are 2, as everywhere."""

    RETRY = 1  # a later try may succeed: network, server, disk pressure
    PERSON = 3  # the same try would fail again: a person must change something


# Flag of each field of a FetchSpec, in the order of the arguments; those of its source come first.
COMMON_FLAGS = {
    "into": "--into",
    "listen": "--listen",
    "token_file": "--token-file",
    "headers_file": "--headers-file",
    "ca_file": "--ca-file",
    "termination_log": "--termination-log",
}
SWITCHES = {"settled": "--settled", "exclusive": "--exclusive"}  # last, in this order


def site_token(url: str, token: str) -> str:
    """Writes the site's token together with the only server that it may be sent to."""
    return f"{server_of(url).shown(with_port=True)} {token}"


def site_token_for(url: str, written: str) -> str:
    """Returns the token if it may be sent to the server of a URL; "" if it is for another one, or would not be secret."""
    server, _, token = written.partition(" ")
    return token if url.startswith("https://") and server == server_of(url).shown(with_port=True) else ""


@dataclass(frozen=True)
class FetchSpec:
    """A fetch spec is one download: source, place, credentials (as paths of files) and how to report."""

    source: RemoteSource
    into: str  # folder of the volume
    listen: str = ""  # HOST:PORT of the progress server; empty: none
    token_file: str = ""  # credentials: paths of files, see CREDENTIALS_DIR
    headers_file: str = ""
    ca_file: str = ""
    termination_log: str = ""  # empty: none
    exclusive: bool = False  # no other pod can mount the volume: other models on it may go when space is needed
    settled: bool = False  # a complete model is served as it is; the source is not asked for a newer one

    @property
    def hash(self) -> str:
        """Returns the SHA-256 over what identifies the bytes."""
        return hashlib.sha256(json.dumps(dict(self.source.identity), sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> str:
        """Returns the folder of everything of this spec on the volume: finished models, partial downloads, the lock."""
        return f"{self.into}/{self.hash[:_HASH_LENGTH]}"

    @property
    def model_path(self) -> str:
        """Returns the path for the engine's `-m`: the model, or its first shard. It is known before the download."""
        return f"{self.folder}/current/{model_file_names(self.source.shards)[0]}"

    def to_args(self) -> list[str]:
        """Returns the arguments of the `genset` command, without secrets."""
        args = list(_VERB)
        for owner, flags in ((self.source, self.source.FLAGS), (self, COMMON_FLAGS)):
            for name, flag in flags.items():
                value = getattr(owner, name)
                if value:
                    args += [flag, value]
        return [*args, *(flag for name, flag in SWITCHES.items() if getattr(self, name))]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> FetchSpec:
        """Reads what a command line says, by the names of the fields; None for a field of the source whose flag is not
        there.

        Exactly one kind of source must be named, and completely. Raises ValueError.
        """
        common = {name: options[name] for name in (*COMMON_FLAGS, *SWITCHES)}
        source = {name: value for name, value in options.items() if name not in common and value is not None}
        return cls(source_of(source), **common)


@dataclass(frozen=True)
class CheckSpec:
    """A check is of a file that someone else put in place (pvc, hostPath): nothing is downloaded, it is only looked at."""

    path: str  # absolute, as the puller and the engine see it
    termination_log: str = ""

    @property
    def model_path(self) -> str:
        """Returns the path for the engine's `-m`."""
        return self.path

    def to_args(self) -> list[str]:
        """Returns the arguments of the `genset` command."""
        args = ["weights", "check", self.path]
        return [*args, "--termination-log", self.termination_log] if self.termination_log else args


@dataclass(frozen=True)
class DownloadProgress:
    """Progress says how far a download is. `state`: downloading, verifying, done, failed."""

    state: str
    received: int = 0  # bytes on disk
    total_bytes: int = 0  # 0 while unknown
    revision: str = ""  # commit, for a hub
    file: str = ""  # name at the source of the file in work
    reason: str = ""  # of the failure, or of the trouble that is being retried
    message: str = ""

    def to_json(self) -> bytes:
        document = {
            "state": self.state,
            "bytes": self.received,
            "totalBytes": self.total_bytes,
            "revision": self.revision,
            "file": self.file,
            "reason": self.reason,
            "message": self.message,
        }
        return json.dumps(document).encode()

    @classmethod
    def from_json(cls, body: bytes) -> DownloadProgress | None:
        """Reads progress; None for anything else, e.g. an answer cut short."""
        document = parsed(body)
        if not isinstance(document.get("state"), str):
            return None
        return cls(
            state=document["state"],
            received=count(document.get("bytes")),
            total_bytes=count(document.get("totalBytes")),
            revision=text(document.get("revision")),
            file=text(document.get("file")),
            reason=text(document.get("reason")),
            message=text(document.get("message")),
        )


@dataclass(frozen=True)
class LastWords:
    """The last words are the termination message of a puller's container: why it failed, or what stays readable when
    its server has ended."""

    reason: str = ""
    message: str = ""
    total_bytes: int = 0  # of the model; 0: not told
    revision: str = ""

    def to_json(self) -> str:
        """Writes them short enough to survive the kubelet's limit as a whole."""
        facts = {"totalBytes": self.total_bytes, "revision": self.revision} if self.total_bytes else {}
        message = self.message
        while True:
            words = json.dumps({"reason": self.reason, "message": message, **facts}, ensure_ascii=False)
            if len(words.encode()) <= _LAST_WORDS_BYTES:
                return words
            message = message[: len(message) * 3 // 4]

    @classmethod
    def from_json(cls, words: str) -> LastWords:
        """Reads them. They are empty if nothing was left: it was killed, or only looked at a file."""
        document = parsed(words)
        return cls(
            reason=text(document.get("reason")),
            message=text(document.get("message")),
            total_bytes=count(document.get("totalBytes")),
            revision=text(document.get("revision")),
        )
