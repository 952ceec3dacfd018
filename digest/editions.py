"""What all digests of a listing day share, fixed before the first is sent: cards and trending."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col, select

from digest import schedule
from digest.db import insert_new
from digest.models import Edition, EditionPaper, Feedback, Paper, Summary, Upvotes
from digest.ranking import trending as trends

TRENDING = 5
_AT_ONCE = 10_000  # votes


def card(paper: Paper, summary: str = "") -> dict[str, Any]:
    """The paper as a day's mails show it; see `digest.mail.contents.Card`."""
    return {
        "key": paper.key,
        "title": paper.title,
        "abstract": paper.abstract,
        "authors": paper.authors,
        "categories": paper.categories,
        "url": paper.url,
        "pdf_url": paper.pdf_url,
        "journal": paper.journal,
    } | ({"summary": summary} if summary else {})


def cards(session: Session, papers: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The papers of these ids as a mail shows them now, with a sentence where one was written."""
    wanted = set(papers)
    written: dict[int, str] = {}
    for start in range(0, len(wanted), 500):
        some = sorted(wanted)[start : start + 500]
        rows = select(Summary.paper_id, Summary.sentence).where(col(Summary.paper_id).in_(some))
        written |= dict(session.exec(rows).all())
    return {
        paper.id or 0: card(paper, written.get(paper.id or 0, ""))
        for paper in papers_by_id(session, wanted)
    }


def freeze(session: Session, day: date, papers: Iterable[int], now: datetime) -> None:
    """Fixes the day's trending list and the cards of `papers`, so that a mail made again later
    shows what it showed before; what is fixed already stays as it is."""
    if session.get(Edition, day) is None:
        edition = {"day": day, "created_at": now, "trending": trending(session, day)}
        insert_new(session, Edition, [edition])
    frozen = set(session.exec(select(EditionPaper.paper_id).where(EditionPaper.day == day)))
    rows = [
        {"day": day, "paper_id": paper, "card": shown}
        for paper, shown in cards(session, set(papers) - frozen).items()
    ]
    if rows:
        insert_new(session, EditionPaper, rows)


def papers_by_id(session: Session, ids: Iterable[int]) -> list[Paper]:
    """The papers of these ids, in their order; read in bundles small enough for any database."""
    wanted = sorted(ids)
    found: list[Paper] = []
    for start in range(0, len(wanted), 500):
        bundle = col(Paper.id).in_(wanted[start : start + 500])
        found += session.exec(select(Paper).where(bundle).order_by(col(Paper.id)))
    return found


def titles_by_id(session: Session, ids: Iterable[int]) -> dict[str, str]:
    """The titles of these papers by id, as the ranker names them."""
    wanted = sorted(ids)
    found: dict[str, str] = {}
    for start in range(0, len(wanted), 500):
        bundle = col(Paper.id).in_(wanted[start : start + 500])
        rows = session.exec(select(Paper.id, Paper.title).where(bundle))
        found |= {str(paper): title for paper, title in rows}
    return found


def trending(session: Session, day: date) -> list[dict[str, Any]]:
    """What many look at as of `day`: cards with `upvotes` (of a source) and `votes` (of readers
    here), best first; empty where nothing qualifies."""
    now = _midnight(day) + schedule.DAY
    recent = col(Paper.announced_day).between(*schedule.window(day))
    upvotes: dict[int, list[trends.Upvotes]] = {}
    counted = sa.select(col(Upvotes.paper_id), col(Upvotes.day), col(Upvotes.count))
    counted = counted.join(Paper, col(Paper.id) == col(Upvotes.paper_id))
    for paper, at, count in session.execute(counted.where(recent, col(Upvotes.day) <= day)):
        upvotes.setdefault(paper, []).append(trends.Upvotes(_midnight(at), count))
    votes = _votes(session, recent, now)
    days = sa.select(col(Paper.id), col(Paper.announced_day)).where(recent)
    announced = dict(session.execute(days).all())
    heard = [
        trends.Attention(
            str(paper),
            _midnight(announced[paper] or day),
            upvotes.get(paper, ()),
            votes[paper].weighed if paper in votes else 0.0,
        )
        for paper in sorted(upvotes.keys() | votes.keys())
    ]
    best = [int(paper) for paper, _ in trends.trending(heard, now, limit=TRENDING)]
    shown = {paper.id: card(paper) for paper in papers_by_id(session, best)}
    return [
        shown[paper]
        | {
            "upvotes": max((counted.count for counted in upvotes.get(paper, ())), default=0),
            "votes": votes[paper].up if paper in votes else 0,
        }
        for paper in best
    ]


class _Votes(NamedTuple):
    """Of one paper: ups less downs, each reader's budget shared out; and the ups alone."""

    weighed: float
    up: int


def _votes(session: Session, recent: Any, now: datetime) -> dict[int, _Votes]:
    """By paper what readers said of it. There are as many votes as readers make in a week: they
    come as three figures each, for a database that sums them up sorts them on its disk."""
    import numpy as np  # noqa: PLC0415 (slow import)

    cast = (
        sa.select(col(Feedback.paper_id), col(Feedback.subscriber_id), col(Feedback.vote))
        .join(Paper, col(Paper.id) == col(Feedback.paper_id))
        .where(recent, col(Feedback.vote) != 0, col(Feedback.voted_at) <= now)
        .execution_options(yield_per=_AT_ONCE)
    )
    found = chain.from_iterable(session.connection().execute(cast))
    paper, reader, vote = np.fromiter(found, np.int32).reshape(-1, 3).T
    _, whose, number = np.unique(reader, return_inverse=True, return_counts=True)
    weight = np.minimum(1, trends.VOTER_BUDGET / number)[whose]
    papers, at = np.unique(paper, return_inverse=True)
    weighed, up = np.bincount(at, vote * weight), np.bincount(at[vote > 0], minlength=len(papers))
    each = zip(papers.tolist(), weighed.tolist(), up.tolist(), strict=True)
    return {paper: _Votes(*said) for paper, *said in each}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
