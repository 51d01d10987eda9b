"""FamilyHub is a FakeHub with the files of one model family: headers are sent, and sizes are said that no disk here has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.weights.fakes import Content, FakeHub, _Handler


@dataclass(frozen=True)
class HubFile:
    """A file as a hub lists it: its first bytes, and the bytes that it claims to have; 0: no more than those."""

    head: bytes
    claimed: int = 0

    def __len__(self) -> int:
        return max(self.claimed, len(self.head))

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(len(self))
        return self.head[start:stop].ljust(stop - start, b"\0")


class FamilyHub(FakeHub):
    """A hub with one repository, without checksums."""

    def __init__(self, repo: str, files: Mapping[str, HubFile]) -> None:
        super().__init__(repo)
        self.without_checksums = True
        self.branches["main"] = "0" * 40
        self.commits["0" * 40] = dict(files)  # type: ignore[arg-type]

    def _resolve(self, handler: _Handler, commit: str, name: str) -> None:
        data = self.commits[commit].get(name)
        if data is None:
            handler.reply(404, {"X-Error-Code": "EntryNotFound"}, b"Entry not found")
        else:
            handler.send_file(Content(data), {"X-Repo-Commit": commit})
