"""Credential files are what routers find beside their configuration: each is copied from one key of a Secret. Pure.

They are named by whom they are for *and* by what they were copied from and where they are sent: a key whose Secret has gone
missing stays in use, but never for another Secret, key or host than it was given for.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from genset.api.base import SecretKeyRef
from genset.desired.context import RoutePolicyContext
from genset.desired.credentials import credential_fault


class Credential(NamedTuple):
    """A credential is a file for the router, the key that it is copied from, and where the router sends it; "": nowhere."""

    file: str
    use: str
    ref: SecretKeyRef
    sent_to: str

    def content(self, namespace: str, context: RoutePolicyContext) -> bytes | None:
        """Returns the key as it is, or as it was last while it is missing or of no use.

        A Secret that does not let the key go to its server takes it back. Surrounding white space is never meant.
        """
        secret = context.secrets.get(self.ref.name)
        if secret is not None and secret.why_not(self.sent_to, namespace, self.ref.name):
            return None
        current = secret.data.get(self.ref.key) if secret is not None else None
        if current is None or credential_fault(self.use, current):
            return context.applied_credentials.get(self.file)
        return current.strip()


def file_name(owner: str, use: str, ref: SecretKeyRef, url: str) -> str:
    """Names a credential file, e.g. `frontier-3f2a9c01.key`."""
    identity = json.dumps([ref.name, ref.key, url])
    return f"{owner}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}.{use}"
