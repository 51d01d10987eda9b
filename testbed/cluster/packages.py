"""The cluster and the images need Debian packages, which are installed only where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from testbed.cluster.steps import StepFailed, run_step
from testbed.cluster.store import cache_root, locked

NODE = (
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "ipset",
    "conntrack",
    "kmod",
    "iproute2",
    "mount",
)
IMAGES = ("buildah", "debootstrap", "debian-archive-keyring", "ca-certificates")
FRONT = ("nginx-light",)
ARGOCD = ("redis-server", "git", "openssh-client")
#: What some tests need and others skip without: a PostgreSQL for ledgers, promtool for alerts, a browser.
OF_TESTS = {"postgresql": ("postgresql",), "promtool": ("prometheus",), "chromium": ("chromium-headless-shell",)}


def missing(packages: Iterable[str]) -> list[str]:
    """Lists those that dpkg does not know as installed."""
    if shutil.which("dpkg-query") is None:
        raise StepFailed(
            "dpkg-query is not here: the embedded cluster needs Debian or Ubuntu; "
            "give CONTEXT and KUBECONFIG to use a cluster of your own"
        )
    wanted = list(packages)
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    installed = {line.split()[0] for line in found.splitlines() if line.endswith(" installed")}
    return [p for p in wanted if p not in installed]


def install(packages: Iterable[str]) -> list[str]:
    """Installs what is missing. Returns the names of what was."""
    wanted = missing(packages)
    if not wanted:
        return []
    if os.geteuid() != 0:
        raise StepFailed(
            f"Debian packages are missing and only root can install them: apt-get install {' '.join(wanted)}"
        )
    with locked(cache_root() / ".packages.lock", "installing Debian packages"):
        wanted = missing(wanted)
        if wanted:
            _install(wanted, cache_root() / "log" / "apt.log")
    return wanted


def _install(wanted: list[str], log_file: Path) -> None:
    # RUNLEVEL=1 keeps the packages' own services (containerd, redis) from being started on machines without systemd.
    env = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3")
    log_file.unlink(missing_ok=True)
    try:
        run_step("Updating the package lists", [*apt, "update"], log_file, env=env)
    except StepFailed:
        pass  # a foreign repository that does not answer must not matter; if it does, the next step shows it
    run_step(
        f"Installing {' '.join(wanted)}", [*apt, "install", "-y", "--no-install-recommends", *wanted], log_file, env=env
    )
