"""Addresses that no router dials for a host that a resource names, in whatever spelling they come."""

from __future__ import annotations

import pytest

from genset.off_limits import NETWORKS, OffLimits, is_loopback

REFUSED = [
    "127.0.0.1", "127.77.1.4", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1",
    "0.0.0.0", "0", "localhost", "LOCALHOST.", "ip6-loopback", "app.localhost", "[::1]", "::1", "::", "0:0:0:0:0:0:0:1",
    "169.254.169.254", "169.254.0.1", "0xa9fea9fe", "2852039166", "fe80::1", "fe80::1%eth0", "[fe80::1]", "fec0::1",
    "224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "fd00:ec2::254", "fd20:ce::254", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "127.0.0.1.",
]  # fmt: skip
ALLOWED = [
    "10.0.0.7", "192.168.1.1", "172.16.0.1", "8.8.8.8", "100.64.0.1", "168.63.129.17", "fd00::7", "2001:db8::1",
    "::ffff:10.0.0.7", "64:ff9b::808:808", "2002:808:808::1", "api.openai.com", "localhost.example", "notlocalhost",
    "house.models.svc", "127.0.0.1.example", "0x7g000001", "1.2.3.4.5", "256.0.0.1", "99999999999", "",
]  # fmt: skip


@pytest.mark.parametrize("host", REFUSED)
def test_refused(host: str) -> None:
    assert OffLimits().names(host)


@pytest.mark.parametrize("host", ALLOWED)
def test_allowed(host: str) -> None:
    assert not OffLimits().names(host)


def test_an_administrator_adds_networks() -> None:
    more = OffLimits((*NETWORKS, "10.96.0.1/32", "2001:db8::/64"))
    assert more.holds("10.96.0.1") and more.holds("::ffff:10.96.0.1") and more.holds("2001:db8::5")
    assert more.holds("127.0.0.1") and not more.holds("10.96.0.2")


def test_the_api_server_by_name_or_address() -> None:
    own = OffLimits(hosts=("10.96.0.1", "fd00:10::1", "Cluster-1.corp.example."))
    assert own.names("cluster-1.corp.example") and own.names("10.96.0.1") and own.names("[fd00:10:0::1]")
    assert not own.names("cluster-2.corp.example") and not own.names("10.96.0.2")


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False)]
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own
