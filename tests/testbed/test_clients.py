"""The clients that `make clients` runs: what can be known of them without installing one."""

from __future__ import annotations

import pytest

from e2e.clients import install, languages
from e2e.clients.clients import CLIENTS, Client


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_has_a_program_and_a_pinned_version(client: Client) -> None:
    assert (install.PROGRAMS / client.program).is_file()
    assert languages.of(client.program).version(client.package)[0].isdigit()
