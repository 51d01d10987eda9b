"""The command line of the benchmarks."""

from __future__ import annotations

import logging

import click

from bench import instructions, ledger, operator, pairs, router, sensitive, shapes, translations
from bench.continuity import command as continuity


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measures genset: ratios against peers on the same core, in turns, because absolute numbers are the machine's."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)


main.add_command(router.command)
main.add_command(pairs.command)
main.add_command(operator.command)
main.add_command(instructions.command)
main.add_command(operator.fleet_command)
main.add_command(translations.command)
main.add_command(sensitive.command)
main.add_command(shapes.command)
main.add_command(ledger.command)
main.add_command(continuity.command)

if __name__ == "__main__":
    main()
