"""Records what real engines answer, with and without a stream: `python -m e2e.record_answers [llama.cpp] [vLLM]`.

The recordings are test data: tests/unit/router/test_recorded_answers.py rebuilds each whole answer from its stream, and the cut
tests cut the stream as it came over the wire (tests/data/streams) at every byte. Two kinds of servers run, on the loopback:
with the counting model's own template, and with one that thinks. Needs nothing of the cluster; takes seconds once the image
and the model are in the cache. vLLM (on CPU, see e2e/vllm) takes a minute, and more the first time.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from e2e.cloud import free_port
from e2e.vllm import engines
from testbed.cluster.processes import Daemons
from testbed.images import host_llama_server
from testbed.models import counting

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
FOLDER = DATA / "answers"
WIRES = DATA / "streams"
WIRE_WORDS = 16

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
QUESTION = [{"role": "user", "content": "count"}]
SAID = [*QUESTION, {"role": "assistant", "content": " 0000 0001"}]
SCHEMA = {"type": "json_schema", "json_schema": {"schema": {"const": {"größe": "🏠", "n": [1, 2]}}}}

# name: (path, request)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"messages": QUESTION, "max_tokens": 6}),
    "chat-stop-word": (CHAT, {"messages": QUESTION, "stop": [" 0004"]}),
    "chat-stop-inside-a-token": (CHAT, {"messages": QUESTION, "stop": ["3 0004"]}),
    "chat-ends-by-itself": (CHAT, {"messages": [{"role": "user", "content": "count"}], "max_tokens": 1001}),
    "chat-empty": (CHAT, {"messages": QUESTION, "stop": [" 0000"]}),
    "chat-one-token": (CHAT, {"messages": QUESTION, "max_tokens": 1}),
    "chat-logprobs": (CHAT, {"messages": QUESTION, "max_tokens": 3, "logprobs": True, "top_logprobs": 2}),
    "chat-probabilities": (CHAT, {"messages": QUESTION, "max_tokens": 2, "n_probs": 2, "post_sampling_probs": True}),
    "chat-two-choices": (CHAT, {"messages": QUESTION, "max_tokens": 4, "n": 2}),
    "chat-timings-and-progress": (
        CHAT,
        {"messages": QUESTION, "max_tokens": 3, "timings_per_token": True, "return_progress": True},
    ),
    "chat-schema": (CHAT, {"messages": QUESTION, "max_tokens": 60, "response_format": SCHEMA}),
    "completion": (COMPLETIONS, {"prompt": "hi", "max_tokens": 6}),
    "completion-stop-word": (COMPLETIONS, {"prompt": "hi", "stop": " 0003"}),
    "completion-logprobs": (COMPLETIONS, {"prompt": "hi", "max_tokens": 3, "logprobs": 2}),
    "completion-two-choices": (COMPLETIONS, {"prompt": "hi", "max_tokens": 3, "n": 2}),
    "completion-tokens": (COMPLETIONS, {"prompt": [104, 105], "max_tokens": 3}),
    # Differ, so that they are not rebuilt:
    "differs-logprobs-and-stop": (
        CHAT,
        {"messages": QUESTION, "stop": ["3 0004"], "logprobs": True, "top_logprobs": 1},
    ),
    "differs-completion-logprobs-and-stop": (COMPLETIONS, {"prompt": "hi", "stop": " 0003", "logprobs": 1}),
    "differs-partial-answer": (CHAT, {"messages": SAID, "max_tokens": 4}),
}
THINKING_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "thinking": (CHAT, {"messages": QUESTION, "max_tokens": 12, "reasoning_budget_tokens": 4}),
    "thinking-only": (CHAT, {"messages": QUESTION, "max_tokens": 3}),
}
#: temperature 0 allows one choice only; the others are alike with a seed.
VLLM_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"messages": QUESTION, "max_tokens": 6}),
    "chat-stop-word": (CHAT, {"messages": QUESTION, "stop": [" 0004"]}),
    "chat-stop-inside-a-token": (CHAT, {"messages": QUESTION, "stop": ["3 0004"]}),
    "chat-one-token": (CHAT, {"messages": QUESTION, "max_tokens": 1}),
    "chat-logprobs": (CHAT, {"messages": QUESTION, "max_tokens": 3, "logprobs": True, "top_logprobs": 2}),
    "chat-logprobs-and-stop": (CHAT, {"messages": QUESTION, "stop": ["3 0004"], "logprobs": True, "top_logprobs": 1}),
    "chat-two-choices": (CHAT, {"messages": QUESTION, "max_tokens": 4, "n": 2, "temperature": 0.01, "seed": 7}),
    "completion": (COMPLETIONS, {"prompt": "hi", "max_tokens": 6}),
    "completion-stop-word": (COMPLETIONS, {"prompt": "hi", "stop": " 0003"}),
    "completion-logprobs": (COMPLETIONS, {"prompt": "hi", "max_tokens": 3, "logprobs": 2}),
    "completion-two-choices": (COMPLETIONS, {"prompt": "hi", "max_tokens": 3, "n": 2, "temperature": 0.01, "seed": 7}),
    "completion-tokens": (COMPLETIONS, {"prompt": [104, 105], "max_tokens": 3}),
    "echo": (COMPLETIONS, {"prompt": "hi", "max_tokens": 3, "echo": True, "logprobs": 1}),
    "prompt-logprobs": (CHAT, {"messages": QUESTION, "max_tokens": 2, "prompt_logprobs": 0}),
    "token-ids": (CHAT, {"messages": QUESTION, "max_tokens": 2, "return_token_ids": True}),
}
THINKING_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.reasoning_content %}{{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{%- endif %}"
    "{{- (message.content or '') + '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{%- endif %}"
)


def record(http: httpx.Client, engine: str, name: str, path: str, request: dict[str, Any]) -> None:
    """Asks once to warm the prompt's cache, so that both answers count the same cached tokens, then for both forms."""
    body = {"model": "counting", "temperature": 0, **request}
    http.post(path, json=body).raise_for_status()
    whole = http.post(path, json=body).raise_for_status().json()
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    stream = http.post(path, json=streamed).raise_for_status().text
    recording = {"path": path, "request": body, "whole": whole, "stream": stream.removesuffix("\n\n").split("\n\n")}
    text = json.dumps(recording, ensure_ascii=False, indent=1)
    (FOLDER / f"{engine}-{name}.json").write_text(text + "\n")


