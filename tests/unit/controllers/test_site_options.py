"""What the operator refuses of its flags about the site, and what it reads: never repeating a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from genset.cli import operator as verb
from genset.desired.site import SiteProxies
from genset.kube.client import ApiServer
from genset.kube.site import SiteOptions, SiteReader

PEM = (Path(__file__).parents[2] / "data" / "ca.crt").read_text()


@pytest.mark.parametrize(
    ("proxies", "said"),
    [
        (SiteProxies(https="http://proxy.corp:3128"), ""),
        (SiteProxies(https="http://[fd00::7]:3128", http="http://10.0.0.7:3128"), ""),
        (
            SiteProxies(https="http://user:hunter2@proxy.corp:3128"),
            "--site-https-proxy names no proxy: write http://HOST:PORT",
        ),
        (SiteProxies(http="https://proxy.corp:3128"), "--site-http-proxy names no proxy"),
        (SiteProxies(http="http://proxy.corp"), "--site-http-proxy names no proxy"),
        (SiteProxies(https="http://127.0.0.1:3128"), "127.0.0.1 is an address that no router may dial"),
        (SiteProxies(https="http://[::1]:3128"), "::1 is an address that no router may dial"),
        (SiteProxies(https="http://192.0.2.7:3128"), "192.0.2.7 is an address that no router may dial"),
    ],
)
def test_proxies(proxies: SiteProxies, said: str) -> None:
    told = "; ".join(SiteOptions(proxies).problems(("192.0.2.0/28",)))
    assert said in told and bool(said) == bool(told) and "hunter2" not in told


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("http://genset-ledger.genset-system.svc:8090", "key", ""),
        ("ledger", "key", "--ledger-url"),
        ("http://ledger.corp", "", "belong together"),
        ("", "key", "belong together"),
    ],
)
def test_a_ledger_has_an_address_and_a_secret(url: str, secret: str, said: str) -> None:
    told = "; ".join(SiteOptions(ledger_url=url, ledger_secret=secret).problems(()))
    assert said in told and bool(said) == bool(told)


def test_credentials_need_a_proxy(tmp_path: Path) -> None:
    assert "needs --site-https-proxy" in SiteOptions(proxy_credentials_file=tmp_path / "p").problems(())[0]


@pytest.mark.parametrize("text", ["hub", "hub/", "/token"])
def test_a_secret_is_named_with_its_key(text: str) -> None:
    flags = {"hub_token_secret": text, "site_http_proxy": "", "site_https_proxy": "", "site_no_proxy": ()}
    with pytest.raises(verb.click.UsageError, match="write NAME/KEY"):
        verb._site(
            {**flags, "site_proxy_credentials_file": None, "site_ca_file": None, "ledger_url": "", "ledger_secret": ""}
        )


def reader(**options: object) -> SiteReader:
    api: ApiServer = None  # type: ignore[assignment]  # no Secret is named, so none is read
    return SiteReader(api, SiteOptions(**options), "genset-system")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), ("", "holds no certificates in PEM form"), ("x", "holds no certificates"),
     ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "holds no certificates")],
)  # fmt: skip
async def test_a_bundle_that_is_none_at_the_start(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=said):
        await reader(ca_file=file).read()


@pytest.mark.parametrize("content", ["hunter2", "user:hunter2\nmore", "üser:hunter2"])
async def test_credentials_that_are_none_are_not_repeated(tmp_path: Path, content: str) -> None:
    file = tmp_path / "proxy"
    file.write_text(content)
    with pytest.raises(ValueError, match="holds no user:password") as refused:
        await reader(proxies=SiteProxies(https="http://p:1"), proxy_credentials_file=file).read()
    assert "hunter2" not in str(refused.value)


async def test_what_was_read_once_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(f"-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----\n{PEM}")
    site = reader(ca_file=file)
    first = await site.read()
    assert "PRIVATE" not in first.ca and first.ca.count("BEGIN CERTIFICATE") == PEM.count("BEGIN CERTIFICATE")
    file.unlink()
    assert [await site.read(), await site.read()] == [first, first]
    assert caplog.text.count("Kept the site's settings as they were") == 1, "said once, not every few seconds"
