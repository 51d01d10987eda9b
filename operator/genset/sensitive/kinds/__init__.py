"""The kinds of sensitive content that genset knows, by the names that policies use: one file for each and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from genset.sensitive.kinds import credit_card, email, iban, national_id, phone, private_key, tax_id
from genset.sensitive.kinds.base import ContentKind

KINDS: Final[Mapping[str, ContentKind]] = {
    module.KIND.name: module.KIND for module in (iban, credit_card, email, phone, tax_id, national_id, private_key)
}
