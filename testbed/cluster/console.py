"""The command lines share this: progress on standard error, and errors as one clear message instead of a traceback."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

import click

from testbed.cluster.api import NotReady
from testbed.cluster.processes import DaemonDied
from testbed.cluster.steps import StepFailed
from testbed.cluster.tools import ToolMissing


class Refused(RuntimeError):
    """The cluster refuses what was asked, for the reason in the message."""


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Shows the log of this package, and ends with status 1 and the message if an expected error occurs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("testbed")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    except (StepFailed, ToolMissing, DaemonDied, NotReady, Refused) as error:
        raise click.ClickException(str(error)) from error
    finally:
        logger.removeHandler(handler)
