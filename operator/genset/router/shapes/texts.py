"""The texts of a request that a shape looks at, bounded: of a long one the beginning and the end. Pure."""

from __future__ import annotations

import re
from typing import Any, Final, final

MOST_CHARACTERS: Final = 8192  # that are looked at of each end of a text
MOST_PARTS: Final = 256  # parts of a message that are looked at from each end
#: What programs put into the user's message beside what the user says.
_NOTES: Final = ("system-reminder", "environment_details")
_FENCE: Final = "```"
#: A question mark that ends a sentence, and not one inside a URL; several are one.
_QUESTION: Final = re.compile(r"\?+(?=[\s\"'»”)\]*_]|\Z)|[？؟]+")
_CODE_ENDS: Final = ("{", "}", ";", "};", "});", ");", "->", "=>", "):", "*/")
_CODE_BEGINS: Final = (
    "def ", "class ", "import ", "from ", "return ", "if (", "for (", "while (", "elif ", "else:", "const ", "let ", "var ",
    "fn ", "func ", "function ", "#include", "public ", "private ", "static ", "package ", "use ", "select ", "insert into ",
    "update ", "create table ", "async ", "await ", "try:", "except ", "print(", "console.", "<?", "</", "@", "//", "/*", "$ ",
    ">>> ", "Traceback (", 'File "', "at ", "--- ", "+++ ", "@@ ", "#!/",
)  # fmt: skip
_LONGEST_NAME: Final = 60  # before an assignment
_MARKS: Final = ("()", "==", "!=", "&&", "||", "->", "=>", "::", "+=", "</", "/>", "[]", "{}", "();", "};")
#: Beginnings that are words, too: such a line is code only with a mark in it.
_WORDS_TOO: Final = (
    "class ", "import ", "from ", "return ", "let ", "public ", "private ", "use ", "select ", "update ", "at ", "static ",
    "package ", "--- ", "@", "function ", "$ ", "else:", "async ", "insert into ",
)  # fmt: skip


def text_of(content: Any) -> str:
    """Returns the text of a message's content: of a long one the beginning and the end, with an empty line between."""
    if type(content) is str:
        return _ends(content)
    if type(content) is not list:
        return ""
    parts = (
        content if len(content) <= 2 * MOST_PARTS else [*content[:MOST_PARTS], *content[len(content) - MOST_PARTS :]]
    )
    texts: list[str] = []
    for part in parts:
        text = part.get("text") if type(part) is dict else part
        if type(text) is str:
            texts.append(_ends(text))
    return _ends("\n".join(texts))


def _ends(text: str) -> str:
    size = len(text)
    return text if size <= 2 * MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}\n\n{text[size - MOST_CHARACTERS :]}"


def said_in(content: Any, earlier: Any) -> str:
    """Returns what the user says in a message, without what programs add; of one of nothing else what was said before."""
    text = _without_notes(text_of(content))
    return text if text.strip() or earlier is None else _without_notes(text_of(earlier))


def _without_notes(text: str) -> str:
    for tag in _NOTES:
        opening, closing = f"<{tag}>", f"</{tag}>"
        begin = text.find(opening)
        while begin >= 0:
            end = text.find(closing, begin)
            if end < 0:
                break
            text = text[:begin] + text[end + len(closing) :]
            begin = text.find(opening, begin)
    return text


def questions_in(text: str) -> int:
    """Counts the questions of a text."""
    return len(_QUESTION.findall(text)) if "?" in text or "？" in text or "؟" in text else 0


def words_in(contents: list[Any]) -> int:
    """Counts the words of texts; of a long one in proportion to what is looked at."""
    words = 0
    for content in contents:
        text = text_of(content)
        found = len(text.split())
        if type(content) is str and len(content) > len(text):
            found = found * len(content) // len(text)
        words += found
    return words


@final
class Prose:
    """The prose of a text is what of it is no source code: neither in a fence of three backticks nor in lines that look like it.
    `code_percent` is how much of its characters is code, `fenced` whether there is a fence.
    """

    __slots__ = ("code_percent", "fenced", "text")

    def __init__(self, text: str) -> None:
        prose: list[str] = []
        code = size = 0
        inside = self.fenced = False
        for line in text.split("\n"):
            bare = line.strip()
            size += len(bare)
            if bare.startswith(_FENCE):
                self.fenced = True
                inside = not inside and not (len(bare) > 6 and bare.endswith(_FENCE))
                code += len(bare)
            elif inside or _is_code(bare):
                code += len(bare)
            else:
                prose.append(line)
        self.text = "\n".join(prose)
        self.code_percent = 100 * code // size if size else 0


def _is_code(line: str) -> bool:
    if not line:
        return False
    if line.endswith(_CODE_ENDS):
        return len(line) < 4 or "(" in line or "=" in line or "{" in line or line[0] == "}" or _is_marked(line)
    if line.startswith(_CODE_BEGINS) and (not line.startswith(_WORDS_TOO) or _is_marked(line)):
        return True
    return 0 < line.find(" = ") < _LONGEST_NAME and "=" in line.split(None, 3)[1:3]


def _is_marked(line: str) -> bool:
    for mark in _MARKS:  # noqa: SIM110 (compiled, a loop costs less)
        if mark in line:
            return True
    return False
