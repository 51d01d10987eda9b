"""`genset crds` prints the CustomResourceDefinitions as YAML, for pipes and for files that are committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

_HEADER = "# Generated from operator/genset/api by `make crds`. Do not edit.\n"


class Dumper(yaml.SafeDumper):
    """This dumper indents lists under their key and writes no aliases: what people write by hand."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render(definition: dict[str, Any]) -> str:
    """Returns one definition as a YAML document, fields in the order of the types."""
    return _HEADER + yaml.dump(definition, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    multiple=True,
    help="Folder to write one file per kind into, instead of printing. May be given several times.",
)
def command(out: tuple[Path, ...]) -> None:
    """Print the CustomResourceDefinitions: genset crds | kubectl apply --server-side -f -."""
    from genset.api.crd import definitions

    files = {name: render(definition) for name, definition in definitions().items()}
    for folder in out:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    if not out:
        click.echo("---\n" + "---\n".join(files.values()), nl=False)
