"""What is there before a benchmark begins: papers, and readers made up from them."""

import json
import lzma
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from digest import training
from digest.app import App, open_app
from digest.db import insert_new
from digest.feeds.ingest import ingest_sources
from digest.models import Digest, Feedback, Paper, Pick, Subscriber
from digest.settings import Settings

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Australia/Sydney",
    "America/Sao_Paulo",
)
VOTES = (0, 0, 0, 5, 10, 20, 30, 50, 100)
BLOCK = 1000
DIGEST_BEFORE = 10


def split(papers: Path, day: date, folder: Path) -> tuple[Path, Path]:
    """Two files: the papers before the day, and those of the day."""
    before, on = folder / "before.jsonl", folder / "day.jsonl"
    opened = lzma.open if papers.suffix == ".xz" else open
    with opened(papers, "rt") as lines, before.open("w") as old, on.open("w") as new:
        for line in lines:
            listed = date.fromisoformat(json.loads(line)["day"])
            if listed <= day:
                (new if listed == day else old).write(line)
    return before, on


class Crowd:
    """Makes up readers from the papers there are; the same ones each time."""

    def __init__(self, app: App, day: date) -> None:
        self.chance, self.day = random.Random(0), day
        with app.db.read() as session:
            table = Paper.__table__.c  # type: ignore[attr-defined]
            columns = (table.id, table.title, table.categories, table.authors, table.announced_day)
            self.papers = session.execute(sa.select(*columns).order_by(table.id)).all()
        self.by_category: dict[str, list[int]] = {}
        for paper in self.papers:
            self.by_category.setdefault(paper.categories[0], []).append(paper.id)
        self.recent = [p.id for p in self.papers if p.announced_day >= day - timedelta(days=5)]

    def reader(self, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A subscriber's row and the votes."""
        chance = self.chance
        near = [chance.choice(self.papers) for _ in range(3)]
        home = near[0].categories[0]
        email = f"reader{number}@crowd.test"
        row = {
            "id": number,
            "email": email,
            "email_key": email,
            "name": f"Reader {number}",
            "status": "active",
            "topics": [[_piece(p.title, chance), 1.0] for p in near[: chance.randint(1, 3)]],
            "categories": [[home, 1.0]],
            "authors": near[1].authors[:1] if number % 5 == 0 else [],
            "muted": ["survey"] if number % 10 == 0 else [],
            "timezone": chance.choice(ZONES),
            "send_at": f"{chance.randint(5, 9):02}:00",
            "next_digest_at": noon(self.day) - timedelta(hours=chance.randint(0, 20)),
            "created_at": noon(self.day) - timedelta(days=100),
        }
        pool = self.by_category[home]
        chosen = chance.sample(pool, min(len(pool), chance.choice(VOTES)))
        votes = [
            {
                "subscriber_id": number,
                "paper_id": paper,
                "vote": 1 if at % 2 == 0 else -1,
                "source": "mail",
                "voted_at": noon(self.day) - timedelta(days=2),
            }
            for at, paper in enumerate(chosen)
        ]
        return row, votes

    def yesterday(self, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The digest that the reader got the day before, and its picks."""
        before = self.day - timedelta(days=1)
        digest = {"id": number, "subscriber_id": number, "day": before, "since": before}
        digest |= {"candidates": 200, "created_at": noon(before)}
        digest["reasons"] = ["Because of your topic “lanterns”."] * DIGEST_BEFORE
        picks = [
            {
                "digest_id": number,
                "position": at,
                "subscriber_id": number,
                "paper_id": paper,
                "score": 1.0,
                "sentence": 1,
            }
            for at, paper in enumerate(self.chance.sample(self.recent, DIGEST_BEFORE), 1)
        ]
        return digest, picks


def _piece(title: str, chance: random.Random) -> str:
    words = title.split()
    first = chance.randrange(max(1, len(words) - 2))
    return " ".join(words[first : first + 3])


def noon(day: date) -> datetime:
    """Noon of the day, UTC."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def beforehand(settings: Settings, day: date, readers: int, before: Path) -> None:
    """Papers, subscribers, votes, yesterday's digests, and rankers, most of them fresh."""
    yesterday = noon(day) - timedelta(days=1)
    with open_app(settings, lambda: yesterday) as app:
        ingest_sources(app, [str(before)])
        space = training.feature_space(app)
        crowd = Crowd(app, day)
        for first in range(1, readers + 1, BLOCK):
            numbers = range(first, min(first + BLOCK, readers + 1))
            people = [crowd.reader(number) for number in numbers]
            old = [crowd.yesterday(number) for number in numbers]
            with app.db.write() as session:
                insert_new(session, Subscriber, [row for row, _ in people])
                insert_new(session, Digest, [row for row, _ in old])
                if votes := [vote for _, several in people for vote in several]:
                    insert_new(session, Feedback, votes)
                insert_new(session, Pick, [pick for _, picks in old for pick in picks])
            table = sa.update(Subscriber.__table__)  # type: ignore[attr-defined]
            with app.db.read() as session:
                some = sa.select(Subscriber).where(Subscriber.id.in_(numbers))  # type: ignore[union-attr]
                training.ready(app, space, list(session.scalars(some)))
            with app.db.write() as session:
                session.execute(table.where(sa.column("id").in_(numbers[::5])).values(revision=1))

        if app.db.engine.dialect.name == "postgresql":  # whose next ids know nothing of ours
            with app.db.connect() as connection:
                for table in ("subscriber", "digest"):
                    following = f"pg_get_serial_sequence('{table}', 'id'), {readers}"
                    connection.execute(sa.text(f"SELECT setval({following})"))
