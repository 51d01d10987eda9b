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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from genset.addresses import server_of
from genset.contracts.reading import count, items, parsed, text
from genset.contracts.shards import model_file_names
from genset.contracts.sources import RemoteSource, source_of

CREDENTIALS_DIR = "/etc/genset/weights"  # Secrets of the source, mounted into the puller only
TOKEN_FILE = f"{CREDENTIALS_DIR}/token"  # access token of a hub
HEADERS_FILE = f"{CREDENTIALS_DIR}/headers"  # request headers, one `Name: value` per line
CREDENTIALS_FILE = f"{CREDENTIALS_DIR}/credentials"  # of a bucket or a registry, in the form that its tools have
CA_FILE = f"{CREDENTIALS_DIR}/ca.crt"  # certificates (PEM) that sign the server
TERMINATION_LOG = "/dev/termination-log"  # where the kubelet reads a container's last words
#: File of each Secret of a source, by the field of `FetchSpec` that names it.
CREDENTIAL_FILES = {
    "token_file": TOKEN_FILE, "headers_file": HEADERS_FILE, "credentials_file": CREDENTIALS_FILE, "ca_file": CA_FILE,
}  # fmt: skip
SITE_FOLDER = "/etc/genset/site"  # what the operator's administrator gives to all pods
SITE_CA_FILE = f"{SITE_FOLDER}/ca.crt"  # certificates (PEM) that are trusted beside the system's
#: Variable with the server that the site's token is for, and the token: `HOST:PORT TOKEN`.
SITE_TOKEN_VARIABLE = "GENSET_SITE_TOKEN"
PROGRESS_PATH = "/-/progress"  # of the HTTP server at `listen`
ALSO = "--also"  # flag of a companion; see `Companion`

_VERB = ("weights", "fetch")
_HASH_LENGTH = 16  # hexadecimal digits in paths: 64 bits, for the few models of one volume
_LAST_WORDS_BYTES = 4_096  # of a termination message that the kubelet keeps


class Role(StrEnum):
    """A role is what files are for, which decides what is looked for in them."""

    MODEL = ""
    PROJECTOR = "projector"
    ADAPTER = "adapter"


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
    "credentials_file": "--credentials-file",
    "ca_file": "--ca-file",
    "termination_log": "--termination-log",
    "role": "--role",
    "max_size": "--max-size",
    "volume_size": "--volume-size",
    "forbidden_networks": "--forbidden-networks",
    "allowed_licences": "--allowed-licences",
}
CHECK_FLAGS = {
    "termination_log": "--termination-log", "role": "--role", "image": "--image", "listen": "--listen",
    "volume_size": "--volume-size", "forbidden_networks": "--forbidden-networks",
    "allowed_licences": "--allowed-licences",
}  # fmt: skip
#: Flags of bounds that the operator sets of its own accord: a change of these alone is no other download.
BOUNDS = ("--max-size", "--volume-size", "--forbidden-networks", "--guarded", "--allowed-licences")
SWITCHES = {
    "settled": "--settled", "exclusive": "--exclusive", "guarded": "--guarded", "whole_folder": "--whole-folder",
}  # fmt: skip


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
    credentials_file: str = ""
    ca_file: str = ""
    termination_log: str = ""  # empty: none
    role: str = Role.MODEL
    max_size: int = 0  # bytes that the model may have; 0: not bounded
    volume_size: int = 0  # bytes that everything on the volume may have, whatever its file system says; 0: as it says
    forbidden_networks: str = ""  # ADDRESS/BITS, with commas between: beside those that no pod dials for a resource
    allowed_licences: str = ""  # those that a model may have, with commas between; empty: all
    exclusive: bool = False  # no other pod can mount the volume: other models on it may go when space is needed
    guarded: bool = False  # nothing that is off limits for resources is dialled (`genset.off_limits`)
    settled: bool = False  # a complete model is served as it is; the source is not asked for a newer one
    whole_folder: bool = False  # a whole folder is wanted, as safetensors come, and not one GGUF model

    @property
    def hash(self) -> str:
        """Returns the SHA-256 over what identifies the bytes."""
        identity = {**self.source.identity, **({"form": "folder"} if self.whole_folder else {})}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> str:
        """Returns the folder of everything of this spec on the volume: finished models, partial downloads, the lock."""
        return f"{self.into}/{self.hash[:_HASH_LENGTH]}"

    @property
    def model_path(self) -> str:
        """Returns the path for the engine: the model's file, its first shard, or its folder. It is known before the download."""
        return f"{self.folder}/current" if self.whole_folder else f"{self.folder}/current/{self.names[0]}"

    @property
    def names(self) -> list[str]:
        """Returns the names of the files on the volume, first the one for the engine. A folder's are not known before."""
        return [] if self.whole_folder else model_file_names(self.source.shards)

    def to_args(self) -> list[str]:
        """Returns the arguments of the `genset` command, without secrets."""
        args = list(_VERB)
        for owner, flags in ((self.source, self.source.FLAGS), (self, COMMON_FLAGS)):
            for name, flag in flags.items():
                value = getattr(owner, name)
                if value:
                    args += [flag, str(value)]
        return [*args, *(flag for name, flag in SWITCHES.items() if getattr(self, name))]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> FetchSpec:
        """Reads what a command line says, by the names of the fields; None for a field of the source whose flag is not
        there.

        Exactly one kind of source must be named, and completely. Raises ValueError.
        """
        common = {name: options[name] for name in (*COMMON_FLAGS, *SWITCHES)}
        others = {*common, ALSO.removeprefix("--")}
        source = {name: value for name, value in options.items() if name not in others and value is not None}
        return cls(source_of(source), **common)


