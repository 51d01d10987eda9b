"""Puts the deltas of one answer into blocks that follow one another, for formats in which only one block is open at a time.

OpenAI's deltas may bring thinking, text and pieces of several tool calls in any order; the clients of other formats take
pieces for the block that was opened last, so that the pieces of a second call have to wait until the first is whole
(https://github.com/praxis-proxy/praxis/issues/266 and https://github.com/sgl-project/sglang/issues/39782 show what happens
otherwise). Nothing is lost, and nothing waits without need. Pure.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, final

from genset.router.dialects.call_seals import FIELD, seal_in
from genset.router.dialects.openai.chunks import Chunks
from genset.router.dialects.openai.events import index_of
from genset.router.dialects.openai.unrolled import unrolled
from genset.router.dialects.tolerant import dumps, loads

# What a block holds.
TEXT: Final = "text"
THINKING: Final = "thinking"
CALL: Final = "call"  # of a function
REFUSAL: Final = "refusal"
ENCRYPTED: Final = "encrypted"  # thinking that only its own provider can read

# What happens to a block.
OPEN: Final = "open"
MORE: Final = "more"
CLOSE: Final = "close"

_FINAL_BYTE: Final = "}"


@final
class Block:
    """A block is one part of an answer. `pieces` are all of its text so far, of a call its arguments.

    `identity` and `name` are those of a call, `seal` is Gemini's on it. `signature` is the provider's seal on thinking.
    `logprobs` are the log probabilities of a text, token by token.
    """

    __slots__ = (
        "_unsent",
        "identity",
        "kind",
        "logprobs",
        "name",
        "opened",
        "pieces",
        "seal",
        "sent_logprobs",
        "signature",
    )

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.identity = ""
        self.name = ""
        self.seal = ""
        self.signature = ""
        self.pieces: list[str] = []
        self.logprobs: list[Any] = []
        self.opened = False
        self.sent_logprobs = 0
        self._unsent: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self._unsent.append(text)

    def take(self) -> str:
        """Returns the text that nobody has taken so far."""
        unsent, self._unsent = self._unsent, []
        return unsent[0] if len(unsent) == 1 else "".join(unsent)

    def take_logprobs(self) -> list[Any]:
        """Returns the log probabilities that nobody has taken so far."""
        new = self.logprobs[self.sent_logprobs :]
        self.sent_logprobs = len(self.logprobs)
        return new

    @property
    def may_open(self) -> bool:
        """Returns whether what stands at its beginning is known."""
        return self.kind != CALL or bool(self.name)

    @property
    def may_close(self) -> bool:
        """Returns whether another block may follow: a call is whole once its arguments are JSON, as far as one can tell."""
        if self.kind != CALL:
            return True
        if not self.pieces or not self.pieces[-1].rstrip().endswith(_FINAL_BYTE):
            return False
        try:
            return isinstance(loads(self.text.encode("utf-8", "surrogatepass")), dict)
        except ValueError:
            return False


class BlockChange(NamedTuple):
    """A block change is what happens to a block next. `text`: what is new of it, of MORE."""

    what: str
    block: Block
    text: str = ""


@final
class Blocks:
    """Blocks are those of the first choice of one answer, chunk by chunk.

    `model` is the first name that the upstream gave, `finish` the last finish_reason, `usage` the last usage, and `stop` the
    sequence that ended the answer, if the server names it (vLLM). `calls` counts the tool calls, `opened` all blocks.
    """

    __slots__ = ("_by_index", "_last", "_waiting", "calls", "finish", "model", "opened", "stop", "usage")

    def __init__(self) -> None:
        self._waiting: list[Block] = []  # the first of them is open, or will be next
        self._by_index: dict[int, Block] = {}
        self._last: Block | None = None  # the call that came last
        self.model = ""
        self.finish = ""
        self.stop: str | None = None
        self.usage: dict[str, Any] = {}
        self.calls = 0
        self.opened = 0

    def add(self, chunk: dict[str, Any]) -> list[BlockChange]:
        """Takes one chunk, and returns what happens to the blocks by it."""
        model, usage = chunk.get("model"), chunk.get("usage")
        if not self.model and isinstance(model, str):
            self.model = model
        if isinstance(usage, dict):
            self.usage = usage
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and not index_of(choice):
                self._choice(choice)
        return self._changes(last=False)

    def resume(self, kind: str | None) -> Block | None:
        """What was added so far went to the client in another way. Returns the block of this kind that is open there."""
        before = self._waiting[0] if self._waiting else None
        self._waiting.clear()
        if kind is None:
            return None
        block = before if before is not None and before.kind == kind else Block(kind)
        block.opened = True
        block.take()
        self._waiting.append(block)
        return block

    def end(self) -> list[BlockChange]:
        """The answer is complete: returns what happens to the blocks that are not closed."""
        return self._changes(last=True)

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if delta is None:
            delta = choice.get("message")
        if isinstance(delta, str):
            delta = {"content": delta}
        if isinstance(delta, dict) and delta:
            self._delta(delta, choice.get("logprobs"))
        finish, stop = choice.get("finish_reason"), choice.get("stop_reason")
        if isinstance(finish, str) and finish:
            self.finish = finish
            self.stop = stop if isinstance(stop, str) else None

    def _delta(self, delta: dict[str, Any], logprobs: Any) -> None:
        self._think(delta)
        self._content(delta.get("content"), logprobs)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._block(REFUSAL).add(refusal)
        calls = delta.get("tool_calls")
        for entry in calls if isinstance(calls, list) else [calls]:
            if isinstance(entry, dict):
                self._call(entry)
        function = delta.get("function_call")
        if isinstance(function, dict):  # the older form, of which there is one at most
            self._call({"index": 0, "function": function})

    def _block(self, kind: str) -> Block:
        """Returns the block that more of this kind belongs to."""
        waiting = self._waiting
        if waiting and waiting[-1].kind == kind and kind != CALL:
            return waiting[-1]
        block = Block(kind)
        waiting.append(block)
        return block

    def _content(self, content: Any, logprobs: Any) -> None:
        if isinstance(content, str):
            if content:
                block = self._block(TEXT)
                block.add(content)
                said = logprobs.get("content") if isinstance(logprobs, dict) else None
                if isinstance(said, list):
                    block.logprobs += said
        elif isinstance(content, list):  # in parts (Mistral)
            for part in content:
                self._part(part)

    def _part(self, part: Any) -> None:
        if isinstance(part, str):
            self._content(part, None)
        elif isinstance(part, dict):
            thinking = part.get("thinking")
            if isinstance(thinking, list):
                for inner in thinking:
                    self._thought(inner.get("text") if isinstance(inner, dict) else inner)
            elif isinstance(thinking, str):
                self._thought(thinking)
            else:
                self._content(part.get("text"), None)

    # Thinking

    def _think(self, delta: dict[str, Any]) -> None:
        details = delta.get("reasoning_details")
        told = False
        if isinstance(details, list):
            told = any(isinstance(entry, dict) and (entry.get("text") or entry.get("summary")) for entry in details)
        if not told:  # servers that say it twice say the same
            text = delta.get("reasoning_content")
            self._thought(text if isinstance(text, str) and text else delta.get("reasoning"))
        for entry in details if isinstance(details, list) else ():
            if isinstance(entry, dict):
                self._detail(entry)

    def _thought(self, text: Any) -> None:
        if isinstance(text, str) and text:
            self._block(THINKING).add(text)

    def _detail(self, entry: dict[str, Any]) -> None:
        data, signature = entry.get("data"), entry.get("signature")
        if entry.get("type") == "reasoning.encrypted":
            if isinstance(data, str) and data:
                self._waiting.append(block := Block(ENCRYPTED))
                block.add(data)
            return
        self._thought(entry.get("text") or entry.get("summary"))
        if isinstance(signature, str) and signature:
            block = self._block(THINKING)
            block.signature = signature
            self._waiting.append(Block(THINKING))  # what follows is sealed by itself, if anything does

    # Tool calls

    def _call(self, entry: dict[str, Any]) -> None:
        block = self._call_of(entry)
        identity, function = entry.get("id"), entry.get("function")
        if isinstance(identity, str) and identity and not block.identity:
            block.identity = identity
        if FIELD in entry:
            block.seal = block.seal or seal_in(entry)
        if not isinstance(function, dict):
            return
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str) and name and not block.opened and block.name != name:
            block.name += name
        if isinstance(arguments, dict):
            block.add(dumps(arguments).decode())
        elif isinstance(arguments, str) and arguments:
            block.add(arguments)

    def _call_of(self, entry: dict[str, Any]) -> Block:
        """Returns the call that a piece belongs to, by its index; by its id, if it has none or every call has the same."""
        identity = entry.get("id")
        index = index_of(entry)
        known: Block | None = None
        if entry.get("index") is not None and index is not None:
            known = self._by_index.get(index)
        elif not identity or (self._last is not None and self._last.identity == identity):
            known = self._last
        if known is not None and identity and known.identity and known.identity != identity:
            known = None
        if known is None:
            known = self._block(CALL)
            self.calls += 1
            if index is not None:
                self._by_index[index] = known
        self._last = known
        return known

    # In their order

    def _changes(self, *, last: bool) -> list[BlockChange]:
        changes: list[BlockChange] = []
        waiting = self._waiting
        while waiting:
            block = waiting[0]
            if block.kind == THINKING and not block.pieces and not block.signature:
                if len(waiting) == 1 and not last:
                    break
                del waiting[0]
                continue
            if not block.opened:
                if not (block.may_open or last):
                    break
                block.opened = True
                self.opened += 1
                changes.append(BlockChange(OPEN, block))
            text = block.take()
            if text:
                changes.append(BlockChange(MORE, block, text))
            if not last and (len(waiting) == 1 or not block.may_close):
                break
            del waiting[0]
            changes.append(BlockChange(CLOSE, block))
        return changes


def blocks_of(body: bytes) -> tuple[Blocks, list[Block]]:
    """Returns what a whole answer says, as if it had been streamed. Raises ValueError if it is none."""
    blocks, chunks = Blocks(), Chunks()
    found = []
    for chunk in chunks.feed(unrolled(body, chat=True)):
        found += [change.block for change in blocks.add(chunk) if change.what == CLOSE]
    found += [change.block for change in blocks.end() if change.what == CLOSE]
    return blocks, found
