"""`python -m testbed.images build [pause] [llamacpp] [genset]`: container images without Docker."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.cluster import packages
from testbed.cluster.console import reported
from testbed.images import IMAGES

NAMES = click.argument("names", nargs=-1, type=click.Choice(sorted(IMAGES)))


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@NAMES
def build(names: tuple[str, ...]) -> None:
    """Build the images (all, if none is named) into the cache; prints each one's name and archive."""
    with reported():
        packages.install(packages.IMAGES)
        for name in names or IMAGES:
            click.echo(f"{IMAGES[name].reference}  {IMAGES[name].archive()}")


@main.command()
@NAMES
@click.option("--dir", "folder", type=click.Path(file_okay=False, path_type=Path), help="The cluster's folder.")
def load(names: tuple[str, ...], folder: Path | None) -> None:
    """Build the images and import them into the running embedded cluster."""
    from testbed.cluster.cluster import Cluster

    with reported():
        cluster = Cluster(folder)
        for name in names or IMAGES:
            cluster.load_image(IMAGES[name].archive())


@main.command("host-llama-server", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_host_llama_server(arguments: tuple[str, ...]) -> None:
    """Run the image's llama-server on this machine."""
    import os

    from testbed.images import host_llama_server

    with reported():
        command = [*host_llama_server(), *arguments]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
