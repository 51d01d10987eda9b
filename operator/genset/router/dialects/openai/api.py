"""Names the paths of OpenAI's API that take a model, and others that are like them."""

from __future__ import annotations

from typing import ClassVar, Final, final


@final
class Api:
    """An Api is one of the paths that take a model.

    `task`: what a backend has to be there for. `path`: what stands behind the version segment. `asked`: method and path, as the
    access log shows them. `streams`: whether its answers can be streams; `chat`: whether they are messages. `operation`:
    OpenTelemetry's gen_ai.operation.name. `whole`: the `object` of an answer in one piece, and `part`: the list that such an
    answer holds. `passes`: an answer goes on as it is, because it is sound, pictures, subtitles or numbers of an engine; `form`:
    a request is a form with a file. `of_engines`: only engines have the path, beside the version segment.
    """

    CHAT: ClassVar[Api]
    COMPLETIONS: ClassVar[Api]
    EMBEDDINGS: ClassVar[Api]
    RERANK: ClassVar[Api]
    SCORE: ClassVar[Api]
    MODERATIONS: ClassVar[Api]
    TRANSCRIPTIONS: ClassVar[Api]
    TRANSLATIONS: ClassVar[Api]
    SPEECH: ClassVar[Api]
    IMAGES: ClassVar[Api]
    IMAGE_EDITS: ClassVar[Api]
    TOKENIZE: ClassVar[Api]
    DETOKENIZE: ClassVar[Api]
    COUNT: ClassVar[Api]

    def __init__(
        self,
        path: str,
        operation: str,
        whole: str,
        *,
        part: str = "choices",
        streams: bool = True,
        chat: bool = False,
        task: str = "Chat",
        passes: bool = False,
        form: bool = False,
        of_engines: bool = False,
    ) -> None:
        self.task = task
        self.path = path
        self.asked = f"POST /v1{path}"
        self.operation = operation
        self.whole = whole
        self.part = part
        self.streams = streams
        self.chat = chat
        self.passes = passes
        self.form = form
        self.of_engines = of_engines

    def __repr__(self) -> str:
        return f"Api({self.path})"


Api.CHAT = Api("/chat/completions", "chat", "chat.completion", chat=True)

Api.COMPLETIONS = Api("/completions", "text_completion", "text_completion")

Api.EMBEDDINGS = Api("/embeddings", "embeddings", "list", part="data", streams=False, task="Embeddings")

#: Not OpenAI's, but Cohere's and Jina's, which llama-server and vLLM have beside it.
Api.RERANK = Api("/rerank", "rerank", "list", part="results", streams=False, task="Rerank")

#: vLLM's, of the same models.
Api.SCORE = Api("/score", "score", "list", part="data", streams=False, task="Rerank")

Api.MODERATIONS = Api("/moderations", "moderation", "list", part="results", streams=False)

Api.TRANSCRIPTIONS = Api("/audio/transcriptions", "transcription", "", streams=False, passes=True, form=True)

Api.TRANSLATIONS = Api("/audio/translations", "translation", "", streams=False, passes=True, form=True)

Api.SPEECH = Api("/audio/speech", "speech", "", streams=False, passes=True)

Api.IMAGES = Api("/images/generations", "image_generation", "", streams=False, passes=True)

Api.IMAGE_EDITS = Api("/images/edits", "image_edit", "", streams=False, passes=True, form=True)

#: vLLM's, and llama-server's under the same name, with other fields.
Api.TOKENIZE = Api("/tokenize", "tokenize", "", streams=False, passes=True, of_engines=True)

Api.DETOKENIZE = Api("/detokenize", "detokenize", "", streams=False, passes=True, of_engines=True)

#: The same path of engines, for clients of other APIs who want nothing but a number.
Api.COUNT = Api("/tokenize", "count_tokens", "", streams=False, passes=True, of_engines=True)

_PASSED: Final = (
    Api.TRANSCRIPTIONS,
    Api.TRANSLATIONS,
    Api.SPEECH,
    Api.IMAGES,
    Api.IMAGE_EDITS,
    Api.TOKENIZE,
    Api.DETOKENIZE,
)
_APIS: Final = (Api.CHAT, Api.COMPLETIONS, Api.EMBEDDINGS, Api.RERANK, Api.SCORE, Api.MODERATIONS)
PATHS: Final[dict[bytes, Api]] = {
    **{b"/v1" + api.path.encode(): api for api in (*_APIS, *_PASSED)},
    b"/rerank": Api.RERANK,  # as clients of Cohere and Jina ask
    b"/v2/rerank": Api.RERANK,
    b"/tokenize": Api.TOKENIZE,
    b"/detokenize": Api.DETOKENIZE,
}

_LEAST: Final = {api.task: api for api in (Api.EMBEDDINGS, Api.RERANK)}


def api_for(task: str | None) -> Api:
    """Returns the path that proves a backend for this task; None: it may be asked for anything, a chat proves it."""
    return Api.CHAT if task is None else _LEAST.get(task, Api.CHAT)
