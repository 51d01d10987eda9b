"""`genset operator`: every setting has a flag and a variable, and says what it is."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import ssl

import click
import pytest
from click.testing import CliRunner
from kubernetes.aio.client import Configuration

from genset import handlers
from genset.cli import operator as verb
from genset.cli.log_format import JsonFormatter
from genset.controllers.health import Address
from genset.desired.context import Settings
from genset.runtime import Options
from testbed.upstream.tls import Authority

PARAMETERS = {parameter.name: parameter for parameter in verb.command.params if isinstance(parameter, click.Option)}


def test_every_setting_and_every_option_of_the_runtime_has_a_flag() -> None:
    wanted = {field.name for field in dataclasses.fields(Settings)} - {"place"}  # found out, not said
    wanted |= {field.name for field in dataclasses.fields(Options)} - {"settings", "site", "pod"}
    wanted |= {"site_http_proxy", "site_https_proxy", "site_no_proxy", "site_proxy_credentials_file", "site_ca_file"}
    assert wanted <= set(PARAMETERS), f"no flag for {wanted - set(PARAMETERS)}"


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_every_flag_has_a_variable_and_a_help_text(name: str) -> None:
    option = PARAMETERS[name]
    assert option.help and option.help.endswith(".")
    assert isinstance(option.envvar, str) and option.envvar.startswith("GENSET_")


def _given(arguments: list[str], env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    given: dict[str, object] = {}
    monkeypatch.setattr(verb, "_run", given.update)
    monkeypatch.setattr(handlers, "silence", lambda: None)
    monkeypatch.setattr("genset.cli.log_format.configure", lambda *_: None)
    result = CliRunner().invoke(verb.command, arguments, env=env, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return given


def test_flags_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    given = _given(
        [
            "--image",
            "i",
            "--namespace",
            "a",
            "--namespace",
            "b",
            "--engine-image",
            "llama.cpp/cpu=c",
            "--health-listen",
            ":0",
        ],
        {"GENSET_MONITORING_NAMESPACE_LABEL": "a/b=c,d=e", "GENSET_RESYNC_SECONDS": "7", "GENSET_METRICS_LISTEN": "0"},
        monkeypatch,
    )
    assert given["namespaces"] == ("a", "b")
    assert given["engine_images"] == {"llama.cpp": {"cpu": "c"}}
    assert given["monitoring_namespace_labels"] == {"a/b": "c", "d": "e"}
    assert (given["resync_seconds"], given["metrics"], given["health"]) == (7.0, None, Address("::", 0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing option '--image'"),
        (["--image", "i", "--engine-image", "cpu"], "'cpu' is not KEY=VALUE"),
        (["--image", "i", "--engine-image", "cpu=c"], "where ENGINE is llama.cpp"),
        (["--image", "i", "--engine-image", "external/cpu=c"], "where ENGINE is llama.cpp"),
        (["--image", "i", "--engine-image", "llama.cpp/apple=c"], "one of cpu, nvidia, amd, intel"),
        (["--image", "i", "--health-listen", "8081"], "write HOST:PORT"),
        (["--image", "i", "--resync-seconds", "0"], "not in the range"),
    ],
)
def test_bad_flags_are_refused_with_words(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(verb.command, arguments, env={"GENSET_IMAGE": ""})
    assert result.exit_code == 2 and words in result.output


ADDRESSES = [
    ("0.0.0.0:8081", Address("0.0.0.0", 8081)),
    (":9090", Address("::", 9090)),
    ("[::1]:80", Address("::1", 80)),
    ("0", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_addresses(text: str, address: Address | None) -> None:
    assert Address.parse(text) == address


def test_json_lines() -> None:
    record = logging.LogRecord("genset.kube", logging.INFO, "f", 1, "Applied %s", ("Service n/x",), None)
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"]) == ("info", "genset.kube", "Applied Service n/x")


def test_kopf_only_watches() -> None:
    """No handler of a kind that patches objects, nothing persisted, no Events, no peering, labelled children only."""
    settings = handlers.settings()
    assert settings.posting.enabled is False and settings.peering.standalone and settings.scanning.disabled
    assert len(settings.watching.label_selectors) == len(handlers.CHILDREN)
    registry = handlers.registry(None, None)  # type: ignore[arg-type]
    assert not list(registry._changing.get_all_handlers()) and not list(registry._spawning.get_all_handlers())
    assert len(list(registry._watching.get_all_handlers())) == len(handlers.RESOURCES) + len(handlers.CHILDREN)


def test_an_outage_of_the_api_server_is_one_line_of_kopfs(caplog: pytest.LogCaptureFixture) -> None:
    """As kopf._cogs.clients.api logs them through the watches' logger."""
    handlers.silence()
    handlers.silence()
    logger = logging.getLogger("kopf._cogs.clients.watching")
    assert [type(known) for known in logger.filters] == [handlers.OneLine]
    try:
        for attempt in range(1, 9):
            for kind in ("pods", "services"):
                what = f"GET https://10.96.0.1/api/v1/{kind}?watch=true"
                logger.error(f"Request attempt #{attempt}/9 failed; will retry: {what} -> Refused('no route')")
        logger.warning("Ignoring an unsupported event type: {}")
        (line, other) = caplog.records
        assert line.levelno == logging.WARNING and line.getMessage().endswith(": Refused")
        assert other.getMessage().startswith("Ignoring")
        caplog.clear()
        later = logging.LogRecord(logger.name, logging.ERROR, "f", 1, "Request attempt #1/9 failed -> X", (), None)
        later.created += handlers.OUTAGE_SECONDS + 1
        logger.handle(later)
        assert len(caplog.records) == 1, "the next outage is told again"
    finally:
        logger.filters.clear()


async def test_kopf_knows_the_api_server_by_the_name_that_a_kubeconfig_gives() -> None:
    """kubeconfig: clusters[].cluster.tls-server-name."""
    authority = Authority()
    serving = authority.server_context("kubernetes.default")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving)
    configuration = Configuration()
    configuration.host = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    configuration.ca_cert_data = authority.ca_pem.decode()
    async with server:
        for name, trusted in (("kubernetes.default", True), (None, False), ("other.name", False)):
            configuration.tls_server_name = name
            context = (await handlers.connection_info(configuration)).as_ssl_context()
            host, port = server.sockets[0].getsockname()
            if trusted:
                _, writer = await asyncio.open_connection(host, port, ssl=context)
                writer.close()
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await asyncio.open_connection(host, port, ssl=context)


async def test_kopf_connects_as_our_client_does() -> None:
    """The same server, credentials and reading of certificates; a cluster that the one accepts, the other does too."""
    configuration = Configuration()
    configuration.host = "https://10.96.0.1:443"
    configuration.api_key["BearerToken"] = "bearer abc"
    info = await handlers.connection_info(configuration)
    assert info.as_http_headers() == {"Authorization": "Bearer abc"}
    assert info.server == configuration.host
    assert not info.as_ssl_context().verify_flags & ssl.VERIFY_X509_STRICT
    assert info.as_ssl_context().verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("value", ["10.0.0.7", "10.0.0.0/33", "models", "::ffff:10.0.0.0/104"])
def test_a_network_that_is_none_is_refused(value: str) -> None:
    result = CliRunner().invoke(verb.command, ["--image=i", f"--cluster-cidr={value}"])
    assert result.exit_code == 2
    assert f"{value!r} is no network; write ADDRESS/BITS, e.g. 10.0.0.0/8" in " ".join(result.output.split())
