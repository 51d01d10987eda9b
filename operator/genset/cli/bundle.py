"""`genset bundle` brings a site everything in one file: images, chart, CRDs, models and resources."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

Verb = TypeVar("Verb", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def command() -> None:
    """Bring a site everything in one file: images by digest, chart, CRDs, models and resources.

    \b
    genset bundle create --policy site/ --chart genset-0.2.0.tgz -o site.gsb --plan
    genset bundle create --policy site/ --chart genset-0.2.0.tgz -o site.gsb
    genset bundle verify site.gsb
    genset bundle load site.gsb --registry registry.corp:5000 --out here/
    """


def _access(verb: Verb) -> Verb:
    """Adds the options that say how servers are asked."""
    options = (
        click.option(
            "--docker-config",
            type=_PATH,
            help="Docker configuration with logins of registries. Default: that of docker login, if it is there.",
        ),
        click.option("--ca-file", type=_FILE, help="Certificates (PEM) that are trusted beside the system's."),
        click.option("--plain-http", multiple=True, metavar="HOST:PORT", help="Registry without TLS; repeat for more."),
    )
    for option in options:
        verb = option(verb)
    return verb


def _input(verb: Verb) -> Verb:
    """Adds the options that say what a site needs."""
    options = (
        click.option(
            "--secrets-dir",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            help="Folder of the Secrets that sources name: a folder for each, with a file for each key.",
        ),
        click.option(
            "--platform", "platforms", multiple=True, metavar="OS/ARCH",
            help="Platform of the nodes; repeat for more, or say all. Default: this machine's.",
        ),
        click.option("--chart", type=click.Path(path_type=Path, exists=True), help="genset's chart: a package, or its folder."),
        click.option("--values", type=_FILE, help="Values of the chart: which images genset and its engines have."),
        click.option(
            "--policy", "-f", "files", multiple=True, required=True, type=click.Path(path_type=Path, exists=True),
            help="File, or folder of files, with RoutePolicies and ModelDeployments; repeat for more.",
        ),
    )  # fmt: skip
    for option in options:
        verb = option(verb)
    return verb


@command.command()
@_input
@_access
@click.option("--out", "-o", required=True, type=_PATH, help="The bundle to make, e.g. site.gsb.")
@click.option(
    "--plan", "only_plan", is_flag=True, help="Say what would be in it and how large it is, and make nothing."
)
@click.option(
    "--patience", type=float, default=120.0, show_default=True, help="Seconds without any progress after which it ends."
)
def create(
    out: Path,
    only_plan: bool,
    patience: float,
    files: tuple[Path, ...],
    values: Path | None,
    chart: Path | None,
    platforms: tuple[str, ...],
    secrets_dir: Path | None,
    **access: Any,
) -> None:
    """Make a bundle. A run that was cut goes on where it was, with the same command."""
    from datetime import UTC, datetime

    from genset.bundle import create as making
    from genset.bundle import gather, inputs, shown
    from genset.bundle.wanted import settings_of, wanted
    from genset.contracts.bundle import CRDS, RESOURCES
    from genset.weights.client import make_client

    with _told() as progress:
        given = inputs.resources(files)
        packed = inputs.chart(chart) if chart else None
        version = str(packed.metadata.get("appVersion") or "") if packed else ""
        needed = wanted(given.resources(), settings_of(inputs.values(values), version))
        means = _means(access, secrets_dir, patience)
        with make_client(means.ca_file) as client:
            found = gather.plan(needed, platforms or (gather.own_platform(),), means, client, progress)
            own = {RESOURCES: inputs.written(given.documents), CRDS: inputs.crds()}
            free = making.Disk(out.parent.resolve()).free
            click.echo(shown.plan(found, packed, given.secrets, free))
            if only_plan:
                return
            opened = making.create(found, out, own, packed, means, client, progress, datetime.now(UTC))
        click.echo(shown.summary(opened, datetime.now(UTC)))


@command.command()
@_input
@_access
def plan(**given: Any) -> None:
    """Say what would be in a bundle and how large it is."""
    context = click.get_current_context()
    context.invoke(create, out=Path("site.gsb"), only_plan=True, patience=120.0, **given)


@command.command()
@click.argument("bundle", type=_FILE)
@click.option("--digest", help="Digest that the bundle must have, as `create` printed it: no other bundle is taken.")
@click.option("--key", type=_FILE, help="Public key (PEM) of `cosign sign-blob --key`; needs --signature.")
@click.option("--signature", type=_FILE, help="Signature of the file, as `cosign sign-blob` writes it.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True)
def verify(bundle: Path, digest: str | None, key: Path | None, signature: Path | None, output: str) -> None:
    """Verify a bundle, offline: every byte of it."""
    from datetime import UTC, datetime

    from genset.bundle import shown

    if (key is None) != (signature is None):
        raise click.UsageError("--key and --signature belong together")
    with _told():
        opened = _verified(bundle, digest, key, signature)
        now = datetime.now(UTC)
        click.echo(shown.as_json(opened, now) if output == "json" else shown.summary(opened, now))


@command.command()
@click.argument("bundle", type=_FILE)
@_access
@click.option("--registry", metavar="HOST[:PORT][/PATH]", help="Registry of the site, which nodes pull from.")
@click.option("--containerd", is_flag=True, help="Import into this node's containerd, by its command ctr.")
@click.option(
    "--address",
    default="/run/containerd/containerd.sock",
    show_default=True,
    help="Socket of containerd (with --containerd).",
)
@click.option(
    "--namespace", default="k8s.io", show_default=True, help="Namespace of containerd; that of kubelets is k8s.io."
)
@click.option("--weights", type=_PATH, help="Folder of this node for models (with --containerd).")
@click.option(
    "--out", "-o", type=_PATH, default=Path(), show_default=True, help="Folder for values.yaml and resources.yaml."
)
@click.option("--digest", help="Digest that the bundle must have, as `create` printed it.")
@click.option("--key", type=_FILE, help="Public key (PEM) of `cosign sign-blob --key`; needs --signature.")
@click.option("--signature", type=_FILE, help="Signature of the file, as `cosign sign-blob` writes it.")
def load(
    bundle: Path,
    registry: str | None,
    containerd: bool,
    address: str,
    namespace: str,
    weights: Path | None,
    out: Path,
    digest: str | None,
    key: Path | None,
    signature: Path | None,
    **access: Any,
) -> None:
    """Verify a bundle, and unpack it into a registry or a node; then say what to install."""
    from genset.bundle import load as loading
    from genset.bundle import shown
    from genset.weights.client import make_client

    if (registry is None) != containerd:
        raise click.UsageError("give one of --registry and --containerd")
    if (key is None) != (signature is None):
        raise click.UsageError("--key and --signature belong together")
    with _told("Loaded") as progress:
        opened = _verified(bundle, digest, key, signature)
        means = _means(access, None, 120.0)
        if registry is None:
            loaded = loading.to_node(opened, address, namespace, weights.resolve() if weights else None, progress)
        else:
            with make_client(means.ca_file) as client:
                loaded = loading.to_registry(opened, registry, means, client, progress)
        click.echo(shown.loaded(loading.write(opened, loaded, out), loaded))


def _verified(bundle: Path, digest: str | None, key: Path | None, signature: Path | None) -> Any:
    import time

    from genset.bundle.errors import BundleError
    from genset.bundle.signature import check
    from genset.bundle.verify import verify as verified
    from genset.weights.progress import ProgressLog

    progress = ProgressLog(time.monotonic)
    opened = verified(
        bundle,
        lambda done, total: progress.update(received=done, total_bytes=total, file=bundle.name, state="verifying"),
    )
    if digest is not None and digest != opened.own.digest:
        raise BundleError(f"{bundle}: it is another bundle, {opened.own.digest}, and not {digest}")
    if key is not None and signature is not None:
        check(key.read_bytes(), signature.read_bytes(), opened.sha256, str(bundle))
    return opened


def _means(access: dict[str, Any], secrets_dir: Path | None, patience: float) -> Any:
    from genset.bundle.gather import Means
    from genset.weights.retry import Retry

    config = access["docker_config"] or Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser() / "config.json"
    if access["docker_config"] is None and not config.is_file():
        config = ""
    ca_file = str(access["ca_file"] or "")
    return Means(str(config), secrets_dir, ca_file, frozenset(access["plain_http"]), Retry(patience=patience))


@contextmanager
def _told(verb: str = "Downloaded") -> Iterator[Any]:
    """Writes progress to standard error, and ends with a sentence if it ends badly."""
    import time

    from genset.bundle.errors import BundleError
    from genset.cli.log_format import configure
    from genset.weights.progress import ProgressLog

    configure("text", os.environ.get("GENSET_LOG_LEVEL", "info"))
    for name in ("httpx", "httpx2", "httpcore", "httpcore2", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.WARNING)  # their lines hold whole URLs, with signatures
    began = time.monotonic()
    try:
        yield ProgressLog(time.monotonic, verb)
        click.echo(f"It took {time.monotonic() - began:.0f} s.", err=True)
    except BundleError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\nStopped. The same command goes on from here.", err=True)
        sys.exit(130)
