"""`genset router -f` makes a configuration of resource files, exactly as they are applied to a cluster, without one.

It uses the same types, checks and builder as the operator, so that a policy that works on a laptop works in a cluster.
What an operator would put into a condition is refused here, with file, object, field and remedy.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from genset import names
from genset.api.backend import Continuation
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_config import RouterConfig, config_hash
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import EVERY_HOST, UNMARKED, ConsumerMarks, UserSecret
from genset.engines import engine_of, managed_engine_of, spec_at
from genset.router.backends.credentials import Credentials
from genset.router.errors import ConfigRejected
from genset.router.process.advice import describe
from genset.router.process.reload import LoadedConfig, folder_stamp, stamp
from genset.status.refs import check_route_policy, check_unused_backends
from genset.status.warnings import of_route_policy, used_backends, verdict

log = logging.getLogger(__name__)

KINDS = (names.ROUTE_POLICY, names.MODEL_DEPLOYMENT, "Secret")
_SECRET_FIELDS = {"apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable"}


@dataclass
class Documents:
    """Documents are what the files hold, by kind and name."""

    policies: dict[str, tuple[Path, RoutePolicy]] = field(default_factory=dict)
    deployments: dict[str, tuple[Path, ModelDeployment]] = field(default_factory=dict)
    secrets: dict[str, UserSecret] = field(default_factory=dict)


class FilesSource:
    """This source reads resource files, and takes changes to them while the router runs.

    `endpoints` maps names of ModelDeployments to base URLs without /v1. `secrets_dir` has one folder per Secret with
    one file per key, for Secrets that no file holds.
    """

    def __init__(
        self, files: Sequence[Path], policy: str | None, endpoints: Mapping[str, str], secrets_dir: Path | None
    ) -> None:
        self._files = tuple(files)
        self._policy = policy
        self._endpoints = dict(endpoints)
        self._secrets_dir = secrets_dir
        self._taken: object = None  # the stamps that `fingerprint` told last
        self._seen: object = None  # stamps and contents at the last look, while they differ from those
        self._texts: dict[Path, bytes] = {}  # what read the same twice, until `load` takes it

    def fingerprint(self) -> object:
        """Tells of a change once it has read the same in two looks: a file that is being written has no verdict yet."""
        stamps = self._stamps()
        if self._taken is None or stamps == self._taken:
            self._taken, self._seen = stamps, None
            return self._taken
        texts = {path: text for path in self._files if (text := _bytes(path)) is not None}
        if self._seen == (stamps, texts):
            self._taken, self._seen, self._texts = stamps, None, texts
        else:
            self._seen = (stamps, texts)
        return self._taken

    def _stamps(self) -> object:
        folders: object = None
        if self._secrets_dir is not None and self._secrets_dir.is_dir():
            folders = [folder_stamp(folder) for folder in sorted(self._secrets_dir.iterdir()) if folder.is_dir()]
        return [stamp(path) for path in self._files], folders

    def load(self) -> LoadedConfig:
        documents = Documents()
        texts, self._texts = self._texts, {}
        for path in self._files:
            for place, document in read_documents(path, texts.get(path)):
                add(documents, path, place, document)
        path, policy = chosen(documents, self._policy, self._files)
        policy = self._by_engine(documents, policy)
        secrets = {**self._folder_secrets(), **documents.secrets}
        context = RoutePolicyContext(
            settings=Settings(image="none", pod_template="Full"),  # nobody makes pods here
            deployments=self._deployments(documents, policy),
            secrets=secrets,
            listed=secrets,
            from_files=True,
        )
        problems = [problem.message for problem in check_route_policy(policy, context)]
        problems += self._unplaced(policy, context)
        used = used_backends(policy)
        missing = [
            b
            for b in policy.spec.backends
            if b.deployment and b.deployment.name not in context.deployments and b.name in used
        ]
        if missing and missing[0].deployment:
            name = missing[0].deployment.name
            problems.append(f"without a cluster, --endpoint {name}=http://HOST:PORT says where a deployment answers")
        if problems:
            raise ConfigRejected(f"{path}: RoutePolicy {policy.metadata.name}: {'; '.join(problems)}")
        warned = verdict(of_route_policy(policy, check_unused_backends(policy, context)))
        if warned is not None:
            log.warning("%s: RoutePolicy %s: %s", path, policy.metadata.name, warned.message)
        # A uid in a file belongs to another router: it was read from a cluster.
        elsewhere = {n: found for n, found in context.deployments.items() if managed_engine_of(found) is None}
        context = replace(
            context, deployments=elsewhere
        )  # what only a cluster could find, and no route needs, is left out
        config = router_config.build(policy, context).model_copy(update={"site": None})
        config = self._with_adapters(config, documents, policy)
        files = router_config.credential_files(policy, context)
        return LoadedConfig(config, config_hash(config.canonical_json()), Credentials(files, f"the Secrets in {path}"))

    def drill(self) -> bytes | None:
        """Returns None: whoever keeps the time of drills, and what has become of them, is the operator."""
        return None

    def _deployments(self, documents: Documents, policy: RoutePolicy) -> dict[str, ModelDeployment]:
        """Returns the deployments of the files, at the address that --endpoint gives; --endpoint alone makes one, too."""
        named = {b.deployment.name for b in policy.spec.backends if b.deployment is not None}
        for name in self._endpoints:
            if name not in named and name not in documents.deployments:
                there = ", ".join(sorted(named)) or "none"
                raise ConfigRejected(
                    f"--endpoint {name}: no backend of RoutePolicy {policy.metadata.name} names this deployment "
                    f"(named: {there})"
                )
        deployments = {name: found for name, (_, found) in documents.deployments.items()}
        for name, url in self._endpoints.items():
            deployments[name] = placed_at(name, url, deployments.get(name), policy)
        return deployments

    def _by_engine(self, documents: Documents, policy: RoutePolicy) -> RoutePolicy:
        """Returns the policy in which deployments placed by --endpoint continue answers by their own engine's rule.

        Otherwise they would be asked as external servers of which nothing is known.
        """
        engines = {
            name: engine_of(documents.deployments[name][1]) for name in self._endpoints if name in documents.deployments
        }
        backends = [
            backend.model_copy(update={"continuation": Continuation(engines[backend.deployment.name].continuation)})
            if backend.continuation is None and backend.deployment is not None and backend.deployment.name in engines
            else backend
            for backend in policy.spec.backends
        ]
        return policy.model_copy(update={"spec": policy.spec.model_copy(update={"backends": backends})})

    def _with_adapters(self, config: RouterConfig, documents: Documents, policy: RoutePolicy) -> RouterConfig:
        """Returns the configuration with the adapters of deployments placed by --endpoint: their servers tell which they have."""
        placed = {b.name: b.deployment.name for b in policy.spec.backends if b.deployment is not None}
        backends = []
        for backend in config.backends:
            name = placed.get(backend.name, "")
            if name in self._endpoints and name in documents.deployments:
                found = documents.deployments[name][1]
                backend = backend.model_copy(update=router_config.adapters_of(found))
            backends.append(backend)
        return config.model_copy(update={"backends": tuple(backends)})

    def _unplaced(self, policy: RoutePolicy, context: RoutePolicyContext) -> Iterator[str]:
        """Yields a problem for each deployment whose pods only a cluster could find."""
        used = used_backends(policy)
        for backend in policy.spec.backends:
            found = context.deployments.get(backend.deployment.name) if backend.deployment else None
            if backend.name in used and found is not None and managed_engine_of(found) is not None:
                name = found.metadata.name
                yield (
                    f"spec.backends[{backend.name}].deployment: ModelDeployment {name} runs in a cluster; say where it "
                    f"answers with --endpoint {name}=http://HOST:PORT"
                )

    def _folder_secrets(self) -> dict[str, UserSecret]:
        folder = self._secrets_dir
        if folder is None:
            return {}
        if not folder.is_dir():
            raise ConfigRejected(f"--credentials {folder}: no such folder")
        return {
            secret.name: _own(
                {
                    key.name: key.read_bytes()
                    for key in secret.iterdir()
                    if key.is_file() and not key.name.startswith("..")
                }
            )
            for secret in folder.iterdir()
            if secret.is_dir()
        }


def chosen(documents: Documents, policy: str | None, files: Sequence[Path]) -> tuple[Path, RoutePolicy]:
    """Returns the policy of this name, or the only one, with its file. Raises ConfigRejected."""
    found = documents.policies
    if policy is not None:
        if policy not in found:
            there = ", ".join(sorted(found)) or "none"
            raise ConfigRejected(f"--policy {policy}: no such RoutePolicy in the files; they hold: {there}")
        return found[policy]
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        shown = ", ".join(str(path) for path in files)
        raise ConfigRejected(f"{shown}: no RoutePolicy in there; give the file that holds it with -f")
    raise ConfigRejected(f"the files hold RoutePolicies {', '.join(sorted(found))}; choose one with --policy NAME")


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def read_documents(path: Path, text: bytes | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each document of a YAML file with its place; List objects are opened. `text` is its content, if that is known.

    Raises ConfigRejected for anything that is not a resource.
    """
    try:
        documents = list(yaml.safe_load_all((path.read_bytes() if text is None else text).decode()))
    except OSError as problem:
        raise ConfigRejected(f"{path}: {problem.strerror}") from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise ConfigRejected(f"{path}: not YAML: {' '.join(str(problem).split())}") from problem
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        place = f"document {number}"
        if not isinstance(document, dict):
            raise ConfigRejected(f"{path}: {place} is not a resource; it must begin with apiVersion and kind")
        if document.get("kind") == "List" and isinstance(document.get("items"), list):
            for index, item in enumerate(document["items"]):
                yield f"{place}, items[{index}]", item
        else:
            yield place, document


