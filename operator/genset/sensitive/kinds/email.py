"""Addresses of electronic mail, of the form that is in use (RFC 5321, 4.1.2, without quoted parts)."""

from __future__ import annotations

from collections.abc import Sequence

from genset.sensitive.kinds.base import ContentKind, Finder

#: Domains that nobody has (RFC 2606): addresses of documentation.
_NOBODYS = (".example", ".invalid", ".test", ".localhost", "@example.com", "@example.org", "@example.net")
#: What ends a file's name and no domain's, and a user of servers for code: pictures for dense screens, packages, clones.
_FILES = (
    ".css",
    ".gif",
    ".gz",
    ".jar",
    ".jpeg",
    ".jpg",
    ".js",
    ".json",
    ".png",
    ".svg",
    ".tgz",
    ".ts",
    ".tsx",
    ".webp",
    ".whl",
    ".xz",
)
_CLONE = "git@"


def _finders(_: Sequence[str]) -> list[Finder]:
    def check(text: str) -> bool:
        lower = text.lower()
        if lower.endswith(_FILES) or lower.startswith(_CLONE):
            return False
        return not lower.endswith(_NOBODYS) and ".." not in lower and not lower.partition("@")[0].endswith(".")

    letters = r"0-9A-Za-z\x80-\xff"  # bytes: those of all scripts, roughly
    form = (
        rf"[{letters}][{letters}._%+'-]{{0,63}}@(?:[{letters}][{letters}-]{{0,62}}\.){{1,4}}[A-Za-z\x80-\xff]{{2,24}}"
    )
    return [Finder(rf"(?:^|[^{letters}])({form})", check)]


KIND = ContentKind("email", "addresses of electronic mail, but for those of documentation (RFC 2606)", _finders)
