"""Commands are typed as somebody at a terminal types them, for a cluster of the scenarios."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.testing import CliRunner, Result

from testbed.house import House


def shell(house: House) -> dict[str, str]:
    """Returns the environment of who types commands for this cluster."""
    folder = Path(house.kubectl_binary).parent
    return {"KUBECONFIG": str(house.kubeconfig), "PATH": f"{folder}:{os.environ['PATH']}"}


def typed(house: House, command: click.Command, *arguments: str) -> Result:
    """Runs a command in this process. Returns its exit status and what it has said."""
    return CliRunner().invoke(command, list(arguments), env=shell(house))
