"""What the verbs of `genset bundle` print: what will be in a bundle, what is in it, and what to do with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from genset.bundle.create import Chart
from genset.bundle.gather import BundlePlan, File
from genset.bundle.load import Unpacked
from genset.bundle.verify import Opened
from genset.weights.failure import size_text

_DAY = 86_400


def plan(found: BundlePlan, chart: Chart | None, secrets: int, free: int) -> str:
    """Returns what will be in a bundle, with the size of each and of all."""
    rows = [(f"image  {copied.name}", _size(copied.files), copied.root.digest[:19]) for _, copied in found.images]
    for one in found.parts:
        files = one.copied.files if one.copied else one.files
        part = one.part
        rows.append((f"model  {part.namespace}/{part.deployment} {part.field}", _size(files), f"{len(files)} file(s)"))
    if chart:
        rows.append((f"chart  {chart.name} {chart.version}", size_text(len(chart.package)), ""))
    lines = _table(rows)
    unknown = sum(file.remote.size is None for file in found.files())
    lines.append(
        f"In all {size_text(found.size)}, what is the same counted once; {size_text(free)} are free on the disk."
    )
    if unknown:
        lines.append(f"{unknown} file(s) whose server says no size come on top.")
    if chart is None:
        lines.append("No chart is in it (--chart).")
    lines += [f"Not in it: {text}." for text in found.wanted.left]
    if secrets:
        lines.append(f"Not in it: {secrets} Secret(s): make them at the site.")
    return "\n".join(lines)


def summary(opened: Opened, now: datetime) -> str:
    """Returns what is in a bundle that was verified, and how old it is."""
    table = opened.table
    total = sum(one.size for one in opened.members.values())
    lines = [
        f"{opened.path}: whole, {len(opened.members)} blobs, {size_text(total)}",
        f"digest   {opened.own.digest}",
        f"sha256   {opened.sha256}",
        f"created  {table.created} by genset {table.genset}, {age(table.created, now)} ago, for {', '.join(table.platforms)}",
    ]
    lines += [f"image    {one.name} {one.root.digest[:19]}" for one in table.images]
    lines += [f"model    {one.namespace}/{one.deployment} {one.field}: {one.origin}" for one in table.models]
    if table.chart:
        lines.append(f"chart    {table.chart.name.partition('/')[2]}")
    return "\n".join(lines)


def as_json(opened: Opened, now: datetime) -> str:
    told = {
        "digest": opened.own.digest,
        "sha256": opened.sha256,
        "ageSeconds": int((now - datetime.fromisoformat(opened.table.created)).total_seconds()),
        **opened.table.model_dump(by_alias=True, mode="json"),
    }
    return json.dumps(told, indent=2)


def age(created: str, now: datetime) -> str:
    """Returns how old a bundle is, in the unit that fits."""
    seconds = max(0, int((now - datetime.fromisoformat(created)).total_seconds()))
    for unit, length in (("days", _DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def loaded(written: tuple[Path, Path, Path | None], found: Unpacked) -> str:
    """Returns what to install now."""
    values, resources, package = written
    chart = str(package or "CHART")
    if found.chart:
        chart = f"{found.chart.rpartition(':')[0]} --version {found.chart.rpartition(':')[2]}"
    return "\n".join(
        [
            f"Written: {values}, {resources}",
            "Now, at the site:",
            f"  helm install genset {chart} --namespace genset-system --create-namespace --values {values}",
            f"  kubectl apply -f {resources}",
        ]
    )


def _size(files: Sequence[File]) -> str:
    return size_text(sum({file.key: file.remote.size or 0 for file in files}.values()))


def _table(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    width = max((len(row[0]) for row in rows), default=0)
    return list(_lines(rows, width))


def _lines(rows: Sequence[tuple[str, str, str]], width: int) -> Iterator[str]:
    for what, size, more in rows:
        yield f"{what:<{width}}  {size:>9}  {more}".rstrip()
