"""`python -m genset`: the same as the `genset` command."""

from genset.cli import main

main()
