"""Sources `pvc` and `hostPath` are files where someone put them; every downloaded file gets its last look here, too.

Nothing is hashed here, because nobody promised a checksum; a file that is cut off is still noticed, since a GGUF
header says where the last tensor begins.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from genset.api.modeldeployment import Reason
from genset.contracts.puller import CheckSpec, Role
from genset.contracts.shards import Shard, shard_names
from genset.sizing import gguf
from genset.weights.failure import WeightsFailure
from genset.weights.model_folder import check_folder

_SHOWN = 10  # names in a message


def check(path: Path) -> gguf.GgufHeader:
    """Checks that the file is there, can be read, and is a whole GGUF model with all its shards.

    Returns the header of the first file.
    """
    header = check_file(path, str(path))
    if header.split_number != 1:
        raise WeightsFailure(
            Reason.NOT_GGUF,
            f"{path} is file {header.split_number} of a model split into {header.split_count}; name the first one",
        )
    for number, shard in enumerate(_shards(path, header.split_count)[1:], 2):
        check_shard(check_file(shard, str(shard)), str(shard), number, header.split_count)
    return header


def check_part(spec: CheckSpec) -> gguf.GgufHeader | None:
    """Checks what a spec names: a GGUF file with all its shards, whose header is returned, or a folder."""
    path = Path(spec.path)
    if spec.image and not (path.exists() and (path.is_file() or any(path.iterdir()))):
        raise WeightsFailure(
            Reason.SOURCE_NOT_FOUND,
            f"{spec.image} has no {path.name} where it is mounted{_beside(path if path.is_dir() else path.parent)}; correct "
            "source.oci.path, or use source.oci.mount Pull if it is an artifact: nodes mount those empty",
        )
    if spec.whole_folder:
        check_folder(path, spec.path, spec.role)
        return None
    header = check(path)
    check_role(path, spec.path, spec.role)
    return header


def check_file(path: Path, shown: str) -> gguf.GgufHeader:
    """Checks one file. `shown` is its name in messages."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise WeightsFailure(Reason.SOURCE_NOT_FOUND, f"{shown} is a folder; name the file{_beside(path)}")
        if not stat.S_ISREG(status.st_mode):
            raise WeightsFailure(Reason.SOURCE_NOT_FOUND, f"{shown} is not a regular file")
        with path.open("rb") as stream:
            header = gguf.read_header(stream)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsFailure(Reason.SOURCE_NOT_FOUND, f"{shown} does not exist{_beside(path.parent)}") from error
    except PermissionError as error:
        raise WeightsFailure(
            Reason.SOURCE_UNAUTHORIZED,
            f"{shown} can't be read by user {os.getuid()}: {error.strerror}; let everybody read the file and enter its "
            "folders (chmod o+r, o+x), or set a fitting fsGroup with spec.podTemplate",
        ) from error
    except OSError as error:
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE, f"{shown}: {error.strerror or error}; check the volume", permanent=False
        ) from error
    except gguf.GgufError as error:
        raise WeightsFailure(Reason.NOT_GGUF, f"{shown}: {error}") from error
    if status.st_size < header.minimum_file_size:
        raise WeightsFailure(
            Reason.NOT_GGUF,
            f"{shown} is cut off: it has {status.st_size} bytes, and its header speaks of more than "
            f"{header.minimum_file_size}; copy it again",
        )
    return header


def check_role(path: Path, shown: str, role: str) -> None:
    """Checks that a GGUF file says of itself that it is a projector, or an adapter, if one is wanted (llama.cpp, gguf-py,
    constants.py: general.architecture clip, general.type adapter)."""
    if role == Role.MODEL:
        return
    with path.open("rb") as stream:
        header = gguf.read_header(stream)
    kind = str(header.metadata.get("general.type") or header.architecture or "a part of a model")
    if role == Role.PROJECTOR and header.architecture != "clip":
        raise WeightsFailure(
            Reason.NOT_A_MODEL, f"{shown} is no projector: it says that it is {kind}; name the model's mmproj file"
        )
    if role == Role.ADAPTER and header.metadata.get("general.type") != "adapter":
        raise WeightsFailure(
            Reason.NOT_A_MODEL,
            f"{shown} is no adapter: it says that it is {kind}; convert one with llama.cpp's convert_lora_to_gguf.py",
        )


def check_shard(header: gguf.GgufHeader, shown: str, number: int, count: int) -> None:
    """Checks that the header says the place that the file's name says: llama.cpp goes by the header and then by the
    name."""
    if (header.split_number, header.split_count) != (number, count):
        found = (
            f"file {header.split_number} of {header.split_count}" if header.split_count > 1 else "a model in one file"
        )
        wanted = f"file {number} of {count}" if count > 1 else "a model in one file"
        raise WeightsFailure(
            Reason.NOT_GGUF,
            f"{shown} says that it is {found}, where {wanted} belongs; fetch a split model with a huggingFace "
            "source that names its first file, put it on a pvc, or join it with llama-gguf-split --merge",
        )


def _shards(path: Path, count: int) -> list[Path]:
    """Returns the files of a split model, by llama.cpp's naming."""
    if count == 1:
        return [path]
    first = Shard.of(path.name)
    if (first.number, first.count) != (1, count):
        raise WeightsFailure(
            Reason.NOT_GGUF,
            f"{path} is the first of {count} files of a split model; engines find the others only if it is called "
            f"{shard_names('NAME', count)[0]}: rename the files",
        )
    return [path.with_name(name) for name in shard_names(first.stem, count)]


def _beside(folder: Path) -> str:
    """Says what is there instead, for messages."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return ""
    if not names:
        return f"; {folder} is empty"
    models = [name for name in names if name.lower().endswith(".gguf")] or names
    more = ", …" if len(models) > _SHOWN else ""
    return f"; {folder} has: {', '.join(models[:_SHOWN])}{more}"
