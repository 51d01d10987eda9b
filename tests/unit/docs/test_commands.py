"""Commands that pages show are ones that genset, make and Python take: each verb, option, value, target and module exists."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

import click
import pytest

from genset.cli import main
from tests.support.docs.shell import Command, commands, split
from tools.pages import ROOT, Page, pages

# Programs that pages may name; whatever else begins a line of a shell block is a typing error, or a word for this list.
OTHERS = {
    "az", "cat", "claude", "cosign", "curl", "docker", "echo", "export", "grep", "helm", "jq", "kubectl", "openssl", "printf",
    "pip", "sha256sum",
}  # fmt: skip
OURS = {"genset", "make", "python", "python3"}
# Stands for a word of the reader's own: NAMESPACE, REQUEST-ID, owner/NAME, `…`
PLACEHOLDER = re.compile(r".*[A-Z][A-Z-]{2,}.*|.*(?:…|\.\.\.).*|.*SUBSTITUTED.*|VERB")
# What happened, not what to type: verbs of earlier releases may be named there
PAST = ("docs/status.md", "docs/adr/", "docs/reference/command-line.md")
TARGETS = set(re.findall(r"^([a-z0-9-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
COMMANDS = [
    command
    for page in pages()
    if not page.path.startswith(PAST)
    for command in commands(page, OTHERS | OURS)
    if command.words
]


def wrong(command: Command) -> Iterator[str]:
    """Yields what the program would say of a command, or what a reader could not do with it."""
    program, *words = command.words
    if program == "genset":
        yield from wrong_of_genset(words, command.whole)
    elif program == "make":
        yield from (f"make has no verb {word}" for word in words if "=" not in word and word not in {*TARGETS, "-n"})
    elif program.startswith("python") and words[:1] == ["-m"]:
        if importlib.util.find_spec(words[1]) is None:
            yield f"there is no module {words[1]}"
    elif program == "pip":
        yield from (
            f"{word} is in no registry" for word in words if "genset" in word and not word.startswith((".", "/"))
        )
    elif command.whole and program not in OTHERS | OURS:
        yield f"{program} is no program that pages name"


def wrong_of_genset(words: list[str], whole: bool) -> Iterator[str]:
    command: click.Command = main
    context = click.Context(main, info_name="genset")
    words = [word for word in words if word != "…"]
    while isinstance(command, click.Group):
        given, rest, _ = command.make_parser(context).parse_args(args=list(words))
        if not rest:
            if whole and not given:
                yield f"{context.command_path} is no whole command"
            return
        found = command.get_command(context, rest[0])
        if found is None:
            if not PLACEHOLDER.fullmatch(rest[0]):
                yield f"{context.command_path} has no verb {rest[0]}"
            return
        command, words = found, rest[1:]
        context = click.Context(command, info_name=rest[0], parent=context, help_option_names=["-h", "--help"])
    try:
        yield from _wrong_of_verb(command, context, words, whole)
    except click.UsageError as problem:
        if whole or "requires an argument" not in problem.message:
            yield f"{context.command_path}: {problem.format_message()}"


def _wrong_of_verb(command: click.Command, context: click.Context, words: list[str], whole: bool) -> Iterator[str]:
    given, rest, _ = command.make_parser(context).parse_args(args=list(words))
    if given.get("help"):
        return
    if rest:
        yield f"{context.command_path} takes no {' '.join(rest)}"
    for parameter in command.get_params(context):
        value = given.get(parameter.name or "")
        if not isinstance(value, str | tuple | list):
            if whole and parameter.required and not isinstance(value, bool):
                yield f"{context.command_path} needs {parameter.human_readable_name}"
            continue
        words = [value] if isinstance(value, str) else list(value)
        if not _names_file(parameter.type) and not any(PLACEHOLDER.fullmatch(str(word)) for word in words):
            parameter.process_value(context, value)


def _names_file(kind: Any) -> bool:
    """A file is the reader's own: what it is called there says nothing."""
    return isinstance(kind, click.Path | click.File)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_command(command: Command) -> None:
    assert list(wrong(command)) == [], "whoever copies it reads this"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("genset coverag -n models", "genset has no verb coverag"),
        ("genset ledger verifi", "genset ledger has no verb verifi"),
        ("genset ledger", "genset ledger is no whole command"),
        ("genset status --fast", "No such option '--fast'"),
        ("genset status -o xlsx", "'xlsx' is not one of"),
        ("genset logs one two three four", "takes no"),
        ("genset coverage", "needs"),
        ("genset usage --by weather", "weather"),
        ("pip install genset[otel]", "genset[otel] is in no registry"),
        ("genset status -n", "requires an argument"),
        ("make tets", "make has no verb tets"),
        ("python -m benhc", "there is no module benhc"),
        ("kubctl get pods", "kubctl is no program"),
        ("cd x && genset statsu | less", "genset has no verb statsu"),
        ("A=1 genset statsu", "genset has no verb statsu"),
        ('x="$(genset statsu)"', "genset has no verb statsu"),
    ],
)
def test_a_command_that_fails_is_found(text: str, said: str) -> None:
    found = [told for words in split(text) for told in wrong(Command("here", tuple(words), whole=True))]
    assert any(said in told for told in found), found


@pytest.mark.parametrize(
    ("text", "programs"),
    [
        ("```sh\na b  # it's c\nd 'x\ny' && e|f > g\n```", ["a", "d", "e", "f"]),
        ("```console\n$ a \\\n    b\nanswer c\n$ d 'x\n$ y'\nanswer\n```", ["a", "d"]),
        ("```sh\na - <<'E'\nb c\nE\nd\n```", ["a", "d"]),
        ("```text\n$ a\nb\n```", ["a"]),
        ("```text\ngenset x\nb\n```", ["genset", "b"]),
        ("```text\nwhatever\n```", []),
        ("Run `genset x` or `other y`, not `genset`", ["genset"]),
    ],
)
def test_which_commands_a_page_shows(text: str, programs: list[str]) -> None:
    assert [command.words[0] for command in commands(Page("a.md", text), OURS)] == programs
