"""Papers that a reader names to start from: found or made, and voted up."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from digest import feedback, ties
from digest.citations import Citations, Cited
from digest.db import insert_new
from digest.errors import NotFound
from digest.models import Feedback, Paper

ASKED_IN_VAIN = -1  # the version of a paper that its source does not know


@dataclass(frozen=True, slots=True)
class Planted:
    """What became of a text of papers: how many are votes up now, how many of them were before,
    what was not understood, and how many stay voted down."""

    papers: int
    unread: tuple[str, ...]
    known: int = 0
    down: int = 0

    def __add__(self, other: "Planted") -> "Planted":
        return Planted(
            self.papers + other.papers,
            self.unread + other.unread,
            self.known + other.known,
            self.down + other.down,
        )


def plant(session: Session, subscriber_id: int, named: Citations, now: datetime) -> Planted:
    """Records the papers as the reader's votes up, within the caller's transaction. One that the
    reader voted down stays so: who has a paper in a library may not have liked it.

    A paper that is not here becomes a row of version 0, announced on no day: see `wanting`. An
    address alone, of no paper known, is not understood.
    """
    unread = list(named.unread)
    planted = known = down = 0
    for cited in named.papers:
        paper = _found(session, cited) or _made(session, cited, now)
        if paper is None:
            unread.append(cited.label)
            continue
        if _said(session, subscriber_id, paper) == "down":
            down += 1
            continue
        changed = feedback.record(
            session, subscriber_id, paper.id or 0, "up", source="seed", now=now
        )
        planted += 1
        known += not changed
    return Planted(planted, tuple(unread), known, down)


def foresee(session: Session, subscriber_id: int, named: Citations) -> Planted:
    """What `plant` would tell, with nothing changed."""
    unread = list(named.unread)
    planted = known = down = 0
    for cited in named.papers:
        paper = _found(session, cited)
        if paper is None and not _can_be_made(cited):
            unread.append(cited.label)
            continue
        said = _said(session, subscriber_id, paper) if paper else "none"
        planted += said != "down"
        known += said == "up"
        down += said == "down"
    return Planted(planted, tuple(unread), known, down)


def _said(session: Session, subscriber_id: int, paper: Paper) -> str:
    held = session.get(Feedback, (subscriber_id, paper.id))
    return feedback.WORDS[held.vote] if held is not None else "none"


def wanting(session: Session, kind: str, limit: int = 100) -> list[Paper]:
    """Papers known by a reader's word alone, by ids of this `kind` (arxiv, doi): without text, or
    with what a reader pasted. Whoever fetches their records stores them as any other (a version
    from 1 on takes the place of the reader's word); their readers are trained anew by themselves.
    """
    query = select(Paper).where(Paper.version == 0, col(Paper.merged_into).is_(None))
    of_kind = col(Paper.key).startswith(f"{kind}:")
    return list(session.exec(query.where(of_kind).order_by(col(Paper.id)).limit(limit)))


def _found(session: Session, cited: Cited) -> Paper | None:
    for key in cited.keys:
        try:
            return feedback.find_paper(session, key)
        except NotFound:
            continue
    mark = ties.mark(cited.title, cited.authors)
    if mark is None:
        return None
    record = _values(cited)
    alike = session.exec(select(Paper).where(Paper.fingerprint == mark).order_by(col(Paper.id)))
    return next((paper for paper in alike if ties.same_work(paper.model_dump(), record)), None)


def _made(session: Session, cited: Cited, now: datetime) -> Paper | None:
    if not _can_be_made(cited):
        return None
    insert_new(session, Paper, [_values(cited) | {"updated_at": now}])
    return session.exec(select(Paper).where(Paper.key == cited.keys[0])).one()


def _can_be_made(cited: Cited) -> bool:
    return bool(cited.title) or cited.keys[0].startswith(("arxiv:", "doi:"))


def _values(cited: Cited) -> dict[str, object]:
    """The row. It has one id and, where that is a feed's kind, no mark: a reader's word must not
    tie together what feeds will bring."""
    kind, _, name = cited.keys[0].partition(":")
    pages = {"arxiv": "https://arxiv.org/abs/", "doi": "https://doi.org/", "url": ""}
    return {
        "key": cited.keys[0],
        "version": 0,
        "title": cited.title,
        "abstract": cited.abstract,
        "authors": list(cited.authors),
        "categories": [],
        "url": pages[kind] + name if kind in pages else "",
        "doi": None,
        "fingerprint": None if kind in pages else ties.mark(cited.title, cited.authors),
    }
