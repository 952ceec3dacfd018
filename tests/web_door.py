"""A real web server on a free port, which shows the pages of whichever app a test opens, and what
tests ask of a page and of what stands behind it."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape

import httpx2
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from digest import feedback, subscribers
from digest.mail.links import Bearer
from digest.models import metadata
from digest.web.server import configured

BASE = "http://digest.test"


class Door:
    """The server's address, a client of it, and the pages behind it, to be set by each test."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.pages: ASGIApp | None = None
        self.client: httpx2.Client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.pages is not None
        await self.pages(scope, receive, send)


@contextmanager
def open_door() -> Iterator[Door]:
    door = Door()
    server = uvicorn.Server(configured(door, "127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[door.socket])))
    thread.start()
    try:
        with httpx2.Client(base_url=door.address, timeout=20) as door.client:
            yield door
    finally:
        server.should_exit = True
        thread.join()
        door.socket.close()


def bearer(app, person, digest_id=0):
    return Bearer(person.id, person.link_epoch, app.now(), digest_id)


def everything(app):
    """Every row of every table but the short memory of votes by mail."""
    with app.db.read() as session:
        connection = session.connection()
        return {
            name: [tuple(row) for row in connection.execute(table.select())]
            for name, table in metadata.tables.items()
            if name != "mail_vote"
        }


def by_address(app, email):
    with app.db.read() as session:
        return subscribers.find(session, email)


def standing(app, person):
    """The reader's votes that stand, by the paper's id."""
    with app.db.read() as session:
        return {voted.paper.id: voted.vote for voted in feedback.votes(session, person.id)}


def read(answer):
    """The page's words, as a reader sees them."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def without_script(answer):
    """The page without our own script, a file beside it."""
    return re.sub(r'<script src="/static/script[^"]+" defer></script>', "", answer.text)


def mailed_link(mailbox, path):
    """The path of the newest mail's link that begins so."""
    text = mailbox.messages[-1].get_body(("plain",)).get_content()
    found = re.search(rf"{BASE}(/{path}/\S+)", text)
    assert found, text
    return found[1]
