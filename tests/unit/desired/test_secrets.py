"""Where the owner of a Secret lets its values go."""

from __future__ import annotations

import pytest

from genset.addresses import server_of
from genset.desired.credentials import KEY, credential_fault
from genset.desired.secrets import UserSecret, is_allowed

CASES = [
    ("api.openai.com", "https://api.openai.com/v1", True),
    ("api.openai.com", "https://API.OpenAI.com./v1", True),
    ("API.openai.com.", "https://api.openai.com/v1", True),
    ("api.openai.com", "https://api.openai.com.evil.example/v1", False),
    ("api.openai.com", "https://evil-api.openai.com/v1", False),
    ("api.openai.com", "https://api.openai.com:8443/v1", True),
    ("api.openai.com:443", "https://api.openai.com/v1", True),
    ("api.openai.com:443", "http://api.openai.com/v1", False),
    ("api.openai.com:443", "https://api.openai.com:8443/v1", False),
    (" a.example ,\tb.example", "https://b.example", True),
    ("a.example b.example", "https://b.example", False),
    ("*.corp.example", "https://hub.corp.example", True),
    ("*.corp.example", "https://a.b.corp.example", True),
    ("*.corp.example:8443", "https://hub.corp.example", False),
    ("*.corp.example", "https://corp.example", False),
    ("*.corp.example", "https://evilcorp.example", False),
    ("*corp.example", "https://evilcorp.example", False),
    ("*.", "https://a.example", False),
    ("*..", "https://a.example", False),
    ("a.*", "https://a.example", False),
    ("*", "https://a.example:1", True),
    ("*:443", "https://a.example", True),
    ("*:443", "http://a.example", False),
    ("", "https://a.example", False),
    (",", "https://a.example", False),
    (":443", "https://a.example", False),
    ("a.example:", "https://a.example", False),
    ("https://a.example", "https://a.example", False),
    ("a.example/v1", "https://a.example/v1", False),
    ("10.0.0.7", "http://10.0.0.7:1234/v1", True),
    ("10.0.0.0/8", "http://10.0.0.7:1234/v1", False),
    ("[fd00::7]", "http://[fd00:0::7]:1234/v1", True),
    ("fd00::7", "http://[FD00::7]:1234/v1", True),
    ("[fd00::7]:1234", "http://[fd00::7]:1234/v1", True),
    ("[fd00::7]:1234", "http://[fd00::7]/v1", False),
    ("[fd00::7]1234", "http://[fd00::7]/v1", False),
]


@pytest.mark.parametrize(("hosts", "url", "allowed"), CASES)
def test_hosts(hosts: str, url: str, allowed: bool) -> None:
    assert is_allowed(hosts, server_of(url)) is allowed
    secret = UserSecret({"k": b"v"}, hosts)
    assert bool(secret.why_not(url, "models", "s")) is not allowed


def test_what_is_not_sent_needs_no_consent() -> None:
    assert UserSecret({"ca.crt": b"v"}).why_not("", "models", "s") == ""


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.openai.com/v1", "api.openai.com"),
        ("http://gateway.corp:8080/v1", "gateway.corp:8080"),
        ("http://[fd00::7]/v1", "[fd00::7]"),
        ("http://[fd00::7]:81/v1", "[fd00::7]:81"),
    ],
)
def test_the_remedy_allows_what_was_refused(url: str, host: str) -> None:
    refusal = UserSecret({}).why_not(url, "models", "openai")
    assert refusal.endswith(f"kubectl annotate secret openai -n models genset.dev/allow-hosts={host}")
    assert UserSecret({}, host).why_not(url, "models", "openai") == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"${OPENAI_API_KEY}", "a placeholder"),
        (b"$(KEY)\n", "a placeholder"),
        (b"{{ .Values.key }}", "a placeholder"),
        (b"<path:secret/data/openai#key>", "a placeholder"),
        (b"<your key>", "a placeholder"),
        (b'"sk-x"\n', "stands in quotes"),
        (b"'sk-x'", "stands in quotes"),
        (b"sk-x\n", ""),
        (b"a${b}", ""),
        (b'"', "stands in quotes"),
    ],
)
def test_what_a_template_has_left_is_no_key(content: bytes, told: str) -> None:
    fault = credential_fault(KEY, content)
    assert told in fault and bool(fault) is bool(told)
