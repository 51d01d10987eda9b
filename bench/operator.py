"""`python -m bench operator`: placeholder."""

from __future__ import annotations

import click


@click.command("operator")
def command() -> None:
    """Memory of the idle operator with a fleet; time from a change of a RoutePolicy to all routers programmed."""
