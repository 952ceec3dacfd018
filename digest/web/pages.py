"""How a page is made: templates with the links and names they share, and forms read safely."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import parseaddr
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from digest.app import App

STATIC = {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "script.js": "text/javascript; charset=utf-8",
}


def app_of(request: Request) -> App:
    app: App = request.app.state.digest
    return app


class Site:
    """What every page shares: the service's name, links under its public address, its style."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.prefix = urlsplit(app.settings.web.base_url).path.rstrip("/")
        self.name = parseaddr(app.settings.mail.sender)[0] or "Paper Digest"
        self.postal_address = app.settings.mail.postal_address
        loader = app.templates.loader
        assert loader is not None
        self.files = {
            _hashed(name, source): (source, kind)
            for name, kind in STATIC.items()
            for source in [loader.get_source(app.templates, f"web/{name}")[0]]
        }

    def url(self, path: str) -> str:
        return f"{self.prefix}{path}"

    def absolute(self, path: str) -> str:
        return f"{self._app.settings.web.base_url}{path}"

    def static(self, name: str) -> str:
        stem = name.partition(".")[0]
        return self.url(f"/static/{next(file for file in self.files if file.startswith(stem))}")

    def paper(self, key: str) -> str:
        return f"/papers/{quote(key, safe=':/')}"


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def _hashed(name: str, source: str) -> str:
    stem, _, ending = name.partition(".")
    return f"{stem}.{hashlib.sha256(source.encode()).hexdigest()[:12]}.{ending}"


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """The template web/`name`.html.j2 with `values` and the site."""
    template = app_of(request).templates.get_template(f"web/{name}.html.j2")
    return HTMLResponse(template.render(site=site_of(request), **values), status)


def form_page(
    work: Callable[[Request, FormData], Response],
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that reads the form and does the work in the thread pool."""

    async def endpoint(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=250) as form:
            return await run_in_threadpool(work, request, form)

    return endpoint


def text_of(form: FormData, name: str) -> str:
    """A field's text, or the lines of one that comes several times; files are left out."""
    return "\n".join(value.strip() for value in form.getlist(name) if isinstance(value, str))


def local_moment(moment: datetime, zone: str) -> str:
    """`Thursday 19 November, 07:00` in the reader's zone."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%A} {local.day} {local:%B}, {local:%H:%M}"


@cache
def zones() -> dict[str, list[str]]:
    """The time zones to choose from, by region; UTC stands alone."""
    regions: dict[str, list[str]] = {}
    for name in sorted(available_timezones()):
        region, _, place = name.partition("/")
        if place and region in _REGIONS:
            regions.setdefault(region, []).append(name)
    return regions


_REGIONS = (
    *("Africa", "America", "Antarctica", "Arctic", "Asia"),
    *("Atlantic", "Australia", "Europe", "Indian", "Pacific"),
)
