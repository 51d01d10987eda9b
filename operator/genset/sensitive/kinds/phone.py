"""Telephone numbers that a country's plan has (phonenumbers): with + or 00 of all countries, without only of those named."""

from __future__ import annotations

from collections.abc import Sequence

from genset.sensitive.kinds.base import Check, ContentKind, Finder

_BETWEEN = r"[ ()./-]{0,3}"
_ABROAD = rf"(?:^|[^0-9A-Za-z+])((?:\+|00){_BETWEEN}[1-9](?:{_BETWEEN}\d){{6,14}})(?:$|[^0-9A-Za-z])"
_AT_HOME = rf"(?:^|[^0-9A-Za-z+.,/-])(\(?\d(?:{_BETWEEN}\d){{6,13}})(?:$|[^0-9A-Za-z.,:-]|[.,:-](?:$|[^0-9]))"


def _finders(countries: Sequence[str]) -> list[Finder]:
    import phonenumbers

    def valid(text: str, country: str | None) -> bool:
        try:
            return phonenumbers.is_valid_number(phonenumbers.parse(text, country))
        except phonenumbers.NumberParseException:
            return False

    def abroad(text: str) -> bool:
        return valid("+" + text.lstrip("+0 ()"), None)

    def of(country: str) -> Check:
        return lambda text: valid(text, country)

    known = [country for country in countries if country in phonenumbers.SUPPORTED_REGIONS]
    return [Finder(_ABROAD, abroad, 10), *(Finder(_AT_HOME, of(country), 10) for country in known)]


KIND = ContentKind("phone", "telephone numbers with + or 00; those of `countries` without, too", _finders)