@dataclass(frozen=True)
class CheckSpec:
    """A check is of what someone else put in place (pvc, hostPath, an image): nothing is downloaded, it is only looked at."""

    path: str  # absolute, as the puller and the engine see it
    termination_log: str = ""
    role: str = Role.MODEL
    image: str = ""  # reference of the image that is mounted there, for messages
    whole_folder: bool = False
    listen: str = ""  # of this and the following, as for a fetch: for companions that are downloaded
    volume_size: int = 0
    forbidden_networks: str = ""
    allowed_licences: str = ""
    guarded: bool = False

    @property
    def model_path(self) -> str:
        """Returns the path for the engine."""
        return self.path

    def to_args(self) -> list[str]:
        """Returns the arguments of the `genset` command."""
        args = ["weights", "check", self.path]
        for name, flag in CHECK_FLAGS.items():
            value = getattr(self, name)
            args += [flag, str(value)] if value else []
        return [*args, *(SWITCHES[name] for name in ("guarded", "whole_folder") if getattr(self, name))]


@dataclass(frozen=True)
class Companion:
    """A companion is fetched or checked after the model, by the same container: its projector, or an adapter.

    What bounds all downloads of a pod is said with the model only. `name` is that of the part in status; `field` is the path
    of its source in the resource, for messages.
    """

    name: str
    field: str
    spec: FetchSpec | CheckSpec

    def to_arg(self) -> str:
        """Returns the value of `--also`: a JSON list of name, field and arguments."""
        return json.dumps([self.name, self.field, *self.spec.to_args()[1:]])


def to_args(model: FetchSpec | CheckSpec, companions: Sequence[Companion] = ()) -> list[str]:
    """Returns the arguments for everything that a pod loads."""
    return [*model.to_args(), *(item for one in companions for item in (ALSO, one.to_arg()))]


def companion_args(value: str) -> tuple[str, str, list[str]]:
    """Reads the value of `--also`: name, field, and the arguments from the verb on. Raises ValueError."""
    try:
        given = json.loads(value)
    except ValueError as error:
        raise ValueError(f"{ALSO}: no JSON: {error}") from error
    if not isinstance(given, list) or len(given) < 4 or not all(isinstance(item, str) for item in given):
        raise ValueError(f"{ALSO}: write [NAME, FIELD, fetch or check, ARGUMENT, ...]")
    return given[0], given[1], given[2:]


@dataclass(frozen=True)
class PartProgress:
    """This is how far one of several parts is. `state`: waiting, downloading, done."""

    name: str
    state: str
    total_bytes: int = 0  # 0 while unknown
    revision: str = ""

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "state": self.state, "totalBytes": self.total_bytes, "revision": self.revision}

    @classmethod
    def read(cls, document: Any) -> tuple[PartProgress, ...]:
        """Reads a list of them; what is none is left out."""
        found = [item for item in items(document) if isinstance(item, dict) and text(item.get("name"))]
        return tuple(
            cls(text(one["name"]), text(one.get("state")), count(one.get("totalBytes")), text(one.get("revision")))
            for one in found
        )


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
    parts: tuple[PartProgress, ...] = ()  # of the model and its companions; empty if there are none of those

    def to_json(self) -> bytes:
        document: dict[str, Any] = {
            "state": self.state,
            "bytes": self.received,
            "totalBytes": self.total_bytes,
            "revision": self.revision,
            "file": self.file,
            "reason": self.reason,
            "message": self.message,
        }
        if self.parts:
            document["parts"] = [part.document() for part in self.parts]
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
            parts=PartProgress.read(document.get("parts")),
        )


@dataclass(frozen=True)
class LastWords:
    """The last words are the termination message of a puller's container: why it failed, or what stays readable when
    its server has ended."""

    reason: str = ""
    message: str = ""
    total_bytes: int = 0  # of the model; 0: not told
    revision: str = ""
    parts: tuple[PartProgress, ...] = ()
    model: Mapping[str, Any] = field(default_factory=dict)  # what its files say of it, see `sizing.told`

    def to_json(self) -> str:
        """Writes them short enough to survive the kubelet's limit as a whole: facts of the model and parts go first if there
        is no room."""
        facts: dict[str, Any] = {"totalBytes": self.total_bytes, "revision": self.revision} if self.total_bytes else {}
        if self.parts:
            told = [part.document() for part in self.parts]
            facts |= {"parts": told} if len(json.dumps(told)) <= _LAST_WORDS_BYTES // 2 else {}
        if self.model and len(json.dumps(facts | {"model": self.model})) <= _LAST_WORDS_BYTES * 3 // 4:
            facts |= {"model": self.model}
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
            parts=PartProgress.read(document.get("parts")),
            model=told if isinstance(told := document.get("model"), dict) else {},
        )
