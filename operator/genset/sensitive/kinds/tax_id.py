"""Tax numbers of people and firms. Some are so weakly checked that any number might be one: only for countries that are named."""

from __future__ import annotations

from collections.abc import Sequence

from genset.sensitive.kinds.base import ContentKind, Finder, alone, bare

_VAT = "AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK"


def _finders(countries: Sequence[str]) -> list[Finder]:
    from stdnum.at import tin
    from stdnum.de import idnr, stnr
    from stdnum.es import nie, nif
    from stdnum.eu import vat
    from stdnum.fr import nif as spi
    from stdnum.gb import utr
    from stdnum.it import codicefiscale
    from stdnum.pt import nif as nif_pt
    from stdnum.us import ein, itin

    found = [
        Finder(alone(rf"(?:{_VAT})[ -]?[0-9A-Z](?:[ .-]?[0-9A-Z]){{6,12}}"), lambda text: vat.is_valid(bare(text))),
        Finder(alone(r"\d{2}[ ]?\d{3}[ ]?\d{3}[ ]?\d{3}"), lambda text: idnr.is_valid(bare(text))),
        Finder(alone(r"(?i:[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z])"), codicefiscale.is_valid),
        Finder(
            alone(r"\d{8}-?[A-Z]|[XYZ]-?\d{7}-?[A-Z]"),
            lambda text: nif.is_valid(bare(text)) or nie.is_valid(bare(text)),
        ),
        Finder(alone(r"[0-3]\d(?:[ ]?\d{2}[ ]?\d{3}[ ]?\d{3}[ ]?\d{3})"), lambda text: spi.is_valid(bare(text))),
        Finder(alone(r"9\d{2}-[5-9]\d-\d{4}"), itin.is_valid),
    ]
    weak = {
        "AT": Finder(alone(r"\d{2}[ -]?\d{3}/?\d{4}"), lambda text: tin.is_valid(bare(text))),
        "DE": Finder(alone(r"\d{2,3}/\d{3,4}/\d{4,5}"), lambda text: stnr.is_valid(bare(text))),
        "GB": Finder(alone(r"\d{5}[ ]?\d{5}"), lambda text: utr.is_valid(bare(text))),
        "PT": Finder(alone(r"\d{3}[ ]?\d{3}[ ]?\d{3}"), lambda text: nif_pt.is_valid(bare(text))),
        "US": Finder(alone(r"\d{2}-\d{7}"), ein.is_valid),
    }
    return found + [weak[country] for country in countries if country in weak]


KIND = ContentKind(
    "taxId",
    "VAT numbers of the EU with their country, personal tax numbers of DE, ES, FR and IT, ITINs of the US; with `countries` "
    "those of AT, DE (Steuernummer), GB, PT and US (EIN), which any number might be",
    _finders,
)
