"""The document is the configuration of a policy's routers as it is written, made once for one pass: nothing else costs as much.

A pass hashes it, looks at its size and puts it into a ConfigMap. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from genset import names
from genset.api.routepolicy import RoutePolicy
from genset.contracts.config_files import packed
from genset.contracts.router_config import RouterConfig, config_hash
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext

#: What of a context shapes pods alone, stands in a file of its own, or holds what was made.
_BESIDE = frozenset({"running", "bearer", "operator", "upgrade", "written", "drill"})


@dataclass(frozen=True)
class Document:
    """A document has its files by their names, and the hash that routers report of it."""

    files: Mapping[str, bytes]
    hash: str
    size: int  # bytes of the configuration, as it is before it may be compressed
    config: RouterConfig


def document(resource: RoutePolicy, context: RoutePolicyContext) -> Document:
    """Returns what is written of a policy with what it names; nobody changes it."""
    made_of = [resource, *(getattr(context, field.name) for field in fields(context) if field.name not in _BESIDE)]
    held = context.written
    if not held or any(one is not other for one, other in zip(held[0], made_of, strict=True)):
        held[:] = [made_of, _made(resource, context)]
    found: Document = held[1]
    return found


def _made(resource: RoutePolicy, context: RoutePolicyContext) -> Document:
    config = router_config.build(resource, context)
    text = config.canonical_json()
    return Document(packed(text, names.ROUTER_CONFIG_FILE), config_hash(text), len(text.encode()), config)
