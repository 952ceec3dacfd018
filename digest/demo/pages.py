"""The demo's own pages: an inbox in which the mails are read as a mail client shows them."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from html.parser import HTMLParser

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digest import delivery
from digest.demo.stage import Effect, Mail, Stage
from digest.mail import outbox
from digest.mail.pieces import shorten
from digest.models import Subscriber
from digest.web import create
from digest.web.guard import CONTENT_POLICY
from digest.web.pages import local_moment

PARTS = {"mail": "As a mail", "text": "Text part", "source": "Source"}

WITH_FRAME = f"{CONTENT_POLICY}; frame-src 'self'"
# A mail may show its own styles and open its links in new tabs, and nothing else.
IN_FRAME = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self';"
        " sandbox allow-popups allow-popups-to-escape-sandbox"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}
NEW_TABS = '<base target="_blank">'


@dataclass(frozen=True, slots=True)
class Line:
    """A mail as a list shows it: `when` is in words, at its reader's place."""

    mail: Mail
    sender: str
    moment: datetime
    when: str
    preview: str


@dataclass(frozen=True, slots=True)
class Person:
    """A reader as the inbox shows one: mails, titles voted on today, what votes changed."""

    reader: Subscriber
    lines: Sequence[Line]
    votes: Sequence[str]
    effect: Effect | None


def serve(stage: Stage, door: socket.socket) -> None:
    """Answers at the listening socket until a signal ends it."""
    config = uvicorn.Config(
        site(stage), access_log=False, log_level="warning", lifespan="off", server_header=False
    )
    uvicorn.Server(config).run(sockets=[door])


def site(stage: Stage) -> ASGIApp:
    """The real pages with the inbox before them."""
    inbox = Inbox(stage)
    pages = create(
        stage.app,
        [
            Route("/inbox", inbox.listing),
            Route("/inbox/style.css", inbox.style),
            Route("/inbox/{number:int}/body", inbox.body),
            Route("/inbox/{number:int}/{part}", inbox.mail),
            Route("/next-day", inbox.next_day, methods=["POST"]),
        ],
    )
    return Carrier(stage, pages)


class Carrier:
    """Before a form is answered, first digests are made and what is in the outbox is sent, as
    scheduler and worker of a real service do a moment later."""

    def __init__(self, stage: Stage, pages: ASGIApp) -> None:
        self.stage, self.pages = stage, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["method"] == "POST":
                await run_in_threadpool(self._carry)
            await send(message)

        await self.pages(scope, receive, answer)

    def _carry(self) -> None:
        delivery.welcome(self.stage.app)
        outbox.send_due(self.stage.app)


class Inbox:
    """The pages of all readers' mails."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def listing(self, request: Request) -> Response:
        stage = self.stage
        people = [
            Person(
                reader,
                [_line(mail, reader.timezone) for mail in stage.mailbox.of(reader.email)],
                [vote.paper.title or vote.paper.key for vote in stage.fresh_votes(reader)],
                stage.mornings[-1].effects.get(reader.email),
            )
            for reader in stage.readers()
        ]
        return self._page(request, "inbox", people=people)

    def mail(self, request: Request) -> Response:
        mail, part = self._mail(request), request.path_params["part"]
        if part not in PARTS:
            raise HTTPException(404)
        text = mail.raw.decode("utf-8", "replace") if part == "source" else content(mail, "plain")
        zones = {reader.email: reader.timezone for reader in self.stage.readers()}
        line = _line(mail, zones.get(mail.to, "UTC"))
        return self._page(request, "mail", line=line, part=part, parts=PARTS, text=text)

    def body(self, request: Request) -> Response:
        html = content(self._mail(request), "html").replace("<head>", f"<head>{NEW_TABS}", 1)
        return HTMLResponse(html, headers=IN_FRAME)

    def style(self, _request: Request) -> Response:
        environment = self.stage.app.templates
        assert environment.loader is not None
        source = environment.loader.get_source(environment, "demo/style.css")[0]
        return Response(source, media_type="text/css")

    async def next_day(self, request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise HTTPException(403, "Only the inbox's own button does that.")
        async with self.stage.turn:
            if self.stage.batches:
                await run_in_threadpool(self.stage.next_day)
        return RedirectResponse("/inbox", 303)

    def _mail(self, request: Request) -> Mail:
        number: int = request.path_params["number"]
        if not 0 < number <= len(self.stage.mailbox.mails):
            raise HTTPException(404)
        return self.stage.mailbox.mails[number - 1]

    def _page(self, request: Request, name: str, **values: object) -> Response:
        template = self.stage.app.templates.get_template(f"demo/{name}.html.j2")
        site = request.app.state.site
        html = template.render(site=site, stage=self.stage, **values)
        return HTMLResponse(html, headers={"Content-Security-Policy": WITH_FRAME})


def _line(mail: Mail, zone: str) -> Line:
    moment = mail.message["Date"].datetime
    sender = parseaddr(str(mail.message["From"]))[0]
    return Line(mail, sender, moment, local_moment(moment, zone), preview(mail))


def content(mail: Mail, kind: str) -> str:
    """The mail's part of the kind html or plain."""
    part = mail.message.get_body((kind,))
    return "" if part is None else str(part.get_content())


def preview(mail: Mail) -> str:
    """The first words of the mail, which clients show beside its subject."""
    reader = _Words()
    reader.feed(content(mail, "html"))
    return shorten(" ".join(" ".join(reader.words).split()), 160)


class _Words(HTMLParser):
    """The words of a page's body."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._in_body = False

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self._in_body = self._in_body or tag == "body"

    def handle_data(self, data: str) -> None:
        if self._in_body:
            self.words.append(data)
