"""Runs genset as a cluster with random user ids does: a user that no file names, in group 0, nothing writable but /tmp."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

UID = 1_000_680_000  # of the range that a namespace of OpenShift might have
ROOT = Path(__file__).parents[2]
_PLACE = "/mnt"  # of the new mount namespace: what the user needs and could not reach where it is

_SCRIPT = """
set -eu
mount --make-rprivate /
mount -t tmpfs none {place}
mkdir {place}/python {place}/packages {place}/source {place}/work
mount --bind {python} {place}/python
mount --bind {packages} {place}/packages
mount --bind {source} {place}/source
mount --bind {work} {place}/work
mount -t tmpfs none /tmp
chmod 1777 /tmp
mount -o remount,bind,ro {place}/source
mount -o remount,bind,ro {place}/python
mount -o remount,bind,ro {place}/packages
mount -o remount,ro {place}
mount -o remount,bind,ro / 2>/dev/null || mount -o remount,ro /
cd /
exec setpriv --reuid {uid} --regid 0 --clear-groups --no-new-privs --bounding-set -all --inh-caps -all \\
  env -i HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={place}/source/operator:{place}/packages \\
  LD_LIBRARY_PATH={place}/python/lib {place}/python/bin/python3 {arguments}
"""


def skip_if_impossible() -> None:
    """Skips the test where nobody may change users, or mount."""
    if os.getuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "setpriv")):
        pytest.skip("running as another user needs root, unshare and setpriv")
    if subprocess.run(["unshare", "--mount", "mount", "--make-rprivate", "/"], capture_output=True).returncode:
        pytest.skip("mounting needs more rights than root has here")


def command(work: Path, *arguments: str) -> list[str]:
    """Returns the command of `python ARGUMENTS` as that user. What is in `work` is at /mnt/work, where it may write."""
    work.chmod(0o770)  # as a volume that the kubelet has given to the pod's group
    for path in work.rglob("*"):
        path.chmod(0o770 if path.is_dir() else 0o640)
    folders = {
        "python": sys.base_prefix,
        "packages": sysconfig.get_path("purelib"),
        "source": str(ROOT),
        "work": str(work),
    }
    quoted = {name: shlex.quote(folder) for name, folder in folders.items()}
    script = _SCRIPT.format(place=_PLACE, uid=UID, arguments=shlex.join(arguments), **quoted)
    return ["unshare", "--mount", "sh", "-c", script]
