"""Images go from a bundle to a node's containerd by its command `ctr`, as one stream of an OCI layout with nothing else in it.

They get the names that pods have for them, with tag and with digest, so that a kubelet finds them and asks nobody.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from genset.bundle import archive, layout, verify
from genset.bundle.errors import BundleError
from genset.bundle.verify import Opened
from genset.contracts.bundle import Blob
from genset.weights.progress import ProgressLog

NAMESPACE = "k8s.io"  # that of kubelets
_WORDS = 2_000


def load(opened: Opened, address: str, namespace: str, progress: ProgressLog) -> list[str]:
    """Imports all images. Returns their names. Raises BundleError."""
    program = shutil.which("ctr")
    if program is None:
        raise BundleError("ctr is not on this machine: it comes with containerd, whose command it is")
    # Of an index whose other platforms are not here, ctr looks for those too, unless it is told which there are.
    platforms = [flag for one in opened.table.platforms if one != "all" for flag in ("--platform", one)]
    command = [
        program,
        "--address",
        address,
        "--connect-timeout",
        "10s",
        "-n",
        namespace,
        "images",
        "import",
        *platforms,
        "-",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        words: list[bytes] = []
        reader = threading.Thread(
            target=lambda: words.append(process.stdout.read() if process.stdout else b""), daemon=True
        )
        reader.start()
        assert process.stdin is not None
        broken = False
        try:
            _write(opened, process.stdin, progress)
        except BrokenPipeError:
            broken = True
        with suppress(BrokenPipeError):
            process.stdin.close()
        status = process.wait()
        reader.join()
    if status or broken:
        told = b"".join(words).decode(errors="replace").strip()[-_WORDS:]
        raise BundleError(f"containerd at {address} did not take the images: {told or f'ctr ended with {status}'}")
    return [name for image in opened.table.images for name in layout.image_names(image)]


def _write(opened: Opened, out: IO[bytes], progress: ProgressLog) -> None:
    entries = [
        layout.descriptor(image.root, **{layout.CONTAINERD: name, layout.REFERENCE: name})
        for image in opened.table.images
        for name in layout.image_names(image)
    ]
    index = layout.written({"schemaVersion": 2, "mediaType": layout.INDEX_TYPE, "manifests": entries})
    roots: list[Blob] = [image.root for image in opened.table.images]
    digests = sorted(verify.walk(opened.members, roots, opened.read), key=lambda one: opened.members[one].start)
    sent = 0
    for name, size, pieces in _files(opened, digests, index):
        out.write(archive.header(name, size))
        for piece in pieces:
            out.write(piece)
            sent += len(piece)
            progress.update(received=sent, file="images")
        out.write(bytes(-size % archive.BLOCK))
    out.write(bytes(2 * archive.BLOCK))
    out.flush()


def _files(opened: Opened, digests: list[str], index: bytes) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    yield archive.LAYOUT, len(archive.LAYOUT_CONTENT), iter((archive.LAYOUT_CONTENT,))
    yield archive.INDEX, len(index), iter((index,))
    with opened.path.open("rb") as stream:
        for digest in digests:
            member = opened.members[digest]
            yield member.name, member.size, archive.content(stream, member)
