"""What a site needs follows from its resources and the chart's values: images of pods, models, and the resources. Pure.

The pods are made as the operator would make them, and every image in them is taken, whichever field or default it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genset import desired
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.bundle.errors import BundleError
from genset.contracts.puller import FetchSpec
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.sources import wanted as source_wanted
from genset.desired.sources.base import Download, InPlace
from genset.desired.weights import fetch_spec, placed
from genset.engines import MANAGED, managed_engine_of

OWN = ""  # role of genset's own image
_REPOSITORY, _TAG = "ghcr.io/genset-dev/genset", "latest"


@dataclass(frozen=True)
class WeightsPart:
    """A part is one source of weights that is downloaded. `secrets` are (name, key) by the field of `FetchSpec`."""

    namespace: str
    deployment: str
    field: str
    spec: FetchSpec
    secrets: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Needed:
    """This is everything that a site needs. `left` says, a sentence each, what the bundle cannot bring."""

    images: tuple[str, ...]  # as pods name them
    roles: Mapping[str, str]  # ENGINE/VENDOR -> image; OWN: genset's
    parts: tuple[WeightsPart, ...]
    left: tuple[str, ...]


def settings_of(values: Mapping[str, Any], version: str) -> Settings:
    """Returns the operator's settings that choose images, from the chart's values. Raises BundleError for other values."""
    try:
        image = values.get("image") or {}
        name = f"{image.get('repository') or _REPOSITORY}:{image.get('tag') or version or _TAG}"
        if image.get("digest"):
            name = f"{name}@{image['digest']}"
        engines = {
            engine: {vendor: str(one) for vendor, one in (given.get("images") or {}).items() if one}
            for engine, given in (values.get("engines") or {}).items()
        }
    except (AttributeError, TypeError) as error:
        raise BundleError("the values are not those of genset's chart: image and engines are maps there") from error
    unknown = sorted(engines.keys() - MANAGED.keys())
    if unknown:
        raise BundleError(f"engines.{unknown[0]} in the values is no engine of genset: {', '.join(sorted(MANAGED))}")
    return Settings(image=name, engine_images=engines, allow_host_path=True, pod_template="Full", allowed_images=("*",))


Resources = tuple[Sequence[ModelDeployment], Sequence[RoutePolicy]]


def wanted(namespaces: Sequence[Resources], settings: Settings) -> Needed:
    """Returns what the resources of some namespaces need, with genset's own image."""
    images = {settings.image}
    parts: list[WeightsPart] = []
    left: list[str] = []
    for deployments, policies in namespaces:
        images |= _needed(deployments, policies, settings, parts, left)
    return Needed(tuple(sorted(images)), _roles(settings, images), tuple(parts), tuple(left))


def _needed(
    deployments: Sequence[ModelDeployment],
    policies: Sequence[RoutePolicy],
    settings: Settings,
    parts: list[WeightsPart],
    left: list[str],
) -> set[str]:
    """Returns the images of one namespace, and adds its parts, and what a bundle cannot bring."""
    managed = [one for one in deployments if managed_engine_of(one) is not None]
    objects: list[Any] = [
        desired.model_deployment(one, ModelDeploymentContext(settings)) for one in managed if one.spec.source
    ]
    known = {one.metadata.name: one for one in deployments}
    objects += [desired.route_policy(one, RoutePolicyContext(settings, known)) for one in policies]
    for one in managed:
        engine = managed_engine_of(one)
        if engine is not None and not engine.image(one, settings.engine_images.get(engine.name, {})):
            left.append(
                f"an image for ModelDeployment {one.metadata.name}, whose engine {engine.name} has none: name one in the "
                f"resource or in engines.{engine.name}.images of the values"
            )
        _of(one, settings, parts, left)
    for policy in policies:
        missing = {b.deployment.name for b in policy.spec.backends if b.deployment} - known.keys()
        left += [
            f"RoutePolicy {policy.metadata.name} names ModelDeployment {name}, which is in no file"
            for name in sorted(missing)
        ]
    return set(_images(objects)) - {""}


def _of(resource: ModelDeployment, settings: Settings, parts: list[WeightsPart], left: list[str]) -> None:
    for part, place in placed(resource):
        found = source_wanted(part.source, settings, place)
        shown = f"{part.field} of ModelDeployment {resource.metadata.name}"
        if isinstance(found, InPlace):
            if not found.image:
                left.append(f"{shown} is read where it lies ({part.source.block_name}): see that it lies there")
            continue
        parts.append(_part(resource, part.field, found, place.whole_folder, place.role))


def _part(resource: ModelDeployment, field_: str, found: Download, whole: bool, role: str) -> WeightsPart:
    plain = fetch_spec(found)
    spec = FetchSpec(plain.source, plain.into, role=role, whole_folder=whole)
    secrets = {file: (ref.name, ref.key) for file, ref in found.secrets.items()}
    return WeightsPart(resource.metadata.namespace or "default", resource.metadata.name, field_, spec, secrets)


def _images(made: Any) -> Iterator[str]:
    """Yields every image in objects: of containers, and of volumes."""
    if isinstance(made, list):
        for one in made:
            yield from _images(one)
    elif isinstance(made, dict):
        for key, value in made.items():
            if key in ("containers", "initContainers"):
                yield from (one["image"] for one in value if "image" in one)
            elif key == "volumes":
                yield from (one["image"]["reference"] for one in value if "image" in one)
            else:
                yield from _images(value)


def _roles(settings: Settings, images: set[str]) -> dict[str, str]:
    """Returns which image has which place in the chart's values, of those that are in the bundle."""
    roles = {OWN: settings.image}
    for name, engine in MANAGED.items():
        for vendor, image in {**engine.images, **settings.engine_images.get(name, {})}.items():
            if image in images:
                roles[f"{name}/{vendor}"] = image
    return roles