def record_wire(address: tuple[str, int], engine: str, **fields: Any) -> None:
    """The bytes of one response of 16 words: head, chunks and all."""
    body: dict[str, Any] = {"model": "counting", "temperature": 0, "messages": QUESTION, "stream": True, **fields}
    data = json.dumps({**body, "stream_options": {"include_usage": True}}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data)
        got = b""
        while more := connection.recv(65536):
            got += more
    (WIRES / f"{engine}-counting.http").write_bytes(got)


def serve(cases: dict[str, tuple[str, dict[str, Any]]], *more: str, words: int = counting.DEFAULT_WORDS) -> None:
    port = free_port("127.0.0.1")
    command = [
        *host_llama_server(), "-m", str(counting.cached(words)), "--alias", "counting", "--host", "127.0.0.1",
        "--port", str(port), "-c", "16384", "-np", "4", "-t", "1", "-tb", "1", "--fit", "off", "--cache-ram", "0",
        "--threads-http", "8", "--offline", *more,
    ]  # fmt: skip
    headers = {"connection": "close"}  # llama-server closes kept connections when it likes
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=60
            ) as http:
                wait(http, server)
                for name, (path, request) in cases.items():
                    record(http, "llama.cpp", name, path, request)
                if words == WIRE_WORDS:
                    record_wire(("127.0.0.1", port), "llama.cpp")
        finally:
            server.terminate()


def wait(http: httpx.Client, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if http.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("llama-server did not get ready")


def record_vllm() -> None:
    with tempfile.TemporaryDirectory() as folder, engines.vllm(Daemons(Path(folder))).running() as engine:
        with httpx.Client(base_url=engine.base_url, trust_env=False, timeout=60) as http:
            for name, (path, request) in VLLM_CASES.items():
                record(http, "vLLM", name, path, {"model": engines.MODEL, **request})
        record_wire((engines.ADDRESS, engine.port), "vLLM", model=engines.MODEL, stop=[" 0016"])


def record_llama_cpp() -> None:
    ends = {name: case for name, case in CASES.items() if name == "chat-ends-by-itself"}
    serve({name: case for name, case in CASES.items() if name not in ends})
    serve(ends, words=WIRE_WORDS)
    with tempfile.NamedTemporaryFile("w", suffix=".jinja") as template:
        template.write(THINKING_TEMPLATE)
        template.flush()
        serve(THINKING_CASES, "--chat-template-file", template.name)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    WIRES.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or ["llama.cpp", "vLLM"]
    if "llama.cpp" in wanted:
        record_llama_cpp()
    if "vLLM" in wanted:
        record_vllm()


if __name__ == "__main__":
    main()