def add(documents: Documents, path: Path, place: str, document: dict[str, Any]) -> None:
    """Files a document under its kind. Raises ConfigRejected, which names file, object, field and remedy."""
    kind, version = document.get("kind"), document.get("apiVersion")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    what = f"{path}: {kind} {name}" if name else f"{path}: {place} ({kind or 'no kind'})"
    wanted = "v1" if kind == "Secret" else names.API_VERSION
    if kind not in KINDS:
        raise ConfigRejected(f"{what}: only {', '.join(KINDS)} belong here; remove it or correct its kind")
    if version != wanted:
        raise ConfigRejected(f"{what}: apiVersion {version!r} is not served; write {wanted}")
    if not isinstance(name, str) or not name:
        raise ConfigRejected(f"{what}: metadata.name is missing; give it a name")
    taken: dict[str, set[str]] = {
        "Secret": set(documents.secrets),
        names.MODEL_DEPLOYMENT: set(documents.deployments),
        names.ROUTE_POLICY: set(documents.policies),
    }
    if name in taken[kind]:
        raise ConfigRejected(f"{what}: is defined twice; remove one of them")
    if kind == "Secret":
        documents.secrets[name] = _secret(what, document)
        return
    model = RoutePolicy if kind == names.ROUTE_POLICY else ModelDeployment
    try:
        resource = model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as problem:
        raise ConfigRejected(f"{what}: {describe(problem, model, document)}") from problem
    if isinstance(resource, RoutePolicy):
        documents.policies[name] = (path, resource)
    else:
        documents.deployments[name] = (path, resource)


