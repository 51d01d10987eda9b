"""Bounds of quantities are rules that a forgotten or mistaken unit breaks, with what was probably meant in their words.

A bound refuses no honest value: it stands far outside of what can work. The API server makes the same words as Python.
"""

from __future__ import annotations

import re
from typing import Any

from genset.api.base import CelRule
from genset.api.quantity import parse_quantity

MEMORY_LEAST = "16Mi"  # of any pod: a container runtime refuses to start one with less than 6 MiB or so
CPU_LEAST = "1m"  # Kubernetes counts in thousandths of a core
CPU_MOST = 1024  # cores; more than any machine gives one pod
CPU_THOUSANDTHS = 500  # a bare number from here on is taken for thousandths of a core whose m was forgotten

_NUMBER = "^[0-9.]+"
_GUESSED = "^[0-9.]+(n|u|m|k|Ki)?$"  # of these units, or of none, a probable one is told


def at_least(shown: str, least: str, *, gibi_below: int = 0, or_none: bool = False, optional: bool = False) -> CelRule:
    """Returns the rule that a number of bytes is at least `least`.

    `shown` names the field as OBJECT.FIELD. Numbers below `gibi_below` were probably meant in Gi, others in Mi. With
    `or_none` 0 is taken, too; with `optional` the field may be absent.
    """
    name = shown.rpartition(".")[2]
    written = f"string(self.{name})"
    number = f"{written}.find(r'{_NUMBER}')"
    likely = f"({number} + (double({number}) < {gibi_below}.0 ? 'Gi' : 'Mi'))"
    least_cel = f"quantity('{least}')"
    wide_enough = f"!quantity({written}).isLessThan({least_cel})"
    if or_none:
        wide_enough = f"quantity({written}).compareTo(quantity('0')) == 0 || {wide_enough}"
    return CelRule(
        f"!has(self.{name}) || {wide_enough}" if optional else wide_enough,
        f"{shown} must be at least {least}{', or 0' if or_none else ''}: give the number its unit",
        lambda model: (value := _written(model, name)) is None or _is_enough(value, least, or_none),
        f"'{shown} ' + {written} + ' is less than ' + (quantity({written}).isLessThan(quantity('1')) ? 'a byte' : "
        f"'{least}') + ({written}.matches(r'{_GUESSED}') && !quantity({likely}).isLessThan({least_cel}) ? "
        f"': did you mean ' + {likely} + '?' : ': write {least} or more')",
        lambda model: _too_little(shown, _written(model, name), least, gibi_below),
    )


def cores(shown: str, *, optional: bool = False) -> CelRule:
    """Returns the rule that a number of cores is one that a machine has, and no number of thousandths without its m."""
    name = shown.rpartition(".")[2]
    written = f"string(self.{name})"
    bare = f"({written}.matches('^[0-9]+$') && quantity({written}).compareTo(quantity('{CPU_THOUSANDTHS}')) >= 0)"
    honest = (
        f"!{bare} && quantity({written}).compareTo(quantity('{CPU_MOST}')) <= 0 && "
        f"!quantity({written}).isLessThan(quantity('{CPU_LEAST}'))"
    )
    return CelRule(
        f"!has(self.{name}) || ({honest})" if optional else honest,
        f"{shown} must be from {CPU_LEAST} to {CPU_MOST} cores, e.g. 500m for half a core",
        lambda model: (value := _written(model, name)) is None or _cores_fault(value) == "",
        f"'{shown} ' + {written} + ({bare} ? '{_THOUSANDTHS} ' + {written} + 'm?' : "
        f"quantity({written}).isLessThan(quantity('{CPU_LEAST}')) ? '{_TOO_FEW}' : '{_TOO_MANY}')",
        lambda model: f"{shown} {value}{_cores_fault(value)}" if (value := _written(model, name)) else "",
    )


_THOUSANDTHS = " is a number of whole cores: did you mean"
_TOO_FEW = f" is less than {CPU_LEAST}, a thousandth of a core: write 500m, say, for half a core"
_TOO_MANY = f" is more than {CPU_MOST} cores, which no machine has: write fewer"


def _cores_fault(value: str) -> str:
    amount = parse_quantity(value)
    if re.fullmatch("[0-9]+", value) and amount >= CPU_THOUSANDTHS:
        return f"{_THOUSANDTHS} {value}m?"
    if amount < parse_quantity(CPU_LEAST):
        return _TOO_FEW
    return _TOO_MANY if amount > CPU_MOST else ""


def _is_enough(value: str, least: str, or_none: bool) -> bool:
    amount = parse_quantity(value)
    return (or_none and amount == 0) or amount >= parse_quantity(least)


def memory_fault(shown: str, value: str) -> str:
    """Says why a pod's memory is too little, with what was probably meant; "" if it is enough."""
    return "" if _is_enough(value, MEMORY_LEAST, False) else _too_little(shown, value, MEMORY_LEAST, 64)


def cores_fault(shown: str, value: str) -> str:
    """Says why a number of cores is none that a machine has; "" if it is one."""
    return f"{shown} {value}{fault}" if (fault := _cores_fault(value)) else ""


def _too_little(shown: str, value: str, least: str, gibi_below: int) -> str:
    fault = f"{shown} {value} is less than {'a byte' if parse_quantity(value) < 1 else least}"
    number = re.match(_NUMBER, value)
    if number and re.fullmatch(_GUESSED, value):
        likely = f"{number[0]}{'Gi' if float(number[0]) < gibi_below else 'Mi'}"
        if parse_quantity(likely) >= parse_quantity(least):
            return f"{fault}: did you mean {likely}?"
    return f"{fault}: write {least} or more"


def _written(model: Any, name: str) -> Any:
    """Returns a field of a type by its name on the wire."""
    found = next(key for key, field in type(model).model_fields.items() if (field.alias or key) == name)
    return getattr(model, found)
