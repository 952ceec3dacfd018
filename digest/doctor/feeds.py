"""Feeds that fail, are silent, were never right, or bring less than they should."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from digest import alerts
from digest.app import App
from digest.categories import exists
from digest.doctor.finding import LATE_AFTER, Finding
from digest.feeds import batches
from digest.feeds.routes import arxiv_categories
from digest.models import Feed, Subscriber

# A long weekend with a holiday on either side is no silence yet.
SILENT_AFTER = timedelta(days=5)
# A weekend, and a day to make it up.
EMPTY_AFTER = timedelta(days=3)
FAILING_AFTER = 3
MOST_BATCHES = 10
ARXIV = "https://rss.arxiv.org/rss/"


def each(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        feeds = session.exec(select(Feed).order_by(col(Feed.id))).all()
    if not feeds:
        yield Finding(
            "feeds", "warn", "There is no feed, so there will be no mail.", "`digest feeds add URL`"
        )
        return
    troubles = [finding for feed in feeds if (finding := _trouble(app, feed))]
    yield from troubles
    if not troubles:
        few = "The only one neither fails nor is"
        none = few if len(feeds) == 1 else f"None of {len(feeds)} fails or is"
        yield Finding("feeds", "ok", f"{none} silent or overdue.")


def _trouble(app: App, feed: Feed) -> Finding | None:
    if feed.failures:
        return _failing(feed)
    name, now = f"feed {feed.id}", app.now()
    if feed.checked_at is None or now - feed.next_fetch_at > LATE_AFTER:
        if now - feed.added_at < LATE_AFTER:
            return None
        return Finding(
            name,
            "warn",
            f"{feed.url} has not been fetched since it was due.",
            "See that `digest run` is running, or run `digest ingest`.",
        )
    return _silent(feed, now)


def _failing(feed: Feed) -> Finding | None:
    """One failure is no trouble yet, unless the feed was never read."""
    never = feed.changed_at is None and not feed.title
    if not never and feed.failures < FAILING_AFTER:
        return None
    if feed.trouble == "no host":
        return Finding(
            f"feed {feed.id}",
            "fail",
            f"{feed.url} cannot be asked: {feed.outcome}",
            "See that this machine reaches the Internet and resolves names; if others do come,"
            " look for a typo in the address.",
        )
    if never:
        return Finding(
            f"feed {feed.id}",
            "fail",
            f"{feed.url} could never be read: {feed.outcome}",
            "Open it in a browser: it must be the feed itself, not a page about it. `digest feeds"
            f" remove {feed.id}`, then `digest feeds add` with the right address.",
        )
    return Finding(
        f"feed {feed.id}",
        "fail",
        f"{feed.url} failed {feed.failures} times in a row: {feed.outcome}",
        f"Open it in a browser; `digest feeds remove {feed.id}` if it is gone.",
    )


def _silent(feed: Feed, now: datetime) -> Finding | None:
    if feed.changed_at is None and now - feed.added_at > EMPTY_AFTER:
        return Finding(
            f"feed {feed.id}",
            "warn",
            f"{feed.url} has brought no paper since it was added.",
            "See in a browser whether it lists anything, and whether its address names what you"
            " want: arXiv answers a category that it does not have with an empty list.",
        )
    last = feed.changed_at or feed.added_at
    if now - last > SILENT_AFTER:
        return Finding(
            f"feed {feed.id}",
            "warn",
            f"{feed.url} has brought nothing new for {(now - last).days} days.",
            "Open it in a browser, and look whether it has moved.",
        )
    return None


def doubtful(app: App) -> Iterator[Finding]:
    found = batches.open_batches(app)
    for batch in found[:MOST_BATCHES]:
        day = batch.day
        by_hand = "Open the source's page and see: its feed shows only the newest papers."
        again = f"It is asked for again by itself; at once by `digest ingest --from {day}`."
        mend = again if batch.fill_at else by_hand
        yield Finding(f"batch {day}", "warn", batches.told(batch), mend)
    if len(found) > MOST_BATCHES:
        yield Finding(
            "batches",
            "warn",
            f"{len(found) - MOST_BATCHES} more batches are in doubt.",
            f"Run `digest ingest --from {found[-1].day}`.",
        )


def late(app: App) -> Iterator[Finding]:
    """What the operator is told of; failing and silent feeds have a finding already."""
    with app.db.read() as session:
        found = alerts.troubles(session, app.now())
    for trouble in found:
        if trouble.name == "silence" or trouble.name.endswith(" late"):
            yield Finding(
                trouble.name,
                "warn",
                trouble.sentence,
                "`digest stats` counts what became of the readers’ days; `digest why EMAIL` tells"
                " of one.",
            )


def wished(app: App) -> Iterator[Finding]:
    """Categories that arXiv does not have, and those that readers want and no feed brings."""
    with app.db.read() as session:
        feeds = session.exec(select(Feed).where(col(Feed.kind).startswith("arxiv"))).all()
        wanted = _wanted(session)
    brought = {code for feed in feeds for code in arxiv_categories(feed.url)}
    if unknown := sorted(code for code in brought if code and not exists(code)):
        yield Finding(
            "categories",
            "fail",
            f"arXiv has no category {', '.join(unknown)}, which a feed's address names.",
            "Remove that feed, and add one with codes of https://arxiv.org/category_taxonomy.",
        )
    lacking = {
        code: count
        for code, count in wanted.most_common()
        if exists(code) and not any(_covers(feed, code) for feed in brought)
    }
    if feeds and lacking:
        first = ", ".join(f"{code} ({count})" for code, count in list(lacking.items())[:5])
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        yield Finding(
            "categories",
            "warn",
            f"No feed brings categories that readers chose: {first}{more}.",
            f"`digest feeds add {ARXIV}{'+'.join(list(lacking)[:20])}`",
        )


def _wanted(session: Session) -> Counter[str]:
    """How many active readers chose each category."""
    chosen = select(Subscriber.categories).where(Subscriber.status == "active")
    return Counter(code for categories in session.exec(chosen) for code, _ in categories)


def _covers(feed: str, wanted: str) -> bool:
    """A feed of an archive brings all its categories; one without a category brings all there is,
    and a reader's archive is served by any part of it."""
    return (
        not feed or feed == wanted or wanted.startswith(f"{feed}.") or feed.startswith(f"{wanted}.")
    )
