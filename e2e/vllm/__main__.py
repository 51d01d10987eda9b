"""`python -m e2e.vllm`: installs vLLM for CPU into the cache; prints its interpreter and the model."""

from __future__ import annotations

import click

from e2e.vllm import install
from testbed.cluster.console import reported
from testbed.models import counting_hf


@click.command(help=__doc__)
def main() -> None:
    with reported():
        click.echo(f"{install.interpreter()}  {counting_hf.cached()}")


if __name__ == "__main__":
    main()
