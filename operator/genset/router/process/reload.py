"""Configurations are loaded from a folder (a ConfigMap volume) or elsewhere, and checked as a whole before use.

A change is found by a few `stat` calls every 0.2 s: the kubelet swaps a symlink, editors replace files, and no inotify
watch survives both. SIGHUP makes the router look at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import ValidationError

from genset import __version__, names
from genset.addresses import ServerName
from genset.contracts import drill
from genset.contracts.config_files import beside, stand_in, unpacked
from genset.contracts.router_config import RouterConfig, config_hash
from genset.off_limits import NETWORKS, OffLimits
from genset.router.backends.credentials import Credentials
from genset.router.continuation import OFF, RULES
from genset.router.errors import ConfigRejected
from genset.router.process.advice import describe
from genset.router.process.own_address import IN_CLUSTER, is_own
from genset.router.providers import PROVIDERS

POLL_SECONDS = 0.2  # between two looks for a change
_UNKNOWN: Final = f"this router, version {__version__}, does not know it; a newer operator needs routers of its release"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A loaded configuration comes with the credentials that belong to it."""

    config: RouterConfig
    hash: str
    credentials: Credentials


class ConfigSource(Protocol):
    """A source is where configurations come from."""

    def fingerprint(self) -> object:
        """Returns a value that changes when something may have changed. It must be cheap."""

    def load(self) -> LoadedConfig:
        """Returns the current configuration. Raises ConfigRejected if there is none that can be served."""

    def drill(self) -> bytes | None:
        """Returns the drill that is ordered; None if there is none. It must be cheap."""


class FolderSource:
    """This source reads `router.json` in one folder, with the file that stands in for it if it is large, and credential files
    in another; both folders are mounted whole."""

    def __init__(self, config_dir: Path, credentials_dir: Path | None) -> None:
        self._file = config_dir / names.ROUTER_CONFIG_FILE
        self._beside = config_dir / stand_in(names.ROUTER_CONFIG_FILE)
        self._drill = config_dir / drill.FILE
        self._credentials_dir = credentials_dir

    def fingerprint(self) -> object:
        return stamp(self._file), stamp(self._beside), folder_stamp(self._credentials_dir)

    def load(self) -> LoadedConfig:
        text = self._text()
        try:
            config = RouterConfig.from_json(text, providers=PROVIDERS, continuations=(*RULES, OFF))
        except ValidationError as problem:
            told = describe(problem, RouterConfig, _parsed(text), unknown=_UNKNOWN)
            raise ConfigRejected(f"{self._file}: {told}") from problem
        credentials = Credentials.from_folder(self._credentials_dir).at_site(config.site_ca_file)
        return LoadedConfig(config, config_hash(config.canonical_json()), credentials)

    def drill(self) -> bytes | None:
        try:
            return self._drill.read_bytes() or None
        except OSError:
            return None

    def _text(self) -> bytes:
        """Reads the configuration. The kubelet replaces a folder's files by a link to them, which is followed once."""
        try:
            file = self._file.resolve()
            text = file.read_bytes()
            if not (name := beside(text)):
                return text
            file = file.with_name(name)
            return unpacked(file.read_bytes())
        except OSError as problem:
            raise ConfigRejected(f"{self._file}: {problem.strerror}; write the configuration there") from problem
        except ValueError as problem:
            raise ConfigRejected(f"{file}: {problem}") from problem


def _parsed(text: bytes) -> Any:
    """Returns the document, which gives objects their names in messages; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Returns what identifies a file's content, symlinks followed; None if the file is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a fifth of pathlib's time, five times a second
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def folder_stamp(folder: Path | None) -> object:
    """Returns what identifies all files of a folder; None if the folder is not there."""
    if folder is None:
        return None
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, stamp(Path(entry.path))) for entry in entries if not entry.name.startswith(".."))
    except OSError:
        return None


def check(config: RouterConfig, listen: tuple[str, int], port: int, environment: Mapping[str, str]) -> None:
    """Checks what the types cannot: no backend may be this router itself, or every request to it would come back.

    `listen` is where the router listens or is going to, `port` the port that it has got, 0 if none yet. Raises
    ConfigRejected.
    """
    for backend in config.backends:
        if backend.url is None or backend.url.proxy_url is not None:
            continue
        if is_own(backend.url.base_url, listen, port, config.policy, environment):
            at = ServerName(listen[0], port or listen[1]).shown(with_port=True)
            raise ConfigRejected(
                f"backends.{backend.name}: {backend.url.base_url} is this router itself (it listens on {at}), so every "
                "request would come back; name the server that is meant, or let one of them listen elsewhere"
            )


def is_in_pod(by_operator: bool, environment: Mapping[str, str]) -> bool:
    """Returns whether an operator's files are served in a cluster. `by_operator`: they are in its form."""
    return by_operator and IN_CLUSTER in environment


def off_limits(config: RouterConfig, by_operator: bool, environment: Mapping[str, str]) -> OffLimits | None:
    """Returns the networks in which no server at a URL may be; None: it may be anywhere, as on a laptop.

    `by_operator`: its files are served, behind which stand resources of a cluster's users. Absent from a configuration, because
    routers of every release know these by themselves; it names only what an administrator adds.
    """
    api_server = environment.get(IN_CLUSTER, "")
    if not is_in_pod(by_operator, environment):
        return OffLimits(config.forbidden_networks) if config.forbidden_networks else None
    return OffLimits((*NETWORKS, *(config.forbidden_networks or ())), (api_server,))
