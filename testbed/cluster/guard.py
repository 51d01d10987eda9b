"""The guard ends the daemons of a folder when the process that started them goes away, for whatever reason.

It only waits for its standard input to close: the kernel closes the other end even of a killed process.
"""

from __future__ import annotations

import sys
from pathlib import Path

from testbed.cluster.processes import Daemons


def main() -> None:
    sys.stdin.buffer.read()
    Daemons(Path(sys.argv[1])).stop_all()


if __name__ == "__main__":
    main()
