"""`python tools/release.py COMMIT VERSION`: keeps a release for the tests of upgrades, as tests/releases/VERSION/genset.tar.xz.

What is kept is what an installation is made of: the chart, and whatever the image is built from. The same commit gives the same
bytes.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path

from testbed.images.genset import INPUTS

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (*INPUTS, "charts")
MOST_BYTES = 1 << 20  # of an archive: it is downloaded with every clone


def archive(commit: str) -> bytes:
    """Returns the folders of a commit, packed."""
    packed = subprocess.run(["git", "archive", commit, *FOLDERS], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("Usage: python tools/release.py COMMIT VERSION", file=sys.stderr)
        return 2
    commit, version = arguments
    content = archive(commit)
    if len(content) > MOST_BYTES:
        print(f"The archive has {len(content)} bytes, more than {MOST_BYTES}: keep less in it", file=sys.stderr)
        return 1
    folder = ROOT / "tests" / "releases" / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "genset.tar.xz").write_bytes(content)
    print(f"Kept {commit} as {version}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
