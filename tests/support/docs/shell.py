"""The commands that pages show, one by one, as words: what tests need of a shell, which is little."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Container, Iterator
from dataclasses import dataclass

from tools.pages import Page

_HEREDOC = re.compile(r"<<-?'?(\w+)'?(.*?)\n.*?^\s*\1$", re.MULTILINE | re.DOTALL)
_SUBSTITUTION = re.compile(r"\$\(((?:[^()]|\([^()]*\))*)\)")
_TYPED = re.compile(r"^\$ ", re.MULTILINE)
_ENDS = set("|&;()\n")  # characters of what ends a command
_REDIRECTIONS = {">", ">>", "<", ">&"}
SUBSTITUTED = "SUBSTITUTED"  # stands where a command's output would


class _KeepsEnds(io.StringIO):
    """Lines without their ends: shlex skips a comment as a line, whose end is ours to see."""

    def readline(self, size: int | None = -1, /) -> str:
        line = super().readline(-1 if size is None else size)
        if line.endswith("\n"):
            self.seek(self.tell() - 1)
        return line


@dataclass(frozen=True)
class Command:
    """A command that a page shows; `whole` is false for one in the midst of prose, which may leave out what it is not about."""

    where: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.where} {' '.join(self.words)}"


def commands(page: Page, programs: Container[str]) -> Iterator[Command]:
    """Yields the commands of a page. In prose, and in blocks of no language, only those of these programs are ones."""
    for block in page.blocks:
        shell, console = block.language in ("sh", "console"), _TYPED.search(block.text) is not None
        if shell or (block.language in ("", "text") and (console or _is_command(block.text, programs))):
            for words in split("\n".join(_typed(block.text)) if console else block.text):
                yield Command(str(block), tuple(words), whole=True)
    for line, code in page.codes:
        if _is_command(code, programs):
            for words in split(code):
                yield Command(f"{page.path}:{line}", tuple(words), whole=False)


def _is_command(text: str, programs: Container[str]) -> bool:
    """Whether a text begins like a command: with a program and one more word."""
    program, *words = text.split(maxsplit=2) or [""]
    return program in programs and bool(words) and words[0][0].isalnum() | (words[0][0] == "-")


def _typed(text: str) -> Iterator[str]:
    """Yields what somebody types at a console, without the answers."""
    open_ = ""
    for line in text.splitlines():
        if not open_ and not line.startswith("$ "):
            continue
        open_ = f"{open_}\n{line}" if open_ else line[2:]
        if not line.endswith("\\") and _whole(open_):
            yield open_
            open_ = ""
    if open_:
        raise ValueError(f"a command does not end: {open_}")


def _whole(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def split(text: str) -> Iterator[list[str]]:
    """Yields simple commands as words, also those in `$(...)`. Raises ValueError if a quote is left open."""
    text = _HEREDOC.sub(lambda found: found[2], text).replace("\\\n", " ")
    for inner in _SUBSTITUTION.findall(text):
        yield from split(inner)
    text = _SUBSTITUTION.sub(SUBSTITUTED, text)
    lexer = shlex.shlex(_KeepsEnds(text), posix=True, punctuation_chars=";()<>|&\n")
    lexer.whitespace_split = True
    lexer.whitespace = " \t\r"
    words: list[str] = []
    skip = False
    for word in [*lexer, ";"]:
        if skip:
            skip = False
        elif word in _REDIRECTIONS:
            skip = True
        elif set(word) <= _ENDS:
            while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0], re.DOTALL):
                del words[0]  # a variable for this command alone
            if words:
                yield words
            words = []
        else:
            words.append(word)
