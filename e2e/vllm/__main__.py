"""`python -m e2e.vllm`: installs vLLM for CPU into the cache; prints its interpreter and the model."""

from __future__ import annotations

import click

from e2e.cluster.console import reported
from e2e.models import counting_hf
from e2e.vllm import install


@click.command(help=__doc__)
def main() -> None:
    with reported():
        click.echo(f"{install.interpreter()}  {counting_hf.cached()}")


if __name__ == "__main__":
    main()
