"""A provider is what differs between the servers that the router can ask.

One file per provider makes one `Provider` value; the registry is the dict in `__init__`. Pure, and known to the builder
of configurations as well: `base_url` is the default that a policy may override.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genset.router.dialects.base import Dialect
from genset.router.providers.fields import Fields


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider value says how one provider speaks its wire format, OpenAI's unless it has a `dialect`.

    `telemetry_name` is OpenTelemetry's gen_ai.provider.name. `needs_key`: it answers nobody without one. `usage_option`: it
    accepts `stream_options`; a provider that refuses unknown fields sends usage unasked. `rename` are bounds of the answer that
    it knows by another name, `fields` says which other fields of a request it does not take. `bad_finishes` are finish_reasons by
    which it says that it broke off. `continuation` is the rule by which it continues another's partial answer, unless a policy
    names one; `continuation_path` is the base path that this needs at the provider's own host. `probe_path` is what costs nothing
    to ask for with the key, behind the base path, and `probe_headers` are the header lines that this needs.
    """

    name: str
    telemetry_name: str
    base_url: str | None  # with its version segment; None: a policy must give one
    key_header: bytes = b"authorization"
    key_prefix: bytes = b"Bearer "
    needs_key: bool = True
    usage_option: bool = True
    rename: Mapping[str, str] | None = None
    fields: Fields | None = None
    # "abort": vLLM ends running answers with it when it is told to stop, and closes them cleanly (seen with 0.32.0).
    bad_finishes: frozenset[str] = frozenset({"error", "abort"})
    continuation: str = "Anchor"
    continuation_path: str | None = None
    probe_path: str = "/models"
    probe_headers: bytes = b""
    seals_calls: bool = False  # signs calls of tools, and wants its signature back (see `dialects.call_seals`)
    dialect: Dialect | None = None  # None: OpenAI's own wire format
    wire: str = ""  # the dialect's API by its name, if there are clients who speak it, too
    tells_cost: bool = False  # the usage of its answers says what they cost (see `pricing.used`)
    responses: Dialect | None = None  # what it is asked in by its Responses API, if it has one
