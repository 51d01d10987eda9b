"""Numbers of payment cards, by the issuer's beginning, its lengths, and Luhn's check digit (ISO/IEC 7812)."""

from __future__ import annotations

from collections.abc import Sequence

from genset.sensitive.kinds.base import GAP, ContentKind, Finder, alone, bare

#: First and last beginning, and lengths. Of the networks' public tables; test numbers are in use, so they count.
_ISSUERS = (
    (4, 4, (13, 16, 19)),  # Visa
    (51, 55, (16,)), (2221, 2720, (16,)),  # Mastercard
    (34, 34, (15,)), (37, 37, (15,)),  # American Express
    (300, 305, (14,)), (36, 36, (14,)), (38, 39, (14,)),  # Diners Club
    (6011, 6011, (16, 19)), (644, 649, (16, 19)), (65, 65, (16, 19)),  # Discover
    (3528, 3589, (16, 19)),  # JCB
    (62, 62, (16, 17, 18, 19)),  # UnionPay
    (5018, 5018, (16,)), (5020, 5020, (16,)), (5038, 5038, (16,)), (6304, 6304, (16,)), (6759, 6763, (16,)),  # Maestro
)  # fmt: skip
_USUAL = 16  # digits


def _finders(_: Sequence[str]) -> list[Finder]:
    from stdnum import luhn

    def valid(number: str) -> bool:
        issued = any(
            len(number) in lengths and first <= int(number[: len(str(first))]) <= last
            for first, last, lengths in _ISSUERS
        )
        return issued and len(set(number)) > 1 and luhn.is_valid(number)

    def grouped(text: str) -> bool:
        """A date often follows in another group."""
        number = bare(text)
        return valid(number) or (len(number) > _USUAL and valid(number[:_USUAL]))

    fours = rf"\d{{4}}(?:{GAP}\d{{4}}){{2}}{GAP}\d{{1,4}}(?:{GAP}\d{{1,3}})?"
    return [
        Finder(alone(r"\d{13,19}"), valid),
        Finder(alone(fours), grouped),
        Finder(alone(rf"\d{{4}}{GAP}\d{{6}}{GAP}\d{{4,5}}"), grouped),
    ]


KIND = ContentKind("creditCard", "numbers of payment cards with right check digits", _finders)
