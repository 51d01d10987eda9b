"""A bundle may be signed by `cosign sign-blob --key`, and the signature is verified offline with the public key.

It is over the whole file: ECDSA over its SHA-256 (cosign's own keys are of P-256), in Base64, or in a bundle of Sigstore
(`--bundle`). Signatures without a key need the transparency log, and so a network; they are not taken.
"""

from __future__ import annotations

import base64
import binascii
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from genset.bundle.errors import BundleError


def check(key: bytes, signature: bytes, sha256: str, shown: str) -> None:
    """Raises BundleError unless the signature is that of the file with this SHA-256, by the owner of the key."""
    try:
        public = serialization.load_pem_public_key(key)
    except (ValueError, TypeError) as error:
        raise BundleError("the key is no public key in PEM: give the cosign.pub of whoever signs") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise BundleError("the key is none of cosign's own, which are elliptic curves (ECDSA)")
    try:
        public.verify(_raw(signature), bytes.fromhex(sha256), ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except InvalidSignature as error:
        raise BundleError(f"{shown}: the signature is not that of this file by this key") from error


def _raw(signature: bytes) -> bytes:
    text = signature.strip()
    try:
        if text.startswith(b"{"):
            found = json.loads(text)
            text = (found.get("messageSignature") or {}).get("signature") or found["base64Signature"]
        return base64.b64decode(text, validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise BundleError(
            "the signature is neither Base64 nor a bundle of Sigstore, as cosign sign-blob writes it"
        ) from error
