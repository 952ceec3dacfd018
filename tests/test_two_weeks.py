"""Two weeks of sources as they are, and at the end exactly the papers that the script has."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from arxiv_server import Arxiv, Scripted
from conftest import Clock, Mailbox, free_port
from feed_server import Answer, Source, serving
from sqlmodel import col, select

from digest import outcomes, subscribers
from digest.app import App
from digest.changes import Changes
from digest.delivery import deliver
from digest.feeds.batches import figures, open_batches
from digest.feeds.fill import backfill, fill_due
from digest.feeds.ingest import add_feed, ingest_due, ingest_sources, list_feeds
from digest.feeds.routes import arxiv_categories
from digest.feeds.visit import wait_after
from digest.models import Announcement, Batch, Digest, Feed, OutboxMessage, Paper, Pick
from digest.settings import Settings

# From Monday, 16 November to Sunday, 29 November 2026; the 26th is Thanksgiving, so that there is
# no batch on the 26th and the 27th.
START = datetime(2026, 11, 16, 5, 20, tzinfo=UTC)
DAYS = [date(2026, 11, 16) + timedelta(days=n) for n in range(14)]
WORKING = [day for day in DAYS if day.weekday() < 5 and day.day not in (26, 27)]
STALE, GROWING, BUSY, DOWN, CUT, RENAMED = (date(2026, 11, n) for n in (17, 18, 19, 20, 24, 25))
LEARNING, LANGUAGE = "/rss/cs.LG", "/rss/cs.CL"
MOVED = "/feeds/rss/cs.CL"


def script() -> list[Scripted]:
    """Each working day four papers: one of either category, one in both, and one that is replaced
    three days later."""
    numbers = itertools.count(1)
    papers = []
    for day in WORKING:
        later = day + timedelta(days=3)
        kinds = [("cs.LG",), ("cs.CL",), ("cs.LG", "cs.CL"), ("cs.CL", "stat.ML")]
        for codes in kinds:
            replaced = later if codes == ("cs.CL", "stat.ML") and later in WORKING else None
            papers.append(Scripted(f"2611.{next(numbers):05}", codes, day, replaced))
    return papers


@dataclass
class Faults:
    """What goes wrong with the feeds, and when."""

    arxiv: Arxiv

    def shown(self, path: str, now: datetime, day: date) -> date | Answer:
        if day == STALE and (path == LANGUAGE or now.hour < 10):
            return day - timedelta(days=1)  # with today's date: see Arxiv.feed_body
        if day == BUSY and now.hour < 9:
            return Answer(429, headers={"Retry-After": "3600"})
        if day == DOWN and path == LEARNING:
            return Answer(503)
        if day == CUT and path == LEARNING and now.hour < 7:
            body = self.arxiv.feed_body(("cs.LG",), day, day)
            return Answer(body=body[: len(body) // 2])
        if day >= CUT and path == LANGUAGE:
            return Answer(301, headers={"Location": MOVED})
        return day


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Fewer looks a day, so that the tests take less time."""
    feeds = settings.feeds.model_copy(update={"interval_minutes": 180})
    return settings.model_copy(update={"feeds": feeds})


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as plan:
        yield plan


@pytest.fixture
def arxiv(source: Source, clock: Clock) -> Arxiv:
    papers = script()
    clock.moment = START
    arxiv = Arxiv(papers, clock, source.url)
    arxiv.shown = Faults(arxiv).shown
    growing = [paper for paper in papers if paper.day == GROWING][2:]
    arxiv.late = dict.fromkeys(
        (paper.id for paper in growing), datetime(2026, 11, 18, 11, tzinfo=UTC)
    )
    arxiv.guid = lambda paper, now: (
        f"https://arxiv.org/abs/{paper.id}"
        if now.date() >= RENAMED
        else f"oai:arXiv.org:{paper.id}"
    )
    source.otherwise = arxiv.answer
    return arxiv


def tick(app: App, arxiv: Arxiv) -> None:
    subscribers.end_pauses(app)
    deliver(app)  # first, as by its own clock: what is read in this tick comes with the next
    ingest_due(app)
    fill_due(app, arxiv.routes)


def play(
    app: App, arxiv: Arxiv, clock: Clock, events: dict[datetime, Callable[[], object]]
) -> None:
    while clock.moment < START + timedelta(days=13, hours=12):
        for moment in [moment for moment in events if moment <= clock.moment]:
            events.pop(moment)()
        tick(app, arxiv)
        clock.forward(minutes=30)


# Readers, and what becomes of each day of theirs, from Monday, the 16th, to Sunday, the 29th

