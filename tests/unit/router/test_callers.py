"""Whose address a request is booked on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.http.callers import LOOKED_AT_HOPS, Proxies, peer_of

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"])

CASES: dict[str, tuple[str, bytes | None, str]] = {
    "nothing said": ("10.0.0.1", None, "10.0.0.1"),
    "one hop": ("10.0.0.1", b"203.0.113.7", "203.0.113.7"),
    "a forged beginning": ("10.0.0.1", b"1.2.3.4, 203.0.113.7", "203.0.113.7"),
    "two proxies": ("10.0.0.1", b"203.0.113.7, 192.0.2.1", "203.0.113.7"),
    "a forged trusted beginning": ("10.0.0.1", b"10.9.9.9, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
    "from nobody that is trusted": ("203.0.113.9", b"1.2.3.4", "203.0.113.9"),
    "all are proxies": ("10.0.0.1", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
    "with a port": ("10.0.0.1", b"203.0.113.7:51234", "203.0.113.7"),
    "IPv6": ("fd00::1", b'"[2001:DB8::7]:51234"', "2001:db8::7"),
    "bare IPv6": ("fd00::1", b"2001:db8::7", "2001:db8::7"),
    "IPv4 in IPv6": ("10.0.0.1", b"::ffff:203.0.113.7", "203.0.113.7"),
    "what is no address ends it": ("10.0.0.1", b"203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
    "nothing but that": ("10.0.0.1", b"<script>", "10.0.0.1"),
    "empty": ("10.0.0.1", b"", "10.0.0.1"),
    "commas": ("10.0.0.1", b",,,", "10.0.0.1"),
    "more hops than are looked at": ("10.0.0.1", b"203.0.113.7" + b", 10.0.0.2" * 1000, "10.0.0.2"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_last_address_that_is_no_proxys(case: str) -> None:
    peer, said, client = CASES[case]
    headers = {} if said is None else {b"x-forwarded-for": said}
    assert PROXIES.client(peer, headers) == client


def test_as_many_hops_as_are_looked_at() -> None:
    said = b"203.0.113.7" + b",10.0.0.2" * (LOOKED_AT_HOPS - 1)
    assert PROXIES.client("10.0.0.1", {b"x-forwarded-for": said}) == "203.0.113.7"


@given(st.binary(max_size=300), st.sampled_from(["10.0.0.1", "1.2.3.4", "", "no address"]))
def test_anything_may_be_said(said: bytes, peer: str) -> None:
    client = PROXIES.client(peer, {b"x-forwarded-for": said})
    assert len(client) < 64 and (peer == "10.0.0.1" or client == peer)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("203.0.113.7", 1), "203.0.113.7"),
        (("::ffff:203.0.113.7", 1, 0, 0), "203.0.113.7"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::1"),
        (None, ""),
        ("", ""),
        ((), ""),
    ],
)
def test_peers(name: object, address: str) -> None:
    assert peer_of(name) == address
