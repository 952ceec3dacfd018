"""What the doctor says of the pages: whether readers reach them, and nobody else does."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import free_port
from patient import (
    Names,
    _serving,
    configured,
    healthy,
    names,
    none,
    serve,
    told,
)
from test_smtp import TlsController, house
from web_door import Door

from digest.app import App
from digest.web import create

__all__ = ["_serving", "healthy", "house", "names", "serve"]  # fixtures
pytestmark = pytest.mark.sqlite

HOST = "digest.bookham-library.org"


def web(app: App, **values: Any) -> App:
    return configured(app, {"web": values})


def test_links_to_this_machine(healthy: App) -> None:
    app = web(healthy, base_url="http://localhost:8000")
    told(app, "web.base_url", "fail", "which no reader can open", "the public address")


def test_links_without_encryption(healthy: App) -> None:
    app = web(healthy, base_url="http://digest.bookham-library.test")
    told(app, "web.base_url", "warn", "is not encrypted", "reverse proxy with a certificate")


@pytest.fixture
def other() -> Iterator[tuple[int, list[int]]]:
    """Another program's server on loopback: its port, and the status that it answers with."""
    status = [404]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port, status
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "said"), [(404, "answered with 404"), (502, "answered with 502"), (301, "redirect")]
)
def test_an_address_that_leads_elsewhere(
    healthy: App, names: Names, other: tuple[int, list[int]], status: int, said: str
) -> None:
    names.hosts[HOST] = ["127.0.0.1"]
    other[1][0] = status
    app = web(healthy, base_url=f"http://{HOST}:{other[0]}/papers")
    finding = told(app, "pages", "warn", "does not lead to these pages", "passes everything on")
    assert said in finding.sentence
    assert "/papers/healthz" in finding.sentence


def test_an_address_without_a_machine_or_with_nobody_there(healthy: App, names: Names) -> None:
    names.hosts[HOST] = []
    app = web(healthy, base_url=f"http://{HOST}:{free_port()}")
    assert "has no address" in told(app, "pages", "warn", "lead to these", "points to").sentence
    names.hosts[HOST] = ["127.0.0.1"]
    assert "nobody answers" in told(app, "pages", "warn", "lead to these", "running").sentence


def test_an_address_without_a_valid_certificate(
    healthy: App, names: Names, serve: Callable[..., int], house: Any
) -> None:
    names.hosts[HOST] = ["127.0.0.1"]
    port = serve(kind=TlsController, ssl_context=house[1])
    app = web(healthy, base_url=f"https://{HOST}:{port}")
    assert "certificate" in told(app, "pages", "warn", "lead to these", "proxy").sentence


def test_an_address_that_leads_here_is_right(healthy: App, names: Names, door: Door) -> None:
    names.hosts[HOST] = ["127.0.0.1"]
    door.pages = create(healthy)
    app = web(healthy, base_url=door.address.replace("127.0.0.1", HOST))
    none(app, "pages")


def test_a_secret_that_can_be_guessed(healthy: App) -> None:
    app = web(healthy, secret="changeme" * 4)
    told(app, "secret", "fail", "different letters, so it can be guessed", "token_urlsafe(32)")


def test_a_proxy_that_is_not_believed(healthy: App) -> None:
    app = web(healthy, host="0.0.0.0")
    told(app, "web.trusted_proxies", "warn", "is believed when", "web.trusted_proxies")
    none(web(healthy, host="0.0.0.0", trusted_proxies=("172.16.0.0/12",)), "web.trusted_proxies")


def test_a_port_that_another_program_has(
    healthy: App, other: tuple[int, list[int]], door: Door
) -> None:
    told(web(healthy, port=other[0]), "web.port", "fail", "Another program has port", "End it, or")
    told(
        web(healthy, port=free_port()), "web.port", "warn", "nobody serves the pages", "digest web"
    )
    door.pages = create(healthy)
    none(web(healthy, port=int(door.address.rpartition(":")[2])), "web.port")


def test_a_port_that_the_links_do_not_know(healthy: App) -> None:
    trial = {"sender": "Paper Digest <digest@localhost>"}
    moved = {"base_url": "http://localhost:8000", "port": 8111}
    app = configured(healthy, {"web": moved, "mail": trial})
    told(app, "web.base_url", "warn", "but the pages listen on port", "the port in web.base_url")
    none(configured(healthy, {"web": {**moved, "port": 8000}, "mail": trial}), "web.base_url")
