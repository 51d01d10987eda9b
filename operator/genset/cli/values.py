"""Reads the values of command line options. Each function is the callback of an option, and names what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from genset.addresses import is_network
from genset.api.quantity import parse_quantity
from genset.data_zones import ZONE_CHARACTERS, is_zone


def pairs(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Reads KEY=VALUE, repeated or separated by commas."""
    result = {}
    for item in (part for value in values for part in value.split(",") if part):
        key, separator, value = item.partition("=")
        if not separator or not key or not value:
            raise click.BadParameter(f"{item!r} is not KEY=VALUE", param=parameter)
        result[key.strip()] = value.strip()
    return result


def engine_images(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, dict[str, str]]:
    """Reads ENGINE/VENDOR=IMAGE, repeated or separated by commas, as engine -> vendor -> image."""
    from genset.api.accelerator import VENDORS
    from genset.engines import MANAGED

    images: dict[str, dict[str, str]] = {}
    for place, image in pairs(context, parameter, values).items():
        engine, _, vendor = place.rpartition("/")
        if engine not in MANAGED:
            raise click.BadParameter(
                f"{place}={image} names no engine that genset runs: write ENGINE/VENDOR=IMAGE, where ENGINE is "
                f"{' or '.join(MANAGED)}",
                param=parameter,
            )
        if vendor not in VENDORS:
            raise click.BadParameter(
                f"{place}={image} names no vendor that genset knows: write one of {', '.join(VENDORS)}", param=parameter
            )
        images.setdefault(engine, {})[vendor] = image
    return images


def words(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Reads words, repeated or separated by commas; duplicates go."""
    return tuple(dict.fromkeys(word.strip() for value in values for word in value.split(",") if word.strip()))


def _that_are(good: Callable[[str], bool], remedy: str) -> Callable[..., tuple[str, ...]]:
    """Returns what reads words that have to be `good`. `remedy` says what a word is not, and what to write."""

    def read(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
        found = words(context, parameter, values)
        for value in found:
            if not good(value):
                raise click.BadParameter(f"{value!r} {remedy}", param=parameter)
        return found

    return read


networks = _that_are(is_network, "is no network; write ADDRESS/BITS, e.g. 10.0.0.0/8")
zones = _that_are(is_zone, f"is no data zone; write small letters, digits and -, at most {ZONE_CHARACTERS}, e.g. house")


def quantity(_: click.Context, parameter: click.Parameter, value: str) -> str:
    """Reads an amount as Kubernetes writes it."""
    try:
        parse_quantity(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error
    return value


def moment(_: click.Context, parameter: click.Parameter, value: str) -> float:
    """Reads a moment (RFC 3339) as seconds since 1970; 0 if there is none."""
    from datetime import datetime

    try:
        found = datetime.fromisoformat(value) if value else None
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is no moment: write it as 2026-11-30T16:00:00+00:00", param=parameter
        ) from error
    if found is not None and found.tzinfo is None:
        raise click.BadParameter(f"{value!r} has no time zone: write it as 2026-11-30T16:00:00+00:00", param=parameter)
    return found.timestamp() if found is not None else 0.0


def address(_: click.Context, parameter: click.Parameter, value: str) -> Any:
    """Reads HOST:PORT to listen at."""
    from genset.controllers.health import Address

    try:
        return Address.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error
