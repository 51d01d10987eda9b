"""Pages are made from templates. Whatever comes from a resource, a router or a client is text, and is escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import genset
from genset.console import words
from genset.console.heard import Heard
from genset.console.visits import ConsoleVisit

STATIC_PATH: Final = "/static"
#: What the pages need, and nothing else is served.
STATIC: Final[Mapping[str, str]] = {
    "console.css": "text/css", "console.js": "text/javascript", "htmx.min.js": "text/javascript",
    "uPlot.iife.min.js": "text/javascript", "uPlot.min.css": "text/css", "icon.svg": "image/svg+xml",
}  # fmt: skip


class Shown:
    """What is shown: templates, and files that pages load, each under an address with its digest."""

    def __init__(self) -> None:
        folder = files("genset.console") / "static"
        self.files = {name: (folder / name).read_bytes() for name in STATIC}
        self._digests = {name: hashlib.sha256(body).hexdigest()[:16] for name, body in self.files.items()}
        self._templates = Environment(
            loader=PackageLoader("genset.console"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.globals |= {"file": self._file, "words": words, "version": genset.__version__}

    def page(self, request: Request, visit: ConsoleVisit, template: str, heard: Heard, **more: Any) -> Response:
        """Shows a page to somebody who has signed in."""
        return self._html(request, template, {"visit": visit, "heard": heard, **more})

    def plain(self, request: Request, template: str, status: int = 200, **more: Any) -> Response:
        """Shows a page to anybody."""
        return self._html(request, template, {"visit": None, "heard": None, **more}, status)

    def _html(self, request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        query = dict(request.query_params)
        given = {
            "path": request.url.path,
            "status": status,
            "query": query,
            "link": partial(_link, request.url.path, query),
        }
        text = self._templates.get_template(template).render({**given, "navigation": NAVIGATION, **values})
        return HTMLResponse(text, status)

    def _file(self, name: str) -> str:
        return f"{STATIC_PATH}/{self._digests[name]}/{name}"

    def file(self, digest: str, name: str) -> bytes | None:
        """Returns a file of this release; None if there is none under this digest."""
        return self.files[name] if self._digests.get(name) == digest else None


#: Path and name of each page, in the order of the navigation.
NAVIGATION: Final = (
    ("/fleet", "Fleet"),
    ("/routes", "Routes"),
    ("/continuity", "Continuity"),
    ("/cost", "Cost"),
    ("/data", "Data"),
    ("/request", "Request"),
)


def _link(path: str, query: Mapping[str, str], **changed: object) -> str:
    """Returns the same page with some of what was asked for changed."""
    asked = {**query, **{name: str(value) for name, value in changed.items()}}
    return f"{path}?{urlencode({name: value for name, value in asked.items() if value})}"
