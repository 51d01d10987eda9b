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
from bench.peers.genset import Genset
from testbed.cluster.store import build_once


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

    def _of_its_own(self) -> Interpreter:
        now = interpreter()
        source = self._source()
        if now.rootfs is None:
            return Interpreter(None, now.version, source)
        # Images are built by the commit's own recipe, which stood in e2e/ before there was a testbed/.
        images = "testbed.images" if (source / "testbed").is_dir() else "e2e.images"
        command = [sys.executable, "-m", images, "build", "genset"]
        environment = {**os.environ, "PYTHONPATH": f"{source / 'operator'}:{source}"}
        done = subprocess.run(command, cwd=source, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return Interpreter(unpacked(Path(done.stdout.split()[-1])), now.version)

    def _source(self) -> Path:
        def build(draft: Path) -> None:
            done = subprocess.run(["git", "archive", self._commit], cwd=ROOT, stdout=subprocess.PIPE, check=True)
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                archive.extractall(draft / "source", filter="data")

        return build_once("bench", "before", self._commit[:12], build) / "source"
