"""Which sites a request may have passed, what the next one is told, and which addresses are the router itself."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.backend_config import BackendConfig
from genset.contracts.router_config import RouterConfig
from genset.router.backends.credentials import Credentials
from genset.router.backends.outcomes import Mark, Next, Outcome
from genset.router.backends.target import Target
from genset.router.errors import ConfigRejected
from genset.router.http.request import deadline_line, patience
from genset.router.machine.classify import classify
from genset.router.process.reload import check
from genset.router.providers import PROVIDERS
from genset.router.routing.hops import MOST_BYTES, header_for, new_site, refusal, site_of
from testbed.router import cloud, config, pods
from testbed.router_config import made
from tests.unit.router.test_standalone import EXTERNAL, POLICY, SECRET, load

OWN = b"0a1b2c3d4e5f"
SITES = st.lists(st.from_regex(r"[0-9a-z]{1,32}", fullmatch=True).map(str.encode), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (None, ""),
        (b"a", ""),
        (b"a,b", ""),
        (b"a, b ,\tc", ""),
        (b"a,b,c,d", "router_loop"),
        (b"a,b,c,d,e,f,g", "router_loop"),
        (OWN, "router_loop"),
        (b"a," + OWN, "router_loop"),
        (OWN + b" ,b", "router_loop"),
        (b"", "caller_bad_request"),
        (b",", "caller_bad_request"),
        (b"a,,b", "caller_bad_request"),
        (b"a b", "caller_bad_request"),
        (b"a;b", "caller_bad_request"),
        (b"a\x00", "caller_bad_request"),
        (b"\xff", "caller_bad_request"),
        (b"a" * 33, "caller_bad_request"),
        (b"a," * 200_000 + b"a", "caller_bad_request"),
        (b" " * 60_000 + b"a", "caller_bad_request"),
    ],
)
def test_which_requests_end(given: bytes | None, word: str) -> None:
    refused = refusal(given, OWN)
    assert (refused.kind.word if refused else "") == word
    if refused is not None and word == "router_loop":
        assert refused.status == 508 and refused.kind.code == "router_loop"
        assert refused.message.endswith(" > " + OWN.decode()), "the way is not named"


@given(sites=SITES)
def test_what_is_sent_on_can_be_read_and_ends_a_loop(sites: list[bytes]) -> None:
    came: bytes | None = None
    passed: list[bytes] = []
    for site in [*sites, *sites]:  # round and round
        refused = refusal(came, site)
        if refused is not None:
            assert refused.kind.word == "router_loop"
            assert site in passed or len(passed) == 4
            break
        line = header_for(came, site)
        assert line.startswith(b"x-genset-hops: ") and line.endswith(b"\r\n")
        came = line[15:-2]
        passed.append(site)
        assert len(came) <= MOST_BYTES
    else:
        pytest.fail("the request went round and round")


def test_sites_are_told_apart() -> None:
    assert site_of("7d1c") == site_of("7d1c") != site_of("7d1d")
    assert "7d1c" not in site_of("7d1c")
    assert new_site() != new_site()
    assert refusal(new_site(), OWN) is None


def test_another_sites_loop_is_no_fault_of_its() -> None:
    body = b'{"error":{"message":"its way: a > b > a","type":"router_loop","code":"router_loop"}}'
    found = classify(508, {}, body, "m", wall=0.0, may_wait=0.0)
    assert found.outcome is Outcome.LOOP
    assert (found.row.mark, found.row.next, found.row.kind.word) == (Mark.NONE, Next.YES, "router_loop")
    other = classify(508, {}, b"Loop Detected", "m", wall=0.0, may_wait=0.0)
    assert other.outcome is Outcome.SERVER_ERROR


def test_messages_tell_of_a_loop_in_the_head_alone() -> None:
    body = b'{"error":{"message":"its way: a > b > a","type":"api_error","code":"api_error"}}'
    head = {b"x-genset-error": b"router_loop"}
    assert classify(500, head, body, "m", wall=0.0, may_wait=0.0).outcome is Outcome.LOOP
    assert classify(500, {}, body, "m", wall=0.0, may_wait=0.0).outcome is Outcome.SERVER_ERROR
    assert classify(400, head, body, "m", wall=0.0, may_wait=0.0).outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    ("provider", "url", "told"),
    [
        ("openAICompatible", "https://far.example.org/v1", True),
        ("openai", "https://far.example.org/v1", True),
        ("anthropic", "https://far.example.org/v1", True),
        ("liteLLM", "https://far.example.org/v1", True),
        *((name, provider.base_url, False) for name, provider in PROVIDERS.items() if provider.base_url),
        ("azureOpenAI", "https://team.openai.azure.com/openai/v1", False),
        ("bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1", False),
    ],
)
def test_who_is_told_which_sites_a_request_has_passed(provider: str, url: str, told: bool) -> None:
    config = made(BackendConfig, **cloud(url, provider=provider))
    assert Target(config, Credentials({}, "none")).may_be_router is told


def test_the_service_of_the_same_name_elsewhere_is_another_router() -> None:
    content = RouterConfig.model_validate(config(cloud("http://assistant-router.models/v1", "far")))
    check(content, ("0.0.0.0", 8080), 0, {})  # no pod: a laptop that reaches into a cluster


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60.0),
        ({b"x-genset-deadline": b"12.5"}, 12.5),
        ({b"x-genset-deadline": b"12.5", b"x-genset-timeout": b"3"}, 3.0),
        ({b"x-genset-deadline": b"2", b"x-genset-timeout": b"30"}, 2.0),
        ({b"x-genset-deadline": b"0"}, 0.0),
        ({b"x-genset-deadline": b"-7"}, 0.0),
        ({b"x-genset-timeout": b"-7"}, 60.0),
        ({b"x-genset-deadline": b"nan"}, 60.0),
        ({b"x-genset-deadline": b"inf", b"x-genset-timeout": b"inf"}, 60.0),
        ({b"x-genset-deadline": b"tomorrow"}, 60.0),
    ],
)
def test_how_long_a_request_may_take(headers: dict[bytes, bytes], seconds: float) -> None:
    assert patience(headers, 60.0) == seconds


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_deadline_only_gets_shorter_on_its_way(left: float, total: float) -> None:
    _, _, told = deadline_line(left).strip().partition(b": ")
    assert patience({b"x-genset-deadline": told}, total) <= min(left + 0.001, total)


def address_of_this_machine() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "HOSTNAME": "assistant-router-7d1c"}
MACHINE = address_of_this_machine()
#: How one can write this machine to itself.
HERE = (
    "0.0.0.0", "0", "0x0", "[::]", "[::0]", "2130706433", "0x7f000001", "0X7F.1", "017700000001", "0177.0.0.1", "127.1",
    "127.0.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:7f00:1]", "[::FFFF:0:0]", "localhost.", "LOCALHOST", "a.localhost",
    "localhost.localdomain", "ip6-localhost",
)  # fmt: skip


@pytest.mark.parametrize(
    ("listen", "url", "own"),
    [
        (("127.0.0.1", 8080), "http://127.0.0.1:8080/v1", True),
        (("127.0.0.1", 8080), "http://localhost:8080/v1", True),
        (("127.0.0.1", 8080), "http://LOCALHOST.:8080", True),
        (("127.0.0.1", 8080), "http://127.0.0.1:8081/v1", False),
        (("127.0.0.1", 80), "http://127.0.0.1/v1", True),
        (("127.0.0.1", 8080), "http://10.0.0.7:8080/v1", False),
        (("0.0.0.0", 8080), "http://127.0.0.1:8080/v1", True),
        (("0.0.0.0", 8080), "http://127.1.2.3:8080/v1", True),
        (("::", 8080), "http://[::1]:8080/v1", True),
        (("::1", 8080), "http://localhost:8080/v1", True),
        (("10.0.0.7", 8080), "http://10.0.0.7:8080/v1", True),
        (("10.0.0.7", 8080), "http://127.0.0.1:8080/v1", False),
        (("10.0.0.7", 443), "https://10.0.0.7/v1", True),
        (("127.0.0.1", 0), "http://127.0.0.1:9999/v1", True),  # the port that it was given
        *((("127.0.0.1", 8080), f"http://{host}:8080/v1", True) for host in HERE),
        *((("0.0.0.0", 8080), f"http://{host}:8080/v1", True) for host in HERE),
        *((("::", 8080), f"http://{host}:8080/v1", True) for host in HERE),
        *((("10.0.0.7", 8080), f"http://{host}:8080/v1", False) for host in HERE),
        *(
            (("10.0.0.7", 8080), f"http://{host}:8080/v1", True)
            for host in ("167772167", "0xa000007", "[::ffff:a00:7]")
        ),
        (("0.0.0.0", 8080), f"http://{socket.gethostname().upper()}.:8080/v1", True),
        (("127.0.0.1", 8080), f"http://{socket.gethostname()}:8080/v1", False),
        (("0.0.0.0", 8080), "http://assistant-router-7d1c:8080/v1", True),  # HOSTNAME
        (("0.0.0.0", 8080), f"http://{MACHINE}:8080/v1", True),
        (("127.0.0.1", 8080), f"http://{MACHINE}:8080/v1", False),
        (("0.0.0.0", 8080), f"http://{MACHINE}:8081/v1", False),
        (("0.0.0.0", 8080), "http://192.0.2.1:8080/v1", False),
        (("0.0.0.0", 8080), "http://1.2.3.4.example:8080/v1", False),
        *(
            (("0.0.0.0", 8080), f"http://assistant-router{end}/v1", True)
            for end in ("", ".models", ".models.svc", ".models.svc.cluster.local.")
        ),
        (("0.0.0.0", 8080), "http://assistant-router.others/v1", False),
        (("0.0.0.0", 8080), "http://other-router.models/v1", False),
        # The policy may have given its Service another port than 80.
        (("0.0.0.0", 8080), "http://assistant-router.models:8081/v1", True),
        (("0.0.0.0", 8080), "http://assistant-router.models.svc:4000/v1", True),
    ],
)
def test_a_backend_that_is_the_router_itself_is_refused(listen: tuple[str, int], url: str, own: bool) -> None:
    content = RouterConfig.model_validate(config(cloud(url, "other-site")))
    try:
        check(content, listen, 9999, POD)
    except ConfigRejected as problem:
        assert own, problem
        assert "backends.other-site" in str(problem) and "this router itself" in str(problem)
    else:
        assert not own


def test_what_goes_through_a_proxy_or_to_pods_is_somebody_else() -> None:
    behind = cloud("http://localhost:8080/v1", url={"proxyUrl": "http://10.0.0.1:3128"})
    check(RouterConfig.model_validate(config(behind, pods("localhost", 8080))), ("127.0.0.1", 8080), 0, {})


def test_a_router_without_an_operator_is_a_site_of_its_own(tmp_path: Path) -> None:
    copied = POLICY.replace("namespace: models}", "namespace: models, uid: 7d1c}")
    assert load(tmp_path, copied + SECRET + EXTERNAL).config.site is None
