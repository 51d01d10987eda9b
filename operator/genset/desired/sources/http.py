"""Source `http` has the puller fetch one file from a web server."""

from __future__ import annotations

from genset.api.sources.http import HttpSource
from genset.contracts.sources import Http
from genset.desired.context import Settings
from genset.desired.sources.base import Download, Place, SourceKind, secrets


def download(web: HttpSource, _: Settings, _place: Place) -> Download:
    """Asks for the file by its checksum, whatever the URL."""
    return Download(
        Http(web.url, web.sha256),
        web.url,
        secrets(headers_file=web.headers_secret_ref, ca_file=web.ca_secret_ref),
    )


KIND = SourceKind(HttpSource, download)
