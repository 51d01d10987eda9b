"""The blocks of all sources share whether they are downloaded, what forms of weights they can give, and which Secrets
they name."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from genset.api.base import LATER, ApiModel, SecretKeyRef, secret_refs

ONE_MODEL = "*.gguf"  # the default pattern: the one model that is there
#: A pattern over names of files. Commas part patterns on the puller's command line.
Glob = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^,\x00-\x1f\x7f]+$", examples=["*.safetensors"])]
FILE = (
    "It must match one model. For a split model name the first shard with the number of shards, e.g. "
    "*Q8_0-00001-of-00003.gguf; the others follow. Only for engines that read a GGUF file."
)
INCLUDE = (
    "Globs of the files to fetch, for engines that read a whole folder. Default: weights as safetensors, configuration and "
    "tokenizer."
)
EXCLUDE = "Globs of files to leave out of those."


class SourceBlock(ApiModel):
    """A block is one source of a ModelDeployment's `spec.source`."""

    downloads: ClassVar[bool]  # the puller can fetch it; if not, it is read where it lies
    downloads_if: ClassVar[str] = ""  # CEL over the block at S, if one that can be fetched may be read in place, too
    folders: ClassVar[bool] = False  # it can give the folder of a model, and not only a GGUF file

    @property
    def downloaded(self) -> bool:
        """Returns whether the puller fetches this one."""
        return self.downloads

    def secret_refs(self) -> list[tuple[str, SecretKeyRef]]:
        """Returns (field, reference) of every Secret that the block names."""
        return secret_refs(self)


class DownloadBlock(SourceBlock):
    """This is a block of a source that the puller downloads from, over HTTP."""

    downloads: ClassVar[bool] = True

    allow_plain_http: bool = Field(
        default=False,
        alias="allowPlainHTTP",
        description="Send credentials to a server with http://, where everybody on the way can read them.",
        json_schema_extra=LATER,
    )
