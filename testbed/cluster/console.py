"""What the command lines share: progress on standard error, and errors as one clear message instead of a traceback."""

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
    """The cluster will not do what was asked, for the reason in the message."""


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Show the log of this package, and end with status 1 and the message when something that can be expected goes
    wrong.
    """
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
