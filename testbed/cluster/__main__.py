"""`python -m testbed.cluster` runs the embedded cluster from the command line."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

import click

from testbed.cluster import packages, tools
from testbed.cluster.cluster import Cluster, default_folder
from testbed.cluster.console import Refused, reported
from testbed.cluster.controlplane import ControlPlane
from testbed.cluster.store import cache_root

FOLDER = click.option("--dir", "folder", type=click.Path(file_okay=False, path_type=Path), help="The cluster's folder.")
PLANE_ONLY = click.option(
    "--control-plane-only", is_flag=True, help="etcd and the API server, without a node; needs no root."
)


def plane_folder(folder: Path | None) -> Path:
    return folder or cache_root() / "cluster" / "control-plane"


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command("tools")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(sorted(tools.PROGRAMS)),
    help="Build these programs, install no packages for others.",
)
def build_tools(only: tuple[str, ...]) -> None:
    """Install missing Debian packages and build the cluster's programs into the cache."""
    with reported():
        started = time.monotonic()
        if not only or "argocd" in only:
            packages.install(packages.ARGOCD if only else (*packages.NODE, *packages.IMAGES))
        for name, place in tools.ensure(*(only or tools.CLUSTER_PROGRAMS)).items():
            click.echo(f"{name}  {place}")
        click.echo(f"Ready after {time.monotonic() - started:.1f} s", err=True)


@main.command("packages")
@click.argument("wanted", nargs=-1, required=True, type=click.Choice(sorted(packages.OF_TESTS)))
def install_packages(wanted: tuple[str, ...]) -> None:
    """Install Debian packages that some tests need, if this user may; without them these tests are skipped."""
    needed = packages.missing(one for name in wanted for one in packages.OF_TESTS[name])
    if needed and os.geteuid() != 0:
        click.echo(f"Some tests will be skipped: only root can install {' '.join(needed)}", err=True)
        return
    with reported():
        packages.install(needed)


@main.command()
@FOLDER
@PLANE_ONLY
@click.option("--controller-manager", is_flag=True, help="With --control-plane-only: the controller-manager too.")
def up(folder: Path | None, control_plane_only: bool, controller_manager: bool) -> None:
    """Bring the cluster up, unless it is."""
    with reported():
        if not control_plane_only:
            cluster = Cluster(folder)
            cluster.up()
            click.echo(f"export KUBECONFIG={cluster.kubeconfig}")
            return
        plane = ControlPlane(plane_folder(folder), controller_manager=controller_manager, guarded=False)
        if plane.attach() and plane.api.is_ready():
            click.echo("It runs already", err=True)
        else:
            started = time.monotonic()
            plane.start()
            click.echo(f"The control plane is up after {time.monotonic() - started:.1f} s", err=True)
        click.echo(f"export KUBECONFIG={plane.kubeconfig}")


@main.command()
@FOLDER
@PLANE_ONLY
def down(folder: Path | None, control_plane_only: bool) -> None:
    """End the cluster and remove what it made."""
    with reported():
        if control_plane_only:
            ControlPlane(plane_folder(folder)).remove()
        elif not Cluster(folder).down():
            click.echo("No cluster was up", err=True)


@main.command()
@FOLDER
def status(folder: Path | None) -> None:
    """Say whether the cluster is healthy; exit status 1 when it is not."""
    with reported():
        cluster = Cluster(folder)
        faults = cluster.faults()
        if faults:
            raise Refused("\n".join(faults))
        click.echo(f"Healthy: {cluster.folder}")


@main.command()
@FOLDER
def env(folder: Path | None) -> None:
    """Print shell lines that point kubectl and helm at the cluster: eval "$(python -m testbed.cluster env)"."""
    with reported():
        for name, value in Cluster(folder).environment().items():
            click.echo(f"export {name}={shlex.quote(value)}")


@main.command()
@FOLDER
def smoke(folder: Path | None) -> None:
    """Try everything that the cluster promises, from nothing to nothing."""
    from testbed.cluster.smoke import run_smoke

    with reported():
        run_smoke(folder or default_folder().with_name("smoke"))


if __name__ == "__main__":
    main()
