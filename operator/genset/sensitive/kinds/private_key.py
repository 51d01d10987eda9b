"""Keys of programs: private keys in PEM (RFC 7468), and tokens whose makers gave them a form of their own."""

from __future__ import annotations

from collections.abc import Sequence

from genset.sensitive.kinds.base import ContentKind, Finder, alone

_PEM = r"(-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----)"
#: AWS access keys, GitHub, GitLab, Slack, and the keys of model providers, by their makers' documentation.
_TOKENS = (
    r"(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{82}|glpat-[0-9A-Za-z_-]{20}|"
    r"xox[abprs]-[0-9A-Za-z-]{10,72}|sk-ant-[0-9A-Za-z_-]{20,120}|sk-proj-[0-9A-Za-z_-]{20,180}"
)


def _finders(_: Sequence[str]) -> list[Finder]:
    return [Finder(_PEM), Finder(alone(_TOKENS))]


KIND = ContentKind(
    "privateKey", "private keys in PEM, and tokens of AWS, GitHub, GitLab, Slack, Anthropic and OpenAI", _finders
)