READERS = {
    # at 05:40, when the feeds have just been read, or ought to have been
    "early": Changes(send_at="05:40"),
    "mid": Changes(send_at="08:40"),
    "daily": Changes(),
    "weekly": Changes(frequency="weekly"),
    "picky": Changes(min_score=0.999),
    "deaf": Changes(muted=["case"]),
    "away": Changes(),  # from the 18th to the 24th
    "gone": Changes(),  # whose mailbox is no more
    "later": Changes(send_at="23:30"),
}
NEWCOMER = "new"  # from the 24th, at noon

_SENT, _QUIET, _BELOW, _MUTED = "sent", "nothing-announced", "below-min-score", "muted"
_LATE, _STALE, _FAILING = "source-late", "source-stale", "source-failing"
# Thanksgiving, the day after it, and the weekend
_HOLIDAYS = [_QUIET] * 4
_WEEKEND = [_QUIET] * 2
OUTCOMES: dict[str, list[str]] = {
    # On the 17th nothing had been read since midnight at New York; what came too late for an hour
    # came the next morning, even of the 20th on a Saturday.
    "early": [
        *(_SENT, _LATE, _SENT, _SENT, _SENT, _SENT, _QUIET),
        *(_LATE, _SENT, _SENT, _SENT, *_HOLIDAYS[1:]),
    ],
    # On the 17th both feeds had been found to show an earlier day, on the 19th both refused us.
    "mid": [
        *(_SENT, _STALE, _SENT, _FAILING, _SENT, _SENT, _QUIET),
        *(_SENT, _SENT, _SENT, *_HOLIDAYS),
    ],
    "daily": [
        *(_SENT, _LATE, _SENT, _FAILING, _SENT, _SENT, _QUIET),
        *(_SENT, _SENT, _SENT, *_HOLIDAYS),
    ],
    "weekly": [_SENT, *["waiting"] * 6, _SENT, *["waiting"] * 6],
    # What did not reach the bar one day is measured again with the next, for a week.
    "picky": [_BELOW] * 14,
    "deaf": [_MUTED] * 14,
    "away": [_SENT, _LATE, *["paused"] * 6, _SENT, _SENT, *_HOLIDAYS],
    "gone": ["failed", *["bounced"] * 13],
    "later": [
        *([_SENT] * 5),
        *_WEEKEND,
        *(_SENT, _SENT, _SENT, *_HOLIDAYS[1:], "waiting"),
    ],
    "new": [*["not-subscribed"] * 9, _SENT, *_HOLIDAYS],
}


