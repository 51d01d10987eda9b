"""What a plan is asked for: a model by name, or ModelDeployments of a file, whose headers are then read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from genset.api.modeldeployment import ModelDeployment
from genset.api.sources.hugging_face import HuggingFaceSource
from genset.contracts.sources import PUBLIC_HUB
from genset.desired.model_use import kept_prompts, placement_of, serving_of, use_of
from genset.planning import companions, files
from genset.planning.engines import is_pooled
from genset.planning.errors import PlanError
from genset.planning.found import Found
from genset.planning.hub import REPO, Hub
from genset.planning.ranges import RangedFile
from genset.planning.where import Where
from genset.sizing import gguf_model
from genset.sizing.fit import Ask
from genset.sizing.gguf import GgufError, read_header
from genset.sizing.kv_cache import ModelUse
from genset.sizing.mismatch import Serving
from genset.sizing.model import ModelError
from genset.weights import client as http

DEFAULT_TOKENS, DEFAULT_PARALLEL = 4096, 4


@dataclass(frozen=True)
class Changes:
    """What the command line says over a file."""

    tokens: int | None = None
    parallel: int | None = None
    cache_type: str | None = None


@dataclass(frozen=True)
class Wanted:
    """A model that was found, what is asked of it, and the name it has."""

    found: Found
    ask: Ask
    name: str
    stated: str = ""  # resources.memory
    serving: Serving = field(default_factory=lambda: Serving(ModelUse()))


def from_model(text: str, where: Where) -> Wanted:
    """Returns the model that a word names: a path that is there, else a repository of the hub."""
    path = Path(text)
    if path.exists():
        found = files.find(path)
        return _plain(found, path.stem if path.is_file() else path.name)
    name, _, revision = text.partition("@")
    repo, _, wanted = name.partition(":")
    if not REPO.match(repo):
        raise PlanError(f"{text} is neither a file here nor a repository, which is OWNER/NAME[:QUANTISATION]")
    with http.make_client("") as client:
        found = Hub(client, where.endpoint or PUBLIC_HUB, where.token).find(repo, wanted, revision or "main")
    return _plain(found, repo)


def _plain(found: Found, name: str) -> Wanted:
    """Returns what is asked of a model that is only named: what it is made for."""
    return Wanted(found, Ask(ModelUse(), found.pooled), name, serving=Serving(ModelUse(), task=found.model.task))


def from_file(path: Path, where: Where) -> list[Wanted]:
    """Returns the models of the ModelDeployments in a file, or in the files of a folder."""
    found = [_of_resource(resource, where) for resource in _resources(path)]
    if not found:
        raise PlanError(f"{path} holds no ModelDeployment that genset runs")
    return found


def _resources(path: Path) -> Iterator[ModelDeployment]:
    paths = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    for one in paths:
        try:
            text = sys.stdin.read() if str(one) == "-" else one.read_text()
            documents = list(yaml.safe_load_all(text))
        except OSError as error:
            raise PlanError(f"{one} can't be read: {error.strerror or error}") from error
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise PlanError(f"{one} is no YAML: {str(error).splitlines()[0]}") from error
        for document in documents:
            if isinstance(document, dict) and document.get("kind") == "ModelDeployment":
                resource = _parsed(one, document)
                if resource.spec.source is not None:
                    yield resource


def _parsed(path: Path, document: dict[str, Any]) -> ModelDeployment:
    try:
        return ModelDeployment.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field_ = ".".join(str(part) for part in first["loc"])
        name = (document.get("metadata") or {}).get("name", "without a name")
        raise PlanError(f"{path}: ModelDeployment {name}: {field_ or 'spec'}: {first['msg']}") from error


def _of_resource(resource: ModelDeployment, where: Where) -> Wanted:
    spec = resource.spec
    found = _found(resource, where)
    accelerator, pooled, serving = spec.resources.accelerator, is_pooled(spec.engine), serving_of(resource)
    on_cpu = accelerator is None
    ask = Ask(
        use_of(resource),
        pooled,
        kept_prompts(resource),
        projector=sum(companions.sizes([spec.projector] if spec.projector else [], where)),
        adapters=sum(companions.sizes([one.source for one in spec.adapters], where)),
        on_cpu=on_cpu,
        place=None if on_cpu else placement_of(resource),
        vendor="" if accelerator is None else accelerator.vendor,
        resource="" if accelerator is None else accelerator.resource_name,
        tensor=serving.tensor,
    )
    if not pooled:
        found = replace(found, model=replace(found.model, unfit=tuple(companions.unfit(spec, found.model, where))))
    return Wanted(found, ask, resource.metadata.name, spec.resources.memory or "", serving)


def _found(resource: ModelDeployment, where: Where) -> Found:
    source, name = resource.spec.source, resource.metadata.name
    assert source is not None
    if source.hugging_face is not None:
        return _of_hub(source.hugging_face, where)
    if source.http is not None:
        return _of_url(source.http.url)
    if source.host_path is not None and Path(source.host_path.path).exists():
        return files.find(Path(source.host_path.path))
    raise PlanError(
        f"ModelDeployment {name}: weights of source.{source.block_name} can't be read from here: plan the file itself "
        "with --model PATH.gguf"
    )


def _of_hub(source: HuggingFaceSource, where: Where) -> Found:
    endpoint = source.endpoint or where.endpoint or PUBLIC_HUB
    with http.make_client("") as client:
        found = Hub(client, endpoint, where.token_for(endpoint)).find(source.repo, source.file, source.revision)
    block = source.model_dump(by_alias=True, exclude_none=True, exclude_unset=True)
    return replace(found, source={"huggingFace": block})


def _of_url(url: str) -> Found:
    with http.make_client("") as client:
        stream = RangedFile(client, url, {}, "a source with headersSecretRef can't be read from here")
        try:
            header = read_header(stream, tensors=True)  # type: ignore[arg-type]
            model = gguf_model.from_headers([header], stream.size)
        except (GgufError, ModelError) as error:
            raise PlanError(f"{url}: {error}") from error
    return Found(model, False, url, {"http": {"url": url}})


def changed(ask: Ask, changes: Changes) -> Ask:
    """Returns what is asked with what the command line says."""
    use = replace(
        ask.use,
        tokens=changes.tokens or ask.use.tokens,
        slots=changes.parallel or ask.use.slots,
        key_type=changes.cache_type or ask.use.key_type,
        value_type=changes.cache_type or ask.use.value_type,
    )
    return replace(ask, use=use)
