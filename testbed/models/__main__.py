"""`python -m testbed.models counting OUT.gguf`: writes a model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from testbed.models import counting


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command("counting")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--tokens", default=counting.DEFAULT_WORDS, show_default=True, help="How far it counts.")
def write_counting(out: Path | None, tokens: int) -> None:
    """Write the counting model to OUT, or into the cache; prints its sha256 and its path."""
    if out is None:
        out = counting.cached(tokens)
    else:
        counting.write(out, tokens)
    click.echo(f"{hashlib.sha256(out.read_bytes()).hexdigest()}  {out}")


if __name__ == "__main__":
    main()