class Sink(Mailbox):
    """Knows no `gone`."""

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        if address.startswith("gone@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"


@pytest.fixture
def mailbox() -> Iterator[Sink]:
    box = Sink(port=free_port())
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    yield box
    controller.stop()


def steady(url: str) -> str:
    """The address with a query that makes its waits after failures the shortest there are: they
    differ from address to address, and the port of a test's server from run to run."""
    hour = timedelta(hours=1)
    tried = (f"{url}?n={n}" for n in itertools.count())
    return next(
        one
        for one in tried
        if all(wait_after(n, hour, None, one) < hour * 2 ** (n - 1) * 1.02 for n in (1, 2, 3))
    )


def join(app: App, name: str, changes: Changes) -> int:
    person = subscribers.add(app, f"{name}@reader.test", changes)
    assert person.id
    return person.id


def told(app: App) -> dict[str, list[str]]:
    """Each reader's outcomes of the fourteen days."""
    return {
        name: [outcomes.why(app, f"{name}@reader.test", day).outcome for day in DAYS]
        for name in (*READERS, NEWCOMER)
    }


def expected(arxiv: Arxiv, path: str) -> set[tuple[str, date, str]]:
    categories = arxiv_categories(path)
    return {
        (paper.key, day, kind)
        for paper in arxiv.papers
        for day in WORKING
        if (kind := paper.kind(categories, day))
    }


def announced(app: App) -> dict[tuple[str, date, str], bool]:
    with app.db.read() as session:
        query = select(Paper.key, Announcement.day, Announcement.kind, Announcement.derived)
        found = session.exec(query.join(Announcement)).all()
    return {(key, day, kind): derived for key, day, kind, derived in found}


def batches(app: App) -> dict[tuple[str, date], Batch]:
    with app.db.read() as session:
        return {(row.category, row.day): row for row in session.exec(select(Batch))}


def everything(app: App) -> list[object]:
    """All that was stored, but for the batch of the last day: a Sunday, on which nobody looked."""
    with app.db.read() as session:
        return [
            [row.model_dump() for row in session.exec(query)]
            for query in (
                select(Paper),
                select(Announcement),
                select(Digest).order_by(col(Digest.id)),
                select(OutboxMessage).order_by(col(OutboxMessage.id)),
                select(Batch).where(Batch.day != DAYS[-1]).order_by(col(Batch.id)),
            )
        ]


@pytest.mark.sqlite
def test_two_weeks_of_real_life(
    app: App, arxiv: Arxiv, clock: Clock, source: Source, mailbox: Sink
) -> None:
    asked: list[tuple[datetime, str]] = []

    def answer(path: str) -> Answer:
        asked.append((clock.moment, path.partition("?n")[0]))
        return arxiv.answer(path)

    source.otherwise = answer
    for path in (LEARNING, LANGUAGE):
        add_feed(app, steady(source.url + path), "arxiv")
    ids = {name: join(app, name, changes) for name, changes in READERS.items()}
    events: dict[datetime, Callable[[], object]] = {
        datetime(2026, 11, 18, tzinfo=UTC): lambda: subscribers.pause(
            app, ids["away"], date(2026, 11, 24)
        ),
        datetime(2026, 11, 24, 12, tzinfo=UTC): lambda: join(app, NEWCOMER, Changes()),
    }
    play(app, arxiv, clock, events)
    for name, outcome in told(app).items():
        assert (name, outcome) == (name, OUTCOMES[name])
    _every_mail_once(app, mailbox)
    _exactly_the_scripts_papers(app, arxiv)
    _every_batch_as_it_was(app, arxiv)
    _politely(asked)
    learning, language = list_feeds(app)
    assert language.url == source.url + MOVED
    assert (learning.failures, language.failures) == (0, 0)

    before, mails = (
        everything(app),
        len(mailbox.envelopes),
    )  # a second run of everything changes nothing
    ingest_sources(app, [feed.url for feed in list_feeds(app)])
    backfill(app, DAYS[0], DAYS[-1], arxiv.routes)
    tick(app, arxiv)
    for now, then in zip(everything(app), before, strict=True):
        assert now == then
    assert told(app) == OUTCOMES
    assert len(mailbox.envelopes) == mails


def _every_mail_once(app: App, mailbox: Sink) -> None:
    """Each outcome `sent` is one mail of that day, and no reader ever gets a paper again."""
    promised = Counter(
        (f"{name}@reader.test", day)
        for name, days in OUTCOMES.items()
        for day, outcome in zip(DAYS, days, strict=True)
        if outcome == _SENT
    )
    arrived = Counter(
        (str(mail["To"]), parsedate_to_datetime(str(mail["Date"])).date())
        for mail in mailbox.messages
    )
    assert arrived == promised
    with app.db.read() as session:
        picks = session.exec(select(Pick.subscriber_id, Pick.paper_id)).all()
        daily = subscribers.find(session, "daily@reader.test").id
        # what came of the last day after its digest goes with that of the next listing day
        due = set(session.exec(select(Paper.id).where(col(Paper.announced_day) < WORKING[-1])))
    assert len(picks) == len(set(picks))
    assert due <= {paper for reader, paper in picks if reader == daily}


def _exactly_the_scripts_papers(app: App, arxiv: Arxiv) -> None:
    with app.db.read() as session:
        papers = {paper.key: paper for paper in session.exec(select(Paper))}
    assert set(papers) == {paper.key for paper in arxiv.papers}
    for paper in arxiv.papers:
        stored = papers[paper.key]
        assert stored.announced_day == paper.day
        assert (stored.title, stored.version) == (paper.title, 2 if paper.replaced else 1)
        assert set(stored.categories) == set(paper.categories)

    found = announced(app)
    assert set(found) == expected(arxiv, LEARNING) | expected(arxiv, LANGUAGE)
    # of the day on which one feed was down all day, its papers came by their records
    assert {key for key, derived in found.items() if derived} == expected(
        arxiv, LEARNING
    ) - expected(arxiv, LANGUAGE) - {key for key in found if key[1] != DOWN}


def _every_batch_as_it_was(app: App, arxiv: Arxiv) -> None:
    rows = batches(app)
    assert open_batches(app) == []
    verdicts = {key: (row.verdict, row.route) for key, row in rows.items()}
    for category in ("cs.LG", "cs.CL"):
        for day in DAYS:
            if day not in WORKING:
                wanted = {None, ("empty-expected", "feed")}
                assert verdicts.get((category, day)) in wanted
    assert verdicts["cs.CL", STALE] == ("filled", "list")
    assert verdicts["cs.LG", DOWN] == ("filled", "oai")
    usual = {key: row for key, row in rows.items() if key[1] in WORKING}
    assert len(usual) == 2 * len(WORKING)
    assert {row.verdict for row in usual.values()} == {"new", "filled"}
    for (category, day), row in usual.items():
        kinds = [kind for _, on, kind in expected(arxiv, f"/rss/{category}") if on == day]
        assert row.counts == {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert figures(app)["papers_missing"] == 0


def _politely(asked: list[tuple[datetime, str]]) -> None:
    busy = [at for at, path in asked if at.date() == BUSY and path == LEARNING]
    assert busy[1] - busy[0] >= timedelta(hours=1)  # as Retry-After asked
    down = [at for at, path in asked if at.date() == DOWN and path == LEARNING]
    assert 2 <= len(down) <= 4  # ever more rarely, and not given up
    resting = {at.date() for at, path in asked if path == LEARNING and at.weekday() > 4}
    # a day of rest is no matter to the feed that still tries after the day on which it failed
    assert resting <= {DOWN + timedelta(days=1), DOWN + timedelta(days=2)}


@pytest.mark.parametrize("broken", [set(), {"oai"}])
def test_after_a_week_without_us_nothing_is_missing(
    app: App, arxiv: Arxiv, clock: Clock, source: Source, broken: set[str]
) -> None:
    """The process is off from Tuesday to the next Tuesday."""
    arxiv.shown = lambda _path, _now, day: day
    arxiv.late, arxiv.broken = {}, broken
    for path in (LEARNING, LANGUAGE):
        add_feed(app, source.url + path, "arxiv")
    tick(app, arxiv)
    clock.moment = datetime(2026, 11, 24, 9, tzinfo=UTC)
    tick(app, arxiv)
    wanted = {
        (key, day, kind)
        for key, day, kind in expected(arxiv, LEARNING) | expected(arxiv, LANGUAGE)
        if day <= clock.moment.date()
    }
    found = announced(app)
    assert {one for one in wanted if one[2] in ("new", "cross")} <= set(found)
    stated = {day for (_, day, _), derived in found.items() if not derived}
    assert stated == {date(2026, 11, 16), date(2026, 11, 24)}
    route = "api" if broken else "oai"
    filled = {row.day: row for row in batches(app).values() if row.category == "cs.LG"}
    assert {filled[day].route for day in WORKING[1:6]} == {route}
    assert {filled[day].verdict for day in WORKING[1:6]} == {"filled"}
    assert open_batches(app) == []


def test_one_feed_of_two_categories_is_judged_and_filled_by_category(
    app: App, arxiv: Arxiv, clock: Clock, source: Source
) -> None:
    union = "/rss/cs.LG+cs.CL"
    arxiv.shown = lambda _path, _now, day: day
    arxiv.late = {}
    add_feed(app, source.url + union, "arxiv")
    tick(app, arxiv)
    clock.moment = datetime(2026, 11, 24, 9, tzinfo=UTC)
    tick(app, arxiv)
    wanted = {one for one in expected(arxiv, union) if one[1] <= clock.moment.date()}
    # a paper that was replaced within the week comes once, as new
    assert {one for one in wanted if one[2] in ("new", "cross")} == set(announced(app)) - {
        one for one in announced(app) if one[2].startswith("replace")
    }
    rows = batches(app)
    assert {category for category, _ in rows} == {"cs.LG", "cs.CL"}
    assert {row.verdict for row in rows.values()} == {"new", "filled"}
    assert rows["cs.LG", DOWN].counts == {"new": 2}


def test_what_cannot_be_filled_is_named_and_tried_again(
    app: App, arxiv: Arxiv, clock: Clock, source: Source
) -> None:
    arxiv.broken = {"list", "oai", "api"}
    add_feed(app, source.url + LANGUAGE, "arxiv")
    while clock.moment.date() <= STALE:
        tick(app, arxiv)
        clock.forward(hours=1)
    (batch,) = open_batches(app)
    assert (batch.category, batch.day, batch.verdict) == ("cs.CL", STALE, "stale-suspect")
    assert figures(app)["stale-suspect"] == 1
    assert {day for _, day, _ in announced(app)} == {STALE - timedelta(days=1)}
    arxiv.broken = set()
    clock.forward(days=1)
    tick(app, arxiv)
    assert open_batches(app) == []
    assert expected(arxiv, LANGUAGE) >= {one for one in announced(app) if one[1] == STALE}
    assert len({one for one in announced(app) if one[1] == STALE}) == 3


def test_an_empty_feed_on_a_working_day_is_checked_against_the_list(
    app: App, arxiv: Arxiv, clock: Clock, source: Source
) -> None:
    """A deferral: arXiv announces nothing on a day that the calendar counts as a working day."""
    arxiv.shown = lambda _path, _now, day: day
    arxiv.papers = [paper for paper in arxiv.papers if paper.day != STALE]
    feed = add_feed(app, source.url + LEARNING, "arxiv")
    while clock.moment < START + timedelta(days=1, hours=6):
        tick(app, arxiv)
        clock.forward(minutes=10 if clock.moment.date() == STALE else 60)
    row = batches(app)["cs.LG", STALE]
    assert (row.verdict, row.route) == ("empty-expected", "list")
    assert feed.id
    with app.db.read() as session:
        stored = session.get(Feed, feed.id)
    assert stored
    assert stored.outcome == "Empty. cs.LG is empty although a batch is due."
