"""`genset completion SHELL` prints the completion script, from click."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a completion script: source <(genset completion bash)."""
    completion = get_completion_class(shell)
    if completion is None:  # the choices above are click's own
        raise click.ClickException(f"no completion for {shell}")
    click.echo(completion(ctx.find_root().command, {}, "genset", "_GENSET_COMPLETE").source())
