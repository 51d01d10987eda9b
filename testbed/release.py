"""The last release is unpacked from its archive, to be run as it was."""

from __future__ import annotations

import tarfile
from pathlib import Path

VERSION = "0.1.0"
ARCHIVE = Path(__file__).parents[1] / "tests" / "releases" / VERSION / "genset.tar.xz"


def unpack(folder: Path) -> Path:
    """Returns the folder in which the release's `operator` and `charts` stand; unpacked once."""
    place = folder / f"genset-{VERSION}"
    if not place.exists():
        with tarfile.open(ARCHIVE) as packed:
            packed.extractall(place, filter="data")
    return place
