"""What all digests of a listing day share, fixed before the first is sent: cards and trending."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

from sqlmodel import Session, col, select

from digest import schedule
from digest.db import insert_new
from digest.models import Edition, EditionPaper, Feedback, Paper, Summary, Upvotes
from digest.ranking import trending as trends

TRENDING = 5


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
    recent = col(Paper.announced_day).between(*schedule.window(day))
    papers = {paper.id: paper for paper in session.exec(select(Paper).where(recent)) if paper.id}
    upvotes: dict[int, list[trends.Upvotes]] = {}
    for snapshot in session.exec(
        select(Upvotes).join(Paper).where(recent, col(Upvotes.day) <= day)
    ):
        counted = trends.Upvotes(_midnight(snapshot.day), snapshot.count)
        upvotes.setdefault(snapshot.paper_id, []).append(counted)
    votes: dict[int, list[trends.ReaderVote]] = {}
    for vote in session.exec(select(Feedback).join(Paper).where(recent, Feedback.vote != 0)):
        cast = trends.ReaderVote(vote.subscriber_id, vote.vote > 0, vote.voted_at)
        votes.setdefault(vote.paper_id, []).append(cast)
    heard = [
        trends.Attention(
            str(paper),
            _midnight(papers[paper].announced_day or day),
            upvotes.get(paper, ()),
            votes.get(paper, ()),
        )
        for paper in sorted(papers.keys() & (upvotes.keys() | votes.keys()))
    ]
    now = _midnight(day) + schedule.DAY
    return [
        card(papers[int(paper)])
        | {
            "upvotes": max((counted.count for counted in upvotes.get(int(paper), ())), default=0),
            "votes": sum(vote.up for vote in votes.get(int(paper), ())),
        }
        for paper, _ in trends.trending(heard, now, limit=TRENDING)
    ]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
