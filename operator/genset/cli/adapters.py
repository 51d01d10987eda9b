"""`genset adapters` runs beside a server and has it load and unload LoRA adapters, as a mounted list says."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path

import click

from genset import names
from genset.contracts.adapter_list import FILE, FOLDER, REPORT_PATH
from genset.listening import EVERY_ADDRESS


@click.command()
@click.option(
    "--list",
    "file",
    type=click.Path(path_type=Path),
    default=f"{FOLDER}/{FILE}",
    show_default=True,
    help="The list. It is read once a second.",
)
@click.option(
    "--server", metavar="URL", default=f"http://localhost:{names.ENGINE_PORT}", show_default=True, help="The server."
)
@click.option(
    "--keep", metavar="NAMES", default="", help="Adapters that the server was started with, parted by commas."
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=f"[{EVERY_ADDRESS}]:{names.WEIGHTS_PORT}",
    show_default=True,
    help=f"Tell at {REPORT_PATH} what the server has against adapters; 0: do not.",
)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once nothing more is to be waited for.")
def command(file: Path, server: str, keep: str, listen: str, ready_file: Path | None) -> None:
    """Keep a running server's adapters as a list says (runs in engine pods)."""
    from genset.weights import joined
    from genset.weights.page import PageServer

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def told(followed: joined.Joined) -> None:
        if followed.ready and ready_file is not None and not ready_file.exists():
            ready_file.touch()

    fixed = frozenset(filter(None, keep.split(",")))
    with joined.client(server) as http:
        one = joined.Joined(file, http, fixed)
        if listen != "0":
            try:
                PageServer(listen, REPORT_PATH, lambda: one.report().to_json())
            except (OSError, ValueError, OverflowError) as error:  # adapters join whether or not anybody hears of them
                logging.warning("Failed to serve %s at %s: %s", REPORT_PATH, listen, error)
        joined.keep(one, told)
