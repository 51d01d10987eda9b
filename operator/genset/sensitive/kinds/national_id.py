"""Numbers that a state has given a person. Some are so weakly checked that any number might be one: only for countries named."""

from __future__ import annotations

from collections.abc import Sequence

from genset.sensitive.kinds.base import ContentKind, Finder, alone, bare


def _finders(countries: Sequence[str]) -> list[Finder]:
    from stdnum.at import vnr
    from stdnum.be import nn
    from stdnum.ch import ssn as ahv
    from stdnum.fr import nir
    from stdnum.gb import nhs
    from stdnum.nl import bsn
    from stdnum.pl import pesel
    from stdnum.se import personnummer
    from stdnum.us import ssn

    found = [
        Finder(alone(r"\d{3}-\d{2}-\d{4}"), ssn.is_valid),
        Finder(alone(r"756[.]\d{4}[.]\d{4}[.]\d{2}|756\d{10}"), lambda text: ahv.is_valid(bare(text))),
        Finder(
            alone(r"[1-478][ ]?\d{2}[ ]?[0-9]{2}[ ]?(?:\d{2}|2[AB])[ ]?\d{3}[ ]?\d{3}[ ]?\d{2}"),
            lambda text: nir.is_valid(bare(text)),
        ),
        Finder(alone(r"\d{2}[.]\d{2}[.]\d{2}-\d{3}[.]\d{2}"), lambda text: nn.is_valid(bare(text))),
    ]
    weak = {
        "AT": Finder(alone(r"\d{4}[ ]?\d{6}"), lambda text: vnr.is_valid(bare(text))),
        "BE": Finder(alone(r"\d{11}"), nn.is_valid),
        "GB": Finder(alone(r"\d{3}[ ]?\d{3}[ ]?\d{4}"), lambda text: nhs.is_valid(bare(text))),
        "NL": Finder(alone(r"\d{9}"), bsn.is_valid),
        "PL": Finder(alone(r"\d{11}"), pesel.is_valid),
        "SE": Finder(alone(r"(?:\d{2})?\d{6}[-+]?\d{4}"), personnummer.is_valid),
    }
    return found + [weak[country] for country in countries if country in weak]


KIND = ContentKind(
    "nationalId",
    "social security numbers of the US with dashes, AHV numbers of CH, NIR of FR, national numbers of BE with dots; with "
    "`countries` those of AT, BE, GB (NHS), NL, PL and SE, which any number might be",
    _finders,
)
