"""Writes docs/reference/command-line.md: what `--help` of every verb says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from genset.cli import main

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "command-line.md"
WIDTH = 110  # columns of the blocks
HEAD = """\
# The command line

Written by `make docs` from the program itself. `genset VERB --help` says the same; with the image alone:
`kubectl -n genset-system exec deploy/genset-operator -- genset VERB --help`. Whatever reads a cluster does so by `kubectl`, with
your rights; `--context` names a context of your kubeconfig.

Exit statuses: 0, it went well; 2, the command cannot be meant so, or what its own help says; 1, everything else. What is wrong
stands on standard error, so that `-o json` can be read by programs also then. `genset completion bash` (zsh, fish) prints a
completion script.

"""


def page() -> str:
    verbs = list(_verbs(main, click.Context(main, info_name="genset")))
    links = "".join(
        f"- [`{path}`](#{_anchor(path)}): {command.get_short_help_str(200)}\n" for path, command, _ in verbs
    )
    return HEAD + links + "".join(f"\n## {path}\n\n```text\n{text}\n```\n" for path, _, text in verbs)


def _verbs(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, str]]:
    """Yields each verb and each of its own, with what it says of itself. Those of a platform that lacks it are left out."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(
            command,
            info_name=name,
            parent=context,
            max_content_width=WIDTH,
            terminal_width=WIDTH,
            help_option_names=["-h", "--help"],
        )
        yield f"genset {' '.join(inner.command_path.split()[1:])}", command, command.get_help(inner)
        if isinstance(command, click.Group):
            yield from _verbs(command, inner)


def _anchor(path: str) -> str:
    return path.replace(" ", "-")
