"""A user's Secret lets its values go only to the servers that its owner names in an annotation.

Whoever may write a resource of genset names any Secret of the namespace and any server. The operator may read the Secret,
that user perhaps not: so the Secret itself has to say where its values may be sent (`genset.dev/allow-hosts`). What is
not sent, such as the certificates of a CA, needs no such consent. Tokens of the cluster are of no use to any server.
Keys of consumers are not sent, but routers say whether a guess is right: their Secret has a label (`genset.dev/consumer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from genset import names
from genset.addresses import ServerName, server_of, shown_server
from genset.api.base import SecretKeyRef

#: What lets its bearer use the API server.
TOKEN_TYPES = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
EVERY_HOST = "*"
_TOKEN = "holds a token of this cluster, which no other server may see: put the key into a Secret of its own"


class ConsumerMarks(NamedTuple):
    """The marks of a Secret are what its owner says of the consumer that it is. Labels of the Secret are among them."""

    name: str = ""  # "": as the Secret
    team: str = ""
    created: str = ""  # RFC 3339
    labels: Mapping[str, str] = {}

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> ConsumerMarks:
        """Reads a Secret's metadata."""
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        name, team = (
            str(annotations.get(key) or "").strip()
            for key in (names.ANNOTATION_CONSUMER_NAME, names.ANNOTATION_CONSUMER_TEAM)
        )
        return cls(name, team, str(metadata.get("creationTimestamp") or ""), labels)


UNMARKED = ConsumerMarks()


class SecretUse(NamedTuple):
    """A use is one field that names a key of a Secret. `url` is the server that the value is sent to; "": it is not sent.

    `proves`: it holds keys by which consumers prove who they are.
    """

    field: str
    ref: SecretKeyRef
    url: str = ""
    proves: bool = False


@dataclass(frozen=True)
class UserSecret:
    """A user's Secret has data, a type, and what its owner has written about hosts (None: nothing)."""

    data: Mapping[str, bytes]
    allow_hosts: str | None = None
    type: str = "Opaque"
    holds_keys: bool = False  # its owner says that it is for consumers' keys
    marks: ConsumerMarks = UNMARKED

    def why_not(self, url: str, namespace: str, name: str) -> str:
        """Says why no value of it may be used, with the remedy, to be read behind `Secret NAME`; "" if one may.

        `url` is the server that it would be sent to; "": it is not sent.
        """
        if self.type in TOKEN_TYPES:
            return _TOKEN
        if not url or is_allowed(self.allow_hosts or "", server_of(url)):
            return ""
        host = shown_server(url)
        command = f"kubectl annotate secret {name} -n {namespace} {names.ANNOTATION_ALLOW_HOSTS}="
        if self.allow_hosts is None or not self.allow_hosts.strip():
            overwrite = "" if self.allow_hosts is None else " --overwrite"
            return f"is not meant for {host}: if it is, have its owner run {command}{host}{overwrite}"
        return (
            f"is not meant for {host}: if it is, have its owner add {host} to the hosts that it has (HOSTS here: names with "
            f"commas between them, and no URLs), by {command}HOSTS,{host} --overwrite"
        )

    def why_no_keys(self, namespace: str, name: str) -> str:
        """Says why it cannot hold keys of consumers, with the remedy, to be read behind `Secret NAME`; "" if it can.

        Its values are not sent anywhere; but a router says of each guess whether it is one of them.
        """
        if self.type in TOKEN_TYPES:
            return _TOKEN
        if self.holds_keys:
            return ""
        return (
            "is not meant for keys of consumers: if it is, have its owner run kubectl label secret "
            f"{name} -n {namespace} {names.LABEL_CONSUMER}={names.CONSUMER}"
        )


def is_allowed(allow_hosts: str, server: ServerName) -> bool:
    """Returns whether a list of hosts holds a server: by its name or address, as `*.` before a suffix, or as `*`.

    An entry with a port means this port only. An entry that is anything else, a URL say, holds no server.
    """
    return any(_holds(entry.strip().lower(), server) for entry in allow_hosts.split(","))


def _holds(entry: str, server: ServerName) -> bool:
    if entry == EVERY_HOST:
        return True
    host, port = _split(entry)
    if port and port != str(server.port):
        return False
    if host == EVERY_HOST:
        return True
    if host.startswith("*."):
        suffix = host[1:].rstrip(".")
        return len(suffix) > 1 and server.host.endswith(suffix) and len(server.host) > len(suffix)
    return bool(host) and ServerName.of(host, server.port) == server


def _split(entry: str) -> tuple[str, str]:
    """Returns host and port of an entry; an IPv6 address with a port stands in brackets."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return (host, rest[1:]) if not rest or rest.startswith(":") else ("", "")
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return (host, port) if port else ("", "")
    return entry, ""
