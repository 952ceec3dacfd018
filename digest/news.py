"""News of papers that a reader liked: a new version, a journal; each told once, in a digest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, exists, select

from digest.db import insert_new
from digest.models import Feedback, Paper, PaperNews, ToldNews

TOLD_WITHIN = timedelta(days=60)
IN_ONE_MAIL = 5
_BUNDLE = 500


Untold = list[tuple[PaperNews, Paper]]


@dataclass(frozen=True, slots=True)
class Change:
    """A stored paper's row before and after; `merged` are the rows that went into it."""

    paper: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    merged: tuple[int, ...] = ()


def line_of(change: Change) -> dict[str, tuple[int, str]]:
    """What to tell of a change, by kind: (version, line); empty where there is nothing, as where
    the paper was known by a reader's word alone until now."""
    before, after = change.before, change.after
    told: dict[str, tuple[int, str]] = {}
    if before["version"] < 1:
        return told
    if after["version"] > before["version"]:
        parts = [name for name in ("title", "abstract") if after[name] != before[name]]
        what = f"{' and '.join(parts)} changed" if parts else "abstract unchanged"
        told["version"] = (after["version"], f"v{after['version']}, {what}")
    if after["journal"] and not before["journal"]:
        told["published"] = (0, f"now published in {after['journal']}")
    elif _elsewhere(after) and not _elsewhere(before):
        told["published"] = (0, f"now published, doi:{after['doi']}")
    return told


def _elsewhere(row: Mapping[str, Any]) -> bool:
    """Whether the paper has a DOI beside the one by which it is known."""
    return bool(row["doi"]) and row["key"] != f"doi:{row['doi']}"


def record(session: Session, changes: Sequence[Change], now: datetime) -> None:
    """Keeps what is news for somebody. Who liked a row that is merged into another knows already
    what the merging adds to the other: that counts as told."""
    lines = {change.paper: told for change in changes if (told := line_of(change))}
    wanted = _liked(session, list(lines))
    rows = [
        {
            "paper_id": paper,
            "kind": kind,
            "version": version,
            "line": line,
            "recorded_at": now,
        }
        for paper in sorted(wanted)
        for kind, (version, line) in lines[paper].items()
    ]
    if rows:
        insert_new(session, PaperNews, rows)
    for change in changes:
        if change.merged and change.paper in wanted:
            _told_by_merging(session, change, lines[change.paper])


def _told_by_merging(
    session: Session, change: Change, lines: Mapping[str, tuple[int, str]]
) -> None:
    news = select(PaperNews.id).where(
        PaperNews.paper_id == change.paper, col(PaperNews.kind).in_(lines)
    )
    knowing = select(Feedback.subscriber_id).where(
        col(Feedback.paper_id).in_(change.merged), Feedback.vote == 1
    )
    readers = set(session.exec(knowing))
    told = [
        {"subscriber_id": reader, "news_id": piece}
        for piece in session.exec(news)
        for reader in readers
    ]
    if told:
        insert_new(session, ToldNews, told)


def _liked(session: Session, papers: Sequence[int]) -> set[int]:
    liked: set[int] = set()
    for start in range(0, len(papers), _BUNDLE):
        some = col(Feedback.paper_id).in_(papers[start : start + _BUNDLE])
        liked |= set(session.exec(select(Feedback.paper_id).where(some, Feedback.vote == 1)))
    return liked


def untold(session: Session, subscriber_ids: Sequence[int], now: datetime) -> dict[int, Untold]:
    """Per reader the news since the reader's like that no digest has told, oldest first."""
    recent = col(PaperNews.recorded_at) > now - TOLD_WITHIN
    if session.exec(select(PaperNews.id).where(recent).limit(1)).first() is None:
        return {}  # else all that the readers ever voted on would be looked through for nothing
    already = exists().where(
        col(ToldNews.subscriber_id) == col(Feedback.subscriber_id),
        col(ToldNews.news_id) == col(PaperNews.id),
    )
    found = session.exec(
        select(Feedback.subscriber_id, PaperNews, Paper)
        .join(Feedback, col(Feedback.paper_id) == col(PaperNews.paper_id))
        .join(Paper, col(Paper.id) == col(PaperNews.paper_id))
        .where(
            recent,
            Feedback.vote == 1,
            Feedback.voted_at <= PaperNews.recorded_at,
            col(Feedback.subscriber_id).in_(subscriber_ids),
            ~already,
        )
        .order_by(col(PaperNews.recorded_at), col(PaperNews.id))
    )
    news: dict[int, Untold] = {}
    for subscriber, piece, paper in found:
        news.setdefault(subscriber, []).append((piece, paper))
    return news


def notes(found: Untold) -> tuple[list[dict[str, str]], list[int]]:
    """The lines that one mail tells, a paper each, and the ids of the news that it settles."""
    papers: dict[int, Untold] = {}
    for piece, paper in found:
        papers.setdefault(paper.id or 0, []).append((piece, paper))
    shown = list(papers.values())[:IN_ONE_MAIL]
    lines = []
    for pieces in shown:
        latest = {piece.kind: piece.line for piece, _ in pieces}  # v3 makes v2 old
        paper = pieces[0][1]
        lines.append({"title": paper.title, "url": paper.url, "line": "; ".join(latest.values())})
    return lines, [piece.id or 0 for pieces in shown for piece, _ in pieces]


def keep_told(
    session: Session, subscriber_id: int, news_ids: Sequence[int], digest_id: int
) -> None:
    """Records that the reader has been told by this digest."""
    row = {"subscriber_id": subscriber_id, "digest_id": digest_id}
    if news_ids:
        insert_new(session, ToldNews, [row | {"news_id": news} for news in news_ids])
