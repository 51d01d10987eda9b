"""The DNS question that the cluster's start asks."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from testbed.cluster.addons import dns_query

QUESTION = b"\x04pods\x02ns\x03svc\0" + struct.pack("!HH", 1, 1)


@contextmanager
def server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """A server that answers one question; gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)

        def serve() -> None:
            query, client = listener.recvfrom(512)
            listener.sendto(answer(query), client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def reply(query: bytes, *records: bytes) -> bytes:
    return query[:2] + struct.pack("!5H", 0x8400, 1, len(records), 0, 0) + QUESTION + b"".join(records)


def record(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + struct.pack("!HHIH", kind, 1, 1, len(data)) + data


def test_addresses_are_read_past_other_records_and_uncompressed_names() -> None:
    alias = record(5, b"\x01b\x02ns\0")
    first = record(1, bytes([10, 244, 0, 7]))
    second = record(1, bytes([10, 244, 0, 9]), name=b"\x01b\x02ns\0")
    with server(lambda query: reply(query, alias, first, second)) as port:
        assert dns_query("pods.ns.svc", "127.0.0.1", port, 5) == ["10.244.0.7", "10.244.0.9"]


def test_a_name_without_addresses_has_none() -> None:
    with server(reply) as port:
        assert dns_query("pods.ns.svc.", "127.0.0.1", port, 5) == []


def test_an_answer_to_another_question_is_no_answer() -> None:
    with server(lambda query: reply(b"\0\0" + query[2:])) as port, pytest.raises(OSError, match="another question"):
        dns_query("pods.ns.svc", "127.0.0.1", port, 5, identifier=7)


def test_silence_is_an_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            dns_query("pods.ns.svc", "127.0.0.1", silent.getsockname()[1], 0.1)
