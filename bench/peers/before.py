"""genset's own router as it was at another commit: a peer like any other, so that before and after share one run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import click

from bench.install import ROOT
from bench.interpreter import Interpreter, interpreter, unpacked
from bench.peers import Place
from bench.peers.genset import Genset
from genset.contracts.router_config import RouterConfig
from testbed.cluster.store import build_once

# Its own bench knows its own fields: a router refuses a field that came after it.
_CONFIGURATION = """
import sys
from pathlib import Path

from bench.peers import Place
from bench.peers.genset import config

made = config(Place(Path(sys.argv[1]), *map(int, sys.argv[2:])))
print(made.canonical_json() if hasattr(made, "canonical_json") else made.model_dump_json(exclude_defaults=True))
"""


class Before(Genset):
    """`revision` is whatever git understands; it is looked up once."""

    name = "genset-before"

    def __init__(self, revision: str) -> None:
        done = subprocess.run(["git", "rev-parse", "--verify", f"{revision}^{{commit}}"], cwd=ROOT, capture_output=True)
        if done.returncode:
            raise click.BadParameter(f"--before {revision}: git knows no such commit here")
        self._commit = done.stdout.decode().strip()
        self._python: Interpreter | None = None
        self.about = f"the same at commit {self._commit[:7]}"

    def version(self) -> str:
        return self._commit[:7]

    def python(self) -> Interpreter:
        if self._python is None:
            self._python = self._of_its_own()
        return self._python

    def configuration(self, place: Place, content: RouterConfig | None) -> str:
        """As its own commit writes it. Raises ValueError for `content`, which is of today."""
        if content is not None:
            raise ValueError(f"{self.name} runs with its own configuration only")
        ports = map(str, (place.port, place.spare_port, place.upstream_port))
        return self._run("-c", _CONFIGURATION, str(place.folder), *ports)

    def _run(self, *arguments: str) -> str:
        """What this Python prints with the commit's source."""
        source = self._source()
        environment = {**os.environ, "PYTHONPATH": f"{source / 'operator'}:{source}"}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=source, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    def _of_its_own(self) -> Interpreter:
        now = interpreter()
        source = self._source()
        if now.rootfs is None:
            return Interpreter(None, now.version, source)
        # Images are built by the commit's own recipe, which stood in e2e/ before there was a testbed/.
        images = "testbed.images" if (source / "testbed").is_dir() else "e2e.images"
        printed = self._run("-m", images, "build", "genset")
        return Interpreter(unpacked(Path(printed.split()[-1])), now.version)

    def _source(self) -> Path:
        def build(draft: Path) -> None:
            done = subprocess.run(["git", "archive", self._commit], cwd=ROOT, stdout=subprocess.PIPE, check=True)
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                archive.extractall(draft / "source", filter="data")

        return build_once("bench", "before", self._commit[:12], build) / "source"
