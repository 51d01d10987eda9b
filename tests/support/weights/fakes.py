"""FakeOrigin and FakeHub are real HTTP servers on the loopback, in place of a web server and the Hugging Face hub.

They misbehave on demand: a test queues faults, each of which spoils one request for file content, and reads afterwards
what was asked for and how many bytes went over the wire.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from genset.sizing import gguf


@dataclass(frozen=True)
class Fault:
    """A fault spoils one request. `status`: answer with it; `cut_after`: reset the connection after so many body bytes."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    pace: float = 0.0  # seconds between the pieces of a body


@dataclass
class Content:
    """Content is one file of an origin."""

    data: bytes
    etag: str = ""
    ranges: bool = True  # without, the server ignores Range
    sized: bool = True  # without, the body is chunked, so that nobody knows its size
    piece: int = 16 * 1024  # bytes per write


@dataclass
class Asked:
    """Asked is one request as the server saw it. It is noted with its first byte, so that tests need not wait for it."""

    path: str
    headers: Mapping[str, str]
    status: int = 0
    sent: int = 0  # body bytes


class FakeOrigin:
    """A web server with files."""

    def __init__(self, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, Content] = {}
        self.faults: list[Fault] = []
        self.pace = 0.0  # seconds between pieces, for all requests
        self.login: tuple[str, str] | None = None  # header and value that every request needs
        self.redirects: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.connections: set[socket.socket] = set()
        self._server = _server_of(host)((host, 0), _handler(self))
        self._server.daemon_threads = True
        shown = f"[{host}]" if ":" in host else host
        self._base = f"{'https' if tls else 'http'}://{shown}:{self._server.server_address[1]}"
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return self._base

    @property
    def contents_asked(self) -> list[Asked]:
        """Lists the requests for the content of files."""
        return [asked for asked in self.asked if not asked.path.startswith("/api/")]

    @property
    def sent(self) -> int:
        return sum(asked.sent for asked in self.contents_asked)

    def put(self, path: str, data: bytes, **options: object) -> str:
        """Adds a file; returns its URL."""
        self.files[path] = Content(data, **options)  # type: ignore[arg-type]
        if "etag" not in options:
            self.files[path].etag = f'"{hashlib.md5(data).hexdigest()}"'
        return self.url + path

    def close(self) -> None:
        """Ends the server: open connections are cut, new ones refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def answer(self, handler: _Handler, path: str) -> bool:
        """Answers what only a FakeHub knows. Returns True if it has answered."""
        return False


class FakeHub(FakeOrigin):
    """Speaks the hub's API for one repository: /api/models/…/revision, …/tree and /resolve with its headers."""

    def __init__(
        self, repo: str = "org/name", *, network: FakeOrigin | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(tls=tls)
        self.repo = repo
        self.network = network  # content network that /resolve redirects to; None: the hub sends the bytes itself
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.token = ""  # needed for everything when set
        self.gated = False
        self.api_faults: list[Fault] = []
        self.without_lfs: set[str] = set()  # files in plain git
        self.without_checksums = False  # a poor mirror

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Makes a new commit on a branch. Returns its id."""
        names = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, sort_keys=True)
        commit = hashlib.sha1(names.encode()).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def answer(self, handler: _Handler, path: str) -> bool:
        match = re.match(rf"^/(api/models/)?{self.repo}/(revision|tree|resolve)/([^/]+)(?:/(.*))?$", path)
        if not match:
            if path.startswith(("/api/", "/org")):
                handler.reply(404, {"X-Error-Code": "RepoNotFound"}, b'{"error": "Repository not found"}')
                return True
            return False
        if match[1] and self.api_faults:
            fault = self.api_faults.pop(0)
            handler.reply(fault.status, fault.headers, fault.body)
            return True
        if self._refuses(handler):
            return True
        revision = unquote(match[3])
        commit = self.branches.get(revision, revision)
        if commit not in self.commits:
            handler.reply(404, {"X-Error-Code": "RevisionNotFound"}, b'{"error": "Invalid rev id"}')
            return True
        if match[2] == "resolve":
            self._resolve(handler, commit, unquote(match[4] or ""))
        elif match[2] == "revision":
            siblings = [self._file(name, data, "rfilename") for name, data in self.commits[commit].items()]
            self._json(
                handler, {"_id": "1", "id": self.repo, "modelId": self.repo, "sha": commit, "siblings": siblings}
            )
        else:
            self._json(handler, [self._file(name, data, "path") for name, data in self.commits[commit].items()])
        return True

    def _refuses(self, handler: _Handler) -> bool:
        given = handler.headers.get("authorization", "")
        if self.token and given != f"Bearer {self.token}":
            if given:
                handler.reply(401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b"{}")
            elif self.gated:
                handler.reply(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}, b"{}")
            else:
                handler.reply(401, {"X-Error-Code": "RepoNotFound"}, b"{}")
            return True
        if self.gated:
            handler.reply(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "not in the authorized list"}, b"{}")
            return True
        return False

    def _file(self, name: str, data: bytes, key: str) -> dict[str, object]:
        entry: dict[str, object] = {key: name, "size": len(data)}
        if self.without_checksums:
            return entry
        entry["blobId" if key == "rfilename" else "oid"] = git_blob(data)
        if name not in self.without_lfs:
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return entry

    def _resolve(self, handler: _Handler, commit: str, name: str) -> None:
        data = self.commits[commit].get(name)
        if data is None:
            handler.reply(404, {"X-Error-Code": "EntryNotFound"}, b"Entry not found")
            return
        sha256 = hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{sha256}"'}
        if self.network is not None:
            path = f"/blobs/{sha256}"
            if path not in self.network.files:
                self.network.put(path, data)
            location = f"{self.network.url}{path}?X-Amz-Signature=secret"
            handler.reply(302, {**headers, "ETag": f'"{sha256}"', "Location": location}, b"")
            return
        handler.send_file(Content(data, etag=f'"{sha256}"'), headers)

    def _json(self, handler: _Handler, value: object) -> None:
        handler.reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin: FakeOrigin

    asked: Asked

    def setup(self) -> None:
        super().setup()
        self.origin.connections.add(self.connection)

    def finish(self) -> None:
        self.origin.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        origin, path = self.origin, urlsplit(self.path).path
        self.asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
        origin.asked.append(self.asked)
        try:
            if origin.login and self.headers.get(origin.login[0]) != origin.login[1]:
                self.reply(401, {}, b"who are you?")
            elif path in origin.redirects:
                self.reply(302, {"Location": origin.redirects[path]}, b"")
            elif not origin.answer(self, path):
                content = origin.files.get(path)
                if content is None:
                    self.reply(404, {}, b"no such file")
                else:
                    self.send_file(content, {})
        except OSError:
            self.close_connection = True

    def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.asked.status = status
        self.asked.sent += len(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, content: Content, headers: Mapping[str, str]) -> None:
        fault = self.origin.faults.pop(0) if self.origin.faults else Fault()
        if fault.status:
            self.reply(fault.status, fault.headers, fault.body)
            return
        start, total = 0, len(content.data)
        asked = re.match(r"^bytes=(\d+)-(\d*)$", self.headers.get("range", ""))
        if_range = self.headers.get("if-range", content.etag)
        self.asked.status = 200
        end = total
        if asked and content.ranges and if_range == content.etag:
            start = int(asked[1])
            if start >= total:
                self.reply(416, {"Content-Range": f"bytes */{total}"}, b"")
                return
            end = min(total, int(asked[2]) + 1) if asked[2] else total
            self.asked.status = 206
        self.send_response(self.asked.status)
        if self.asked.status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
        if content.etag:
            self.send_header("ETag", content.etag)
        for name, value in headers.items():
            self.send_header(name, value)
        if content.sized:
            self.send_header("Content-Length", str(end - start))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._body(content, start, end, fault)

    def _body(self, content: Content, start: int, end: int, fault: Fault) -> None:
        stop = end if fault.cut_after is None else min(end, start + fault.cut_after)
        for at in range(start, stop, content.piece):
            piece = content.data[at : min(at + content.piece, stop)]
            self.asked.sent += len(piece)
            self.wfile.write(piece if content.sized else b"%x\r\n%b\r\n" % (len(piece), piece))
            time.sleep(fault.pace or self.origin.pace)
        if stop < end or fault.cut_after is not None:
            self.close_connection = True
            # A reset would drop what the client has not read yet; a plain close in the middle of a body is a cut, too.
            self.connection.shutdown(socket.SHUT_RDWR)
        elif not content.sized:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


def _server_of(host: str) -> type[ThreadingHTTPServer]:
    return (
        type("Server", (ThreadingHTTPServer,), {"address_family": socket.AF_INET6})
        if ":" in host
        else ThreadingHTTPServer
    )


def _handler(origin: FakeOrigin) -> type[_Handler]:
    return type("Handler", (_Handler,), {"origin": origin})


_Origin = TypeVar("_Origin", bound=FakeOrigin)


@contextmanager
def serving(origin: _Origin) -> Iterator[_Origin]:
    try:
        yield origin
    finally:
        origin.close()


def git_blob(data: bytes) -> str:
    """Returns Git's name for a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tiny_gguf(
    size: int = 200_000,
    *,
    seed: int = 0,
    metadata: Mapping[str, object] | None = None,
    split: tuple[int, int] | None = None,
) -> bytes:
    """Makes a small valid GGUF of about `size` bytes: one tensor, whose bytes depend on `seed`."""
    values: dict[str, object] = {"general.architecture": "llama", "general.name": f"tiny {seed}", **(metadata or {})}
    if split:
        values |= {"split.no": split[0] - 1, "split.count": split[1], "split.tensors.count": split[1]}
    elements = max(1, size // 4)
    header = gguf.MAGIC + struct.pack("<IQQ", 3, 1, len(values))
    for key, value in values.items():
        header += _string(key)
        if isinstance(value, str):
            header += struct.pack("<I", 8) + _string(value)
        else:
            header += struct.pack("<IH", 2, value)
    header += _string("weight") + struct.pack("<IQIQ", 1, elements, 0, 0)
    header += b"\0" * (-len(header) % 32)
    block = hashlib.sha256(str(seed).encode()).digest()
    return header + (block * (elements * 4 // len(block) + 1))[: elements * 4]


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def safetensors(size: int = 10_000, *, seed: int = 0) -> bytes:
    """Makes a small valid safetensors file: one tensor of about `size` bytes, which depend on `seed`."""
    block = hashlib.sha256(str(seed).encode()).digest()
    data = (block * (size // len(block) + 1))[:size]
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def folder_model(shards: int = 2) -> dict[str, bytes]:
    """Makes the files of a model as repositories hold them for engines that read safetensors."""
    names = [f"model-{number:05d}-of-{shards:05d}.safetensors" for number in range(1, shards + 1)]
    index = {"weight_map": {f"layer.{number}": name for number, name in enumerate(names)}}
    return {
        "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        **{name: safetensors(60_000 + number, seed=number) for number, name in enumerate(names)},
    }
