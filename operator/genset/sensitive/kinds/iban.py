"""IBANs, by country, length and check digits (ISO 13616; the registry is python-stdnum's)."""

from __future__ import annotations

from collections.abc import Sequence

from genset.sensitive.kinds.base import BEFORE, GAP, ContentKind, Finder, alone, bare

_SHORTEST, _LONGEST = 15, 34


def _finders(_: Sequence[str]) -> list[Finder]:
    from stdnum import iban

    def valid(number: str) -> bool:
        """A bank's own check digits inside are not looked at: whoever mistyped one has meant an account all the same."""
        return iban.is_valid(number, check_country=False)

    def check(text: str) -> bool:
        """What follows an IBAN may look like more of it: one that ends with a group counts."""
        number, ends = bare(text), _ends_of_groups(text)
        return any(valid(number[:length]) for length in range(_SHORTEST, _LONGEST + 1) if length in ends)

    grouped = rf"{BEFORE}([A-Z]{{2}}{GAP}?\d{GAP}?\d(?:{GAP}?[A-Z0-9]){{11,36}})"
    fours = rf"(?i:[A-Z]{{2}}\d{{2}}(?:{GAP}[A-Z0-9]{{4}}){{2,7}}(?:{GAP}[A-Z0-9]{{1,4}})?)"
    return [
        Finder(grouped, check, 10),
        Finder(alone(r"(?i:[A-Z]{2}\d{2}[A-Z0-9]{11,30})"), valid, 10),
        Finder(rf"{BEFORE}({fours})", check, 10),
    ]


def _ends_of_groups(text: str) -> frozenset[int]:
    """Returns behind how many letters and digits a group ends."""
    ends, seen = set(), 0
    for character in text:
        if character.isalnum():
            seen += 1
        else:
            ends.add(seen)
    return frozenset((*ends, seen))


KIND = ContentKind("iban", "IBANs with right check digits", _finders)
