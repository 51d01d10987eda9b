"""A hub is asked which files a repository has, and for their headers: some kilobytes of models of any size.

The API is the Hugging Face hub's (`/api/models/REPO/revision/REV`, `/REPO/resolve/COMMIT/FILE`), which mirrors speak, too.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import httpx

from genset.contracts.shards import Shard, shard_names
from genset.planning.errors import PlanError
from genset.planning.found import Found, OtherFile
from genset.planning.ranges import RangedFile
from genset.sizing import gguf_model, hf_model, licences
from genset.sizing.gguf import GgufError, GgufHeader, read_header
from genset.sizing.model import ModelError, ModelFacts
from genset.sizing.quantisation import in_file_name
from genset.weights import client as http
from genset.weights.bounded import LISTING_BYTES
from genset.weights.failure import WeightsFailure
from genset.weights.retry import Transient

REPO = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$")
USUAL = "Q4_K_M"  # what llama.cpp takes, too, if nothing is said
LOGIN = "set HF_TOKEN to a token that may read it; for a gated model its terms must be accepted on the hub, too"
_CONFIG_LIMIT = 8 * 2**20
_COMPANIONS = ("mmproj", "imatrix")
_MOST_FILES = 12  # named in a message


@dataclass(frozen=True)
class Repository:
    """A repository as the hub lists it: its files with their sizes."""

    name: str
    commit: str
    files: Mapping[str, int] = field(default_factory=dict)
    licence: str = ""


class Hub:
    """A hub at an endpoint, with a token for it."""

    def __init__(self, client: httpx.Client, endpoint: str, token: str = "") -> None:
        self._client = client
        self._endpoint = endpoint.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def find(self, repo: str, wanted: str = "", revision: str = "main") -> Found:
        """Returns a model of a repository; `wanted` is a quantisation or a glob over its files."""
        repository = self._list(repo, revision)
        ggufs = _models(repository.files)
        if ggufs:
            return self._gguf(repository, ggufs, wanted, revision)
        if "config.json" in repository.files:
            return self._folder(repository, revision)
        raise PlanError(f"{repo} has neither a .gguf file nor a config.json: name a repository that holds a model")

    def size(self, repo: str, patterns: Sequence[str], revision: str) -> int:
        """Returns the bytes of a repository's files that fit one of some globs; of an ambiguous file those of the largest."""
        files = self._list(repo, revision).files
        found = {name for pattern in patterns for name in files if fnmatch.fnmatchcase(name, pattern)}
        ggufs = [files[name] for name in found if name.lower().endswith(".gguf")]
        return max(ggufs) if ggufs else sum(files[name] for name in found)

    def header(self, repo: str, pattern: str, revision: str) -> GgufHeader | None:
        """Returns the header of the one GGUF file of a repository that fits a glob; None if there is not exactly one."""
        repository = self._list(repo, revision)
        fitting = [name for name in repository.files if fnmatch.fnmatchcase(name, pattern or "*.gguf")]
        if len(fitting) != 1 or not fitting[0].lower().endswith(".gguf"):
            return None
        return read_header(self._open(repository, fitting[0]), tensors=True)  # type: ignore[arg-type]

    def _gguf(self, repository: Repository, ggufs: Mapping[str, list[str]], wanted: str, revision: str) -> Found:
        chosen = _choose(repository, ggufs, wanted)
        names = ggufs[chosen]
        size = sum(repository.files[name] for name in names)
        headers = []
        for name in names:
            try:
                headers.append(read_header(self._open(repository, name), tensors=True))  # type: ignore[arg-type]
            except GgufError as error:
                raise PlanError(f"{name} of {repository.name}: {error}") from error
        model = _with(_model(lambda: gguf_model.from_headers(headers, size), repository.name), names[0], repository)
        projector = _projector(repository.files)
        return Found(
            model,
            False,
            f"{repository.name} at {self._endpoint}",
            {"huggingFace": self._source(repository.name, revision, names[0])},
            files=len(names),
            others=tuple(_others(repository, ggufs, chosen)),
            projector=projector,
            projector_bytes=repository.files.get(projector, 0),
        )

    def _folder(self, repository: Repository, revision: str) -> Found:
        try:
            config = json.loads(self._small(repository, "config.json", _CONFIG_LIMIT))
        except (ValueError, RecursionError) as error:
            raise PlanError(f"config.json of {repository.name} is no JSON") from error
        size = sum(bytes_ for name, bytes_ in repository.files.items() if _is_weights(name))
        model = _model(
            lambda: hf_model.from_config(config, file_bytes=size, name=repository.name, licence=repository.licence),
            repository.name,
        )
        count = sum(1 for name in repository.files if _is_weights(name))
        source = {"huggingFace": self._source(repository.name, revision, "")}
        return Found(model, True, f"{repository.name} at {self._endpoint}", source, files=count)

    def _source(self, repo: str, revision: str, file: str) -> dict[str, Any]:
        source: dict[str, Any] = {"repo": repo, "revision": revision}
        return source | ({"file": file} if file else {})

    def _list(self, repo: str, revision: str) -> Repository:
        url = f"{self._endpoint}/api/models/{repo}/revision/{quote(revision, safe='')}?blobs=true"
        where = f"{repo} at {self._endpoint}"
        status, headers, body = self._get(url, LISTING_BYTES)
        if status != 200:
            raise PlanError(_refusal(where, revision, status, headers))
        try:
            answer = json.loads(body)
            files = {str(one["rfilename"]): _size(one) for one in answer["siblings"]}
            commit = str(answer["sha"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise PlanError(
                f"{self._endpoint} did not answer as a hub does: check HF_ENDPOINT, or the source's endpoint"
            ) from error
        return Repository(repo, commit, files, _licence(answer))

    def _open(self, repository: Repository, name: str) -> RangedFile:
        url = f"{self._endpoint}/{repository.name}/resolve/{quote(repository.commit, safe='')}/{quote(name)}"
        return RangedFile(self._client, url, self._headers, LOGIN)

    def _small(self, repository: Repository, name: str, limit: int) -> bytes:
        stream, read = self._open(repository, name), b""
        while piece := stream.read(limit):
            read += piece
            if len(read) >= limit:
                raise PlanError(f"{name} of {repository.name} is longer than {limit} bytes")
        return read

    def _get(self, url: str, limit: int) -> tuple[int, Mapping[str, str], bytes]:
        try:
            with http.get(self._client, url, self._headers, {}) as response, http.transport_errors(url):
                body = b""
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > limit:
                        raise PlanError(f"{url} answers more than {limit} bytes")
                return response.status_code, response.headers, body
        except Transient as trouble:
            raise PlanError(
                f"{trouble.failure.message}; without a network give a file: genset plan --model PATH.gguf"
            ) from trouble
        except WeightsFailure as failure:
            raise PlanError(failure.message) from failure


def _refusal(where: str, revision: str, status: int, headers: Mapping[str, str]) -> str:
    code = headers.get("x-error-code", "")
    if code == "GatedRepo" or status == 403:
        return f"{where} is gated: {LOGIN}"
    if status == 401:  # also for repositories that do not exist, so as not to tell who has what
        return f"{where} does not exist, or is not public: check the name, or {LOGIN}"
    if code == "RevisionNotFound":
        return f"{where} has no revision {revision}"
    if status in (404, 410):
        return f"{where} does not exist: check the name, which is OWNER/NAME"
    return f"{where} answered {status}; try again later, or give a file: genset plan --model PATH.gguf"


def _models(files: Mapping[str, int]) -> dict[str, list[str]]:
    """Returns the GGUF models of a repository: the first file's name, and all files of it."""
    found: dict[str, list[str]] = {}
    for name in sorted(files):
        if not name.lower().endswith(".gguf") or any(part in name.lower() for part in _COMPANIONS):
            continue
        shard = Shard.of(name)
        names = shard_names(shard.stem, shard.count)
        if shard.number == 1 and all(one in files for one in names):
            found[names[0]] = names
    return found


def _choose(repository: Repository, ggufs: Mapping[str, list[str]], wanted: str) -> str:
    if wanted:
        fitting = [name for name in ggufs if in_file_name(name) == wanted.upper()]
        fitting = fitting or [name for name in ggufs if fnmatch.fnmatchcase(name, wanted)]
        if not fitting:
            raise PlanError(f"{repository.name} has no {wanted}: it has {_listed(ggufs)}")
        if len(fitting) > 1:
            raise PlanError(f"{wanted} is {len(fitting)} models of {repository.name}: name one of {_listed(fitting)}")
        return fitting[0]
    usual = next((name for name in ggufs if in_file_name(name) == USUAL), None)
    return usual or min(ggufs, key=lambda name: sum(repository.files[one] for one in ggufs[name]))


def _others(repository: Repository, ggufs: Mapping[str, list[str]], chosen: str) -> Iterable[OtherFile]:
    every = [
        OtherFile(name, in_file_name(name), sum(repository.files[one] for one in names))
        for name, names in ggufs.items()
        if name != chosen
    ]
    return sorted(every, key=lambda other: -other.size)


def _projector(files: Mapping[str, int]) -> str:
    """Returns the projector that a repository has for its models, preferably of 16 bits."""
    found = sorted(name for name in files if "mmproj" in name.lower() and name.lower().endswith(".gguf"))
    return next((name for name in found if "f16" in name.lower()), found[0] if found else "")


def _with(model: ModelFacts, file: str, repository: Repository) -> ModelFacts:
    """Returns the model with what its file's name and its repository know better."""
    return replace(
        model,
        quantisation=in_file_name(file) or model.quantisation,
        licence=model.licence or repository.licence,
        name=model.name or repository.name,
    )


def _model(make: Any, where: str) -> ModelFacts:
    try:
        made: ModelFacts = make()
    except ModelError as error:
        raise PlanError(f"{where}: {error}") from error
    return made


def _size(sibling: Mapping[str, Any]) -> int:
    lfs = sibling.get("lfs") or {}
    size = lfs.get("size") or sibling.get("size") or 0
    return size if isinstance(size, int) and size > 0 else 0


def _licence(answer: Mapping[str, Any]) -> str:
    card = answer.get("cardData") or {}
    said = card.get("license_name") or card.get("license") if isinstance(card, dict) else ""
    if not isinstance(said, str) or not said:
        tags = answer.get("tags") or []
        said = next((tag.partition(":")[2] for tag in tags if str(tag).startswith("license:")), "")
    return licences.normal(said)


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors") and "/" not in name and not name.startswith("consolidated")


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    shown = [in_file_name(name) or name for name in every[:_MOST_FILES]]
    return ", ".join(shown) + (f" and {len(every) - _MOST_FILES} more" if len(every) > _MOST_FILES else "")
