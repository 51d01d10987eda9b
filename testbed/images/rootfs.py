"""Small Debian root file systems by debootstrap, from the mirror that this machine's own package sources name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from testbed.cluster.steps import StepFailed, run_step
from testbed.cluster.store import cache_root

APT_FOLDER = Path("/etc/apt")
MIRROR_VARIABLE = "GENSET_DEBIAN_MIRROR"
NOBODY_LINE = "genset:x:65532:65532:genset:/:/usr/sbin/nologin\n"
NOBODY_GROUP_LINE = "genset:x:65532:\n"
# Nothing of it is read by a server in a container. Licences (usr/share/doc/*/copyright) stay.
DROPPED = (
    "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bash-completion",
    "usr/share/zsh", "var/cache/apt", "var/cache/debconf", "var/cache/ldconfig", "var/lib/apt/lists", "var/log",
)  # fmt: skip


def find_mirror(sources: Iterable[str]) -> str | None:
    """The first mirror of the Debian main archive in the texts of apt's source files, one-line style or deb822."""
    for text in sources:
        for uri, suites, components in [*_one_line(text), *_deb822(text)]:
            is_archive = uri.rstrip("/").rpartition("/")[2] == "debian" and "main" in components
            if is_archive and not any("security" in suite for suite in suites):
                return uri.rstrip("/")
    return None


def _one_line(text: str) -> Iterable[tuple[str, list[str], list[str]]]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        words = words[1:]
        if words and words[0].startswith("["):
            end = next((i for i, word in enumerate(words) if word.endswith("]")), len(words))
            words = words[end + 1 :]
        if len(words) >= 3:
            yield words[0], [words[1]], words[2:]


def _deb822(text: str) -> Iterable[tuple[str, list[str], list[str]]]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for stanza in "\n".join(lines).split("\n\n"):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                fields.setdefault(name, []).extend(line.split())
            else:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.split()
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"]) != ["no"]:
            for uri in fields.get("uris", []):
                yield uri, fields.get("suites", []), fields.get("components", [])


def mirror(env: Mapping[str, str] | None = None, folder: Path = APT_FOLDER) -> str:
    """The mirror to use: the variable's, else the one of the machine's package sources."""
    chosen = (os.environ if env is None else env).get(MIRROR_VARIABLE)
    if chosen:
        return chosen.rstrip("/")
    files = [
        folder / "sources.list",
        *sorted((folder / "sources.list.d").glob("*.sources")),
        *sorted((folder / "sources.list.d").glob("*.list")),
    ]
    found = find_mirror(file.read_text(errors="replace") for file in files if file.is_file())
    if found is None:
        raise StepFailed(f"No Debian mirror among the package sources in {folder}: give one in {MIRROR_VARIABLE}")
    return found


def debootstrap(rootfs: Path, suite: str, packages: Sequence[str], keep: Sequence[str] = ()) -> None:
    """Fill the folder with Debian's smallest system and the packages, then drop what no container reads."""
    if os.geteuid() != 0:
        raise StepFailed(
            "Only root can build images with debootstrap; "
            "run as root, or use a cluster of your own with CONTEXT and KUBECONFIG"
        )
    log_file = cache_root() / "log" / f"debootstrap-{suite}.log"
    log_file.unlink(missing_ok=True)
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    arguments = [
        "--variant=minbase",
        f"--include={','.join(packages)}",
        *([f"--keyring={keyring}"] if keyring.exists() else []),
    ]
    nice = ["nice", "-n", "5"] if shutil.which("nice") else []
    run_step(
        f"Unpacking Debian {suite} with {', '.join(packages)}",
        [*nice, "debootstrap", *arguments, suite, rootfs, mirror()],
        log_file,
    )
    shrink(rootfs, keep)
    for name, line in (("passwd", NOBODY_LINE), ("group", NOBODY_GROUP_LINE)):
        with (rootfs / "etc" / name).open("a") as handle:
            handle.write(line)


def shrink(rootfs: Path, keep: Sequence[str] = ()) -> None:
    for name in DROPPED:
        if name not in keep:
            shutil.rmtree(rootfs / name, ignore_errors=True)
            (rootfs / name).mkdir(parents=True)
    for file in (rootfs / "usr/share/doc").rglob("*"):
        if file.name != "copyright" and (file.is_file() or file.is_symlink()):
            file.unlink()
    # Written by the installation; differ from run to run and machine to machine.
    for name in ("etc/resolv.conf", "etc/hostname", "etc/machine-id", "var/lib/dbus/machine-id"):
        (rootfs / name).unlink(missing_ok=True)
