"""A reverse proxy on aiohttp and uvloop: what a Python team would write in an afternoon, and write well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.interpreter import found_version, interpreter
from bench.peers import Place

DISTRIBUTIONS = ("aiohttp", "uvloop")


class AiohttpProxy:
    """The program in bench/peers/programs, on the same interpreter as genset."""

    name = "aiohttp"
    about = "plain reverse proxy, pooled connections, uvloop, no log"

    def install(self) -> None:
        interpreter().program(self.name, DISTRIBUTIONS, Path("/"), [])

    def version(self) -> str:
        return found_version("aiohttp", self.name, DISTRIBUTIONS)

    def command(self, place: Place) -> list[str]:
        python = interpreter()
        arguments = [f"{python.programs()}/aiohttp_reverse_proxy.py", str(place.port), place.upstream_url]
        return python.program(self.name, DISTRIBUTIONS, place.folder, arguments)

    def environment(self) -> Mapping[str, str]:
        return interpreter().environment()

    def headers(self, place: Place) -> Mapping[str, str]:
        return {}
