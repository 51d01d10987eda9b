"""This module chooses the cluster to work on: one named by its kubeconfig context, or else the embedded one.

A context must be asked for by name: a KUBECONFIG that happens to be set in somebody's shell does not mean that they
wish to test on that cluster.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from testbed.cluster.console import Refused
from testbed.cluster.pki import CONTEXT
from testbed.images import GENSET, LLAMA_CPP

log = logging.getLogger(__name__)

CONTEXT_VARIABLES = ("GENSET_CONTEXT", "CONTEXT")
GENSET_IMAGE_VARIABLE = "GENSET_IMAGE"
LLAMA_CPP_IMAGE_VARIABLE = "LLAMACPP_IMAGE"
# Our image is in no registry that a cluster could pull from, so users have to name theirs; llama.cpp's are public: its
# docs/docker.md gives the tags, and this one is the operator's default.
PUBLIC_LLAMA_CPP = "ghcr.io/ggml-org/llama.cpp:server-b10488"


@dataclass(frozen=True)
class Choice:
    """A choice is the cluster to use. The kubeconfig of an embedded one is where `Cluster().up()` will put it."""

    kubeconfig: Path
    context: str
    embedded: bool
    genset_image: str
    llama_cpp_image: str


def resolve(env: Mapping[str, str] | None = None, *, images: bool = True) -> Choice:
    """Returns what the user chose by environment variables; starts nothing.

    Raises `Refused` for a context that no kubeconfig knows, and for one without an image to install, unless no `images`
    are needed.
    """
    variables = os.environ if env is None else env
    context = next((variables[name] for name in CONTEXT_VARIABLES if variables.get(name)), "")
    if context:
        return _given(context, variables, images)
    if variables.get("KUBECONFIG"):
        log.info(
            "KUBECONFIG is set but CONTEXT is not: the embedded cluster is used; CONTEXT=name chooses one of %s",
            variables["KUBECONFIG"],
        )
    return _embedded()


def _embedded() -> Choice:
    from testbed.cluster.cluster import Cluster

    cluster = Cluster()
    return Choice(cluster.kubeconfig, cluster.context, True, GENSET, LLAMA_CPP)


def _given(context: str, env: Mapping[str, str], images: bool) -> Choice:
    files = kubeconfig_files(env)
    known = contexts(files)
    if context not in known:
        where = os.pathsep.join(str(file) for file in files)
        names = ", ".join(sorted(known)) or "none at all"
        raise Refused(
            f"There is no context {context!r} in {where}; known are: {names}. "
            "Set KUBECONFIG, or leave CONTEXT out for the embedded cluster"
        )
    image = env.get(GENSET_IMAGE_VARIABLE, "")
    if context == CONTEXT:  # the embedded cluster, which somebody started before
        return Choice(known[context], context, False, image or GENSET, env.get(LLAMA_CPP_IMAGE_VARIABLE) or LLAMA_CPP)
    if images and not image:
        raise Refused(
            f"Context {context} was chosen, and its nodes cannot have an image that is built here: "
            f"push it to a registry that they pull from and name it in {GENSET_IMAGE_VARIABLE}"
        )
    return Choice(known[context], context, False, image, env.get(LLAMA_CPP_IMAGE_VARIABLE) or PUBLIC_LLAMA_CPP)


def kubeconfig_files(env: Mapping[str, str]) -> list[Path]:
    """Lists kubeconfig files as kubectl finds them: every path of KUBECONFIG, else ~/.kube/config."""
    given = [Path(part) for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
    return given or [Path(env.get("HOME", "/")) / ".kube" / "config"]


def contexts(files: Sequence[Path]) -> dict[str, Path]:
    """Maps names of contexts to the first file that has each; missing files are ignored."""
    found: dict[str, Path] = {}
    for file in files:
        try:
            content = yaml.safe_load(file.read_text())
        except FileNotFoundError:
            continue
        except (OSError, yaml.YAMLError) as error:
            raise Refused(f"{file} cannot be read as a kubeconfig: {error}") from error
        entries = content.get("contexts") or [] if isinstance(content, dict) else []
        for entry in entries:
            found.setdefault(str(entry["name"]), file)
    return found
