"""`genset weights fetch|check` is the init container of engine pods.

Exit codes: 0 the model is there; 1 a later try may succeed; 2 wrong arguments; 3 a person must change something.
The reason and the remedy are the last log line and, as JSON, the container's termination message.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from genset import names
from genset.contracts.puller import (
    ALSO,
    PROGRESS_PATH,
    CheckSpec,
    Companion,
    ExitCode,
    FetchSpec,
    LastWords,
    Role,
    companion_args,
)

_log = logging.getLogger("genset.weights")


VOLUME_SIZE = click.option(
    "--volume-size", type=click.IntRange(0), default=0, metavar="BYTES", help="Most that the volume may hold."
)
FORBIDDEN_NETWORKS = click.option(
    "--forbidden-networks",
    default="",
    metavar="ADDRESS/BITS,…",
    help="With --guarded: further networks that are not dialled.",
)
ALLOWED_LICENCES = click.option(
    "--allowed-licences", default="", metavar="NAME,…", help="Licences that the model may have; unknown: none is named."
)
GUARDED = click.option("--guarded", is_flag=True, help="Dial no loopback, link-local, metadata service or API server.")
ROLE = click.Choice([role.value for role in Role])
ALSO_OPTION = click.option(
    ALSO,
    metavar="JSON",
    multiple=True,
    help="A companion: a list of its name, its field, fetch or check, and arguments.",
)


@click.group()
def command() -> None:
    """Fetch, verify and place model weights (runs in engine pods)."""


@command.command()
@click.option("--repo", metavar="OWNER/NAME", help="Hub source: the repository.")
@click.option("--revision", help="Hub source: branch, tag or commit. Default: main.")
@click.option("--file", metavar="GLOB", help="Hub and bucket: pattern that matches one model. Default: *.gguf.")
@click.option("--endpoint", metavar="URL", help="Hub and bucket: base URL of a mirror, or of the store.")
@click.option(
    "--include", metavar="GLOBS", help="Hub and bucket, with --whole-folder: files to fetch, parted by commas."
)
@click.option("--exclude", metavar="GLOBS", help="Hub and bucket, with --whole-folder: files to leave out of those.")
@click.option("--url", help="Web source: URL of the file.")
@click.option("--sha256", metavar="HEX", help="Web source and one object of a bucket: checksum of the file.")
@click.option("--uri", help="Bucket: s3://, gs:// or az:// with bucket and key or prefix.")
@click.option("--region", help="Bucket: region that requests are signed for.")
@click.option("--reference", metavar="REF", help="Registry: REGISTRY/REPOSITORY with :TAG or @DIGEST.")
@click.option("--path", metavar="GLOB", help="Registry: the file in it, or the folder with --whole-folder.")
@click.option("--scheme", type=click.Choice(["http", "https"]), help="Registry: http for one without TLS.")
@click.option("--into", metavar="DIR", default=names.MODELS_DIR, show_default=True, help="Volume for the weights.")
@click.option("--listen", metavar="HOST:PORT", default="", help=f"Serve the progress at {PROGRESS_PATH}.")
@click.option("--token-file", metavar="FILE", default="", help="File with the hub's access token.")
@click.option("--headers-file", metavar="FILE", default="", help="File with request headers, one `Name: value` a line.")
@click.option("--credentials-file", metavar="FILE", default="", help="File with the keys of a bucket or a registry.")
@click.option("--ca-file", metavar="FILE", default="", help="File with certificates (PEM) to trust, too.")
@click.option("--termination-log", metavar="FILE", default="", help="Where a failure is written as JSON.")
@click.option("--role", type=ROLE, default="", help="What the files are for. Default: the model.")
@click.option("--whole-folder", is_flag=True, help="Fetch a whole folder, as safetensors come, and not one GGUF model.")
@click.option("--max-size", type=click.IntRange(0), default=0, metavar="BYTES", help="Most that the model may have.")
@VOLUME_SIZE
@FORBIDDEN_NETWORKS
@ALLOWED_LICENCES
@GUARDED
@click.option("--settled", is_flag=True, help="Serve a complete model as it is; do not ask the source for a newer one.")
@click.option("--exclusive", is_flag=True, help="No other pod can mount DIR: other models may go when space is short.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up when nothing has arrived for so long.",
)
@ALSO_OPTION
def fetch(patience: float, also: tuple[str, ...], **options: Any) -> None:
    """Download a model, verify it, and print the path for the engine.

    \b
    genset weights fetch --repo org/name --file '*Q4_K_M.gguf' --into /models
    genset weights fetch --url https://files.corp/m.gguf --sha256 … --into /models
    genset weights fetch --uri s3://models/m.gguf --endpoint https://minio.corp --credentials-file k --into /models
    genset weights fetch --reference registry.corp/models/m:q4 --into /models
    """
    try:
        spec = FetchSpec.from_options(options)
        companions = _companions(also)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _run(spec.termination_log, lambda: _all(spec, _bound(companions, spec), patience))


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--termination-log", metavar="FILE", default="", help="Where a failure is written as JSON.")
@click.option("--role", type=ROLE, default="", help="What the files are for. Default: the model.")
@click.option("--image", metavar="REF", default="", help="The image that is mounted there, for messages.")
@click.option("--listen", metavar="HOST:PORT", default="", help="Serve the progress of companions that are fetched.")
@VOLUME_SIZE
@FORBIDDEN_NETWORKS
@ALLOWED_LICENCES
@GUARDED
@click.option("--whole-folder", is_flag=True, help="FILE is a folder, as safetensors come.")
@ALSO_OPTION
def check(file: Path, also: tuple[str, ...], **options: Any) -> None:
    """Look at a model FILE: is it there, readable, a whole GGUF with all its shards?"""
    spec = CheckSpec(str(file), **options)
    try:
        companions = _companions(also)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _run(spec.termination_log, lambda: _all(spec, _bound(companions, spec), 120.0) if companions else _check(spec))


def read(args: list[str]) -> FetchSpec | CheckSpec:
    """Reads arguments from the verb (fetch or check) on. Raises ValueError."""
    verb, *rest = args
    try:
        options = dict({"fetch": fetch, "check": check}[verb].make_context(verb, rest).params)
    except (KeyError, click.UsageError) as error:
        raise ValueError(
            f"{verb}: {error.format_message() if isinstance(error, click.UsageError) else 'no verb'}"
        ) from error
    options.pop("also")
    if verb == "check":
        return CheckSpec(str(options.pop("file")), **options)
    options.pop("patience")
    return FetchSpec.from_options(options)


def _companions(also: tuple[str, ...]) -> list[Companion]:
    found = []
    for value in also:
        name, field, args = companion_args(value)
        found.append(Companion(name, field, read(args)))
    return found


def _bound(companions: list[Companion], model: FetchSpec | CheckSpec) -> list[Companion]:
    """Has companions keep the bounds that are said with the model."""
    bounds = {name: getattr(model, name) for name in ("volume_size", "forbidden_networks", "guarded")}
    return [replace(one, spec=replace(one.spec, **bounds)) for one in companions]


def _all(spec: FetchSpec | CheckSpec, companions: list[Companion], patience: float) -> LastWords:
    from genset.api.modeldeployment import Reason
    from genset.weights import parts
    from genset.weights.facts import check_licence, facts_of
    from genset.weights.failure import WeightsFailure
    from genset.weights.page import PageServer
    from genset.weights.progress import ProgressLog
    from genset.weights.retry import Retry

    progress = ProgressLog(time.monotonic)
    server = None
    if spec.listen:
        try:
            server = PageServer(spec.listen, PROGRESS_PATH, lambda: progress.snapshot().to_json())
        except (OSError, ValueError, OverflowError) as error:  # a model without a progress bar is still a model
            _log.warning("Failed to serve progress at %s: %s", spec.listen, error)
    try:
        outcome = parts.run(spec, companions, progress, Retry(patience=patience))
    except WeightsFailure as failure:
        progress.update(state="failed", reason=failure.reason.value, message=failure.message)
        raise
    finally:
        if server:
            server.close()
    for one in (spec, *(companion.spec for companion in companions)):
        click.echo(one.model_path)
    # The progress server ends with the puller: size and revision stay readable in the termination message.
    facts = facts_of(Path(spec.model_path), companions)
    check_licence(str(facts.get("licence", "")), spec.allowed_licences)
    ready = Reason.WEIGHTS_READY.value
    return LastWords(ready, outcome.warning, outcome.total_bytes, outcome.revision, outcome.parts, facts)


def _check(spec: CheckSpec) -> LastWords | None:
    from genset.api.modeldeployment import Reason
    from genset.weights import local
    from genset.weights.facts import check_licence, facts_of

    header = local.check_part(spec)
    if header is None:
        _log.info("Checked the folder %s", spec.path)
    else:
        _log.info(
            "Checked %s: GGUF version %d, %s, %d tensors, %d file(s)",
            spec.path,
            header.version,
            header.architecture or "no architecture",
            header.tensor_count,
            header.split_count,
        )
    click.echo(spec.path)
    facts = facts_of(Path(spec.path))
    check_licence(str(facts.get("licence", "")), spec.allowed_licences)
    return LastWords(Reason.WEIGHTS_READY.value, model=facts) if facts else None


def _run(termination_log: str, work: Callable[[], LastWords | None]) -> None:
    """Runs a verb as a container: logs to stderr, ends on SIGTERM, leaves its last words."""
    from genset.api.modeldeployment import Reason
    from genset.weights.failure import WeightsFailure

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for name in ("httpx", "httpx2", "httpcore", "httpcore2", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.WARNING)  # their lines hold whole URLs, with signatures
    # As PID 1 an unhandled SIGTERM is ignored; as an exception it releases the lock and keeps the partial file.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        done = work()
    except WeightsFailure as failure:
        _log.error("%s: %s", failure.reason.value, failure.message)
        _leave(termination_log, LastWords(failure.reason.value, failure.message))
        sys.exit(failure.exit_code)
    except Exception as error:  # a defect of ours: the operator and the user must see it, not only the log
        _log.exception("Failed unexpectedly")
        _leave(termination_log, LastWords(Reason.DOWNLOAD_FAILED.value, f"{type(error).__name__}: {error}"[:1000]))
        sys.exit(ExitCode.RETRY)
    if done is not None:
        _leave(termination_log, done)


def _leave(path: str, words: LastWords) -> None:
    if not path:
        return
    try:
        Path(path).write_text(words.to_json(), encoding="utf-8")
    except OSError as error:
        _log.warning("Failed to write %s: %s", path, error)


def _terminate(_signal: int, _frame: FrameType | None) -> Any:
    sys.exit(143)
