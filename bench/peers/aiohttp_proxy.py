"""A reverse proxy on aiohttp and uvloop: what a Python team would write in an afternoon, and write well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.install import distribution_version, python_environment
from bench.peers import Place

PROGRAM = Path(__file__).parent / "programs" / "aiohttp_reverse_proxy.py"


class AiohttpProxy:
    """The program beside this file, in an environment of its own."""

    name = "aiohttp"
    about = "plain reverse proxy, pooled connections, uvloop, no log"

    def _python(self) -> Path:
        return python_environment("aiohttp", ["aiohttp", "uvloop"])

    def install(self) -> None:
        self._python()

    def version(self) -> str:
        return distribution_version(self._python(), "aiohttp")

    def command(self, place: Place) -> list[str]:
        return [str(self._python()), str(PROGRAM), str(place.port), place.upstream_url]

    def environment(self) -> Mapping[str, str]:
        return {}