def _own(data: dict[str, bytes], type: str = "Opaque", marks: ConsumerMarks = UNMARKED) -> UserSecret:
    """Returns a Secret whose values may go anywhere, and be keys: here one person owns the keys and writes the policy."""
    return UserSecret(data, EVERY_HOST, type, True, marks)


def _secret(what: str, document: dict[str, Any]) -> UserSecret:
    unknown = set(document) - _SECRET_FIELDS
    if unknown:
        raise ConfigRejected(f"{what}: unknown field {', '.join(sorted(unknown))}; a Secret has data and stringData")
    content: dict[str, bytes] = {}
    for key, value in _mapping(what, document, "data").items():
        try:
            content[key] = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as problem:
            raise ConfigRejected(
                f"{what}: data.{key} is not base64; encode it, or write it as text under stringData"
            ) from problem
    content.update((key, value.encode()) for key, value in _mapping(what, document, "stringData").items())
    return _own(content, str(document.get("type") or "Opaque"), ConsumerMarks.of(document["metadata"]))


def _mapping(what: str, document: dict[str, Any], name: str) -> dict[str, str]:
    found = document.get(name) or {}
    if not isinstance(found, dict):
        raise ConfigRejected(f"{what}: {name} must map keys to text")
    for key, value in found.items():
        if not isinstance(value, str):
            raise ConfigRejected(f"{what}: {name}.{key} must be text; put it in quotes")
    return found


def placed_at(name: str, url: str, found: ModelDeployment | None, policy: RoutePolicy) -> ModelDeployment:
    """Makes a ModelDeployment that answers at `url`: the given one's model and context, run by somebody else."""
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_DEPLOYMENT,
        "metadata": {"name": name, "namespace": policy.metadata.namespace},
        "spec": spec_at(url, found),
    }
    try:
        return ModelDeployment.model_validate(document)
    except ValidationError as problem:
        raise ConfigRejected(f"--endpoint {name}={url}: {describe(problem, ModelDeployment, document)}") from problem


def parse_endpoints(values: Sequence[str]) -> dict[str, str]:
    """Reads pairs `DEPLOYMENT=URL`. Raises ConfigRejected with an example."""
    endpoints: dict[str, str] = {}
    for value in values:
        name, equals, url = value.partition("=")
        if not name or not equals or not url.startswith(("http://", "https://")):
            raise ConfigRejected(f"--endpoint {value}: write DEPLOYMENT=URL, e.g. house-small=http://127.0.0.1:8081")
        if name in endpoints:
            raise ConfigRejected(f"--endpoint {name}: given twice; a deployment answers at one URL here")
        endpoints[name] = url.rstrip("/").removesuffix("/v1")
    return endpoints
