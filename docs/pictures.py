"""Makes docs/images/ anew: mails and pages of the demo, whose papers and readers are invented.

`.venv/bin/python docs/pictures.py [NAME]...` needs Chromium; without names, it makes all.
"""

import asyncio
import random
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from html import unescape
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from sqlmodel import Session, select

from digest import drawing, feedback, subscribers
from digest.app import App, open_app
from digest.demo import door, staged
from digest.demo.pages import site
from digest.demo.stage import Stage
from digest.models import (
    Announcement,
    Bounce,
    Digest,
    Feed,
    Feedback,
    OutboxMessage,
    Paper,
    Pick,
    Subscriber,
)
from digest.settings import Database, Settings

IMAGES = Path(__file__).parent / "images"
MOST_BYTES = 100_000
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
READER = "ada@readers.example"


@dataclass(frozen=True)
class Picture:
    """What a picture shows, and how wide and high it is, in pixels."""

    show: Callable[[Page, Stage], None]
    width: int
    height: int
    scheme: str = "light"


def mail(page: Page, stage: Stage) -> None:
    page.set_content(_html(_newest(stage)))


def front(page: Page, stage: Stage) -> None:
    page.goto(stage.app.settings.web.base_url)


def preferences(page: Page, stage: Stage) -> None:
    (link, *_) = re.findall(r'href="([^"]+/preferences/[^"]+)"', _html(_newest(stage)))
    page.goto(unescape(link))


def figures(page: Page, _stage: Stage) -> None:
    with TemporaryDirectory() as folder:
        url = Database(url=f"sqlite:///{folder}/digest.db")
        with open_app(Settings.model_construct(database=url)) as app:
            four_weeks(app)
            page.set_content(drawing.page(app))


PICTURES = {
    "digest": Picture(mail, 640, 1000),
    "digest-dark": Picture(mail, 360, 1000, "dark"),
    "digest-phone": Picture(mail, 360, 740),
    "front": Picture(front, 760, 640),
    "preferences": Picture(preferences, 760, 900),
    "figures": Picture(figures, 1200, 590),
}


def _newest(stage: Stage) -> EmailMessage:
    return stage.mailbox.of(READER)[0].message


def _html(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    text: str = part.get_content()
    return text


def four_weeks(app: App) -> None:
    """Four weeks of invented figures: readers who vote the more surely the higher a paper stands,
    and better picks with time."""
    chance, now = random.Random(7), app.now()
    with app.db.write() as session:
        people = [_person(number, now) for number in range(24)]
        feeds = [_feed(number, title, now) for number, title in enumerate(SOURCES)]
        session.add_all([*people, *feeds])
        session.flush()
        for back in range(27, -1, -1):
            at = now - timedelta(days=back)
            if at.weekday() < 5:
                papers = [paper for feed in feeds for paper in _announced(session, feed, at)]
                for person in people:
                    _served(session, person, chance.sample(papers, 10), at, back, chance)


SOURCES = {"cs.CV updates on arXiv.org": 34, "Daily Papers": 12, "q-bio updates": 9}
TOPICS = (
    *("diffusion models for image generation", "protein structure", "galaxy surveys"),
    *("language models that use tools", "recordings of many neurons"),
)


def _person(number: int, now: datetime) -> Subscriber:
    email = f"{number}@readers.example"
    return Subscriber(email=email, email_key=email, status="active", created_at=now)


def _feed(number: int, title: str, now: datetime) -> Feed:
    url = f"https://feed.example/{number}"
    return Feed(url=url, kind="generic", title=title, next_fetch_at=now, added_at=now)


def _announced(session: Session, feed: Feed, at: datetime) -> list[int]:
    day = at.date()
    papers = [
        Paper(key=f"url:{feed.id}/{day}/{n}", title="x", url="x", announced_day=day,
              announced_at=at, updated_at=at)
        for n in range(SOURCES[feed.title])
    ]  # fmt: skip
    session.add_all(papers)
    session.flush()
    ids = [paper.id or 0 for paper in papers]
    session.add_all(
        Announcement(paper_id=paper, day=day, kind="new", feed_id=feed.id, recorded_at=at)
        for paper in ids
    )
    return ids


def _served(
    session: Session,
    person: Subscriber,
    papers: list[int],
    at: datetime,
    back: int,
    chance: random.Random,
) -> None:
    reader, day = person.id or 0, at.date()
    digest = Digest(subscriber_id=reader, day=day, since=day, candidates=55, created_at=at)
    session.add(digest)
    session.flush()
    number, refused = digest.id or 0, chance.random() < 0.01
    mail = OutboxMessage(
        kind="digest", subscriber_id=reader, digest_id=number, due_at=at, created_at=at,
        status="failed" if refused else "sent", sent_at=None if refused else at,
    )  # fmt: skip
    session.add(mail)
    if chance.random() < 0.02:
        kind = chance.choice(("hard", "soft", "soft", "policy"))
        session.add(Bounce(message_id=number, kind=kind, subscriber_id=reader, at=at))
    for position, paper in enumerate(papers, 1):
        session.add(Pick(
            digest_id=number, position=position, subscriber_id=reader, paper_id=paper, score=1.0,
            topic=chance.choice(TOPICS),
        ))  # fmt: skip
        wanted = (0.28 - 0.005 * back) * (1.25 - 0.06 * position)
        vote = 1 if chance.random() < wanted else -1 if chance.random() < 0.05 else 0
        session.add(
            Feedback(subscriber_id=reader, paper_id=paper, vote=vote, source="mail", voted_at=at)
        )


@contextmanager
def serving() -> Iterator[Stage]:
    """The demo after two days, with its pages; Ada liked what she had on the first."""
    with door(0) as listener, staged([], listener.getsockname()[1]) as stage:
        stage.next_day()
        _vote(stage)
        stage.next_day()
        config = uvicorn.Config(site(stage), access_log=False, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            yield stage
        finally:
            server.should_exit = True
            thread.join()


def _vote(stage: Stage) -> None:
    with stage.app.db.write() as session:
        reader = subscribers.find(session, READER)
        picked = select(Pick.paper_id).where(Pick.subscriber_id == reader.id, Pick.position <= 2)
        for paper in session.exec(picked).all():
            feedback.record(
                session, reader.id or 0, paper, "up", source="mail", now=stage.app.now()
            )


def small(png: bytes) -> bytes:
    """The picture with a palette of 256 colours, which makes it half as large."""
    made = BytesIO()
    colours = Image.open(BytesIO(png)).convert("RGB").quantize(dither=Image.Dither.NONE)
    colours.save(made, "PNG", optimize=True)
    return made.getvalue()


def main(names: list[str]) -> None:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with serving() as stage, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-lcd-text"]
        )
        for name in names or PICTURES:
            picture = PICTURES[name]
            page = browser.new_page(
                viewport={"width": picture.width, "height": picture.height},
                color_scheme=picture.scheme,  # type: ignore[arg-type]
                reduced_motion="reduce",
            )
            picture.show(page, stage)
            page.wait_for_timeout(500)
            file = IMAGES / f"{name}.png"
            file.write_bytes(small(page.screenshot()))
            page.close()
            size = file.stat().st_size
            print(f"{file.name}: {size / 1000:.0f} kB" + " (too much)" * (size > MOST_BYTES))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
