"""The stored papers as a visitor browses them: by day, by category, by search, and what trends."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from digest import editions, feedback, schedule, searching
from digest.db import Db
from digest.errors import InputError
from digest.models import Edition, Feedback, Paper, Upvotes

ON_FRONT = 8
ON_PAGE = 40
CATEGORIES_SHOWN = 12
NEWEST = "newest"
SORTS = {"day": (NEWEST, "trending"), "search": (NEWEST, "best")}
# Readers' votes are told from the first of these on, and only which of these are reached, so that
# no count tells of one reader's vote.
STEPS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


@dataclass(frozen=True, slots=True)
class Query:
    """What a listing is asked for: page `number` (from 1) of a day, or of a search."""

    day: date | None
    search: str = ""
    category: str = ""
    sort: str = NEWEST
    number: int = 1


@dataclass(frozen=True, slots=True)
class Page:
    """Page `number` of a listing of `total` papers on `pages` pages; `reached` says that a search
    may have found more than it brings. `day` is the one shown, `before` and `after` have papers
    too; `newest` is the last day there is; `categories` are the listing's most frequent with their
    counts; `upvotes` are those of the papers by id."""

    day: date | None
    papers: Sequence[Paper]
    total: int
    number: int
    pages: int
    reached: bool
    before: date | None
    after: date | None
    newest: date | None
    categories: Sequence[tuple[str, int]]
    upvotes: dict[int, int]


def browse(session: Session, query: Query) -> Page:
    """The day's papers, the newest day's without one; with a search, what it finds. Raises
    InputError for an order that there is not."""
    known = SORTS["search" if query.search else "day"]
    if query.sort not in known:
        raise InputError(f"sort: expected {' or '.join(known)}")
    newest = newest_day(session)
    day = query.day or newest
    ids, counts = _found(session, query) if query.search else _of_day(session, day, query)
    pages = max(1, -(-len(ids) // ON_PAGE))
    number = min(query.number, pages)
    shown = ids[(number - 1) * ON_PAGE : number * ON_PAGE]
    before, after = _neighbours(session, day)
    return Page(
        day=day,
        papers=_in_order(session, shown),
        total=len(ids),
        number=number,
        pages=pages,
        reached=bool(query.search) and len(ids) >= searching.REACH,
        before=before,
        after=after,
        newest=newest,
        categories=counts.most_common(CATEGORIES_SHOWN),
        upvotes=_upvotes(session, shown),
    )


def named(session: Session, asked: str) -> Paper | None:
    """The announced paper whose id (of arXiv, a DOI, an address) was typed for a search."""
    try:
        paper = feedback.find_paper(session, asked)
    except InputError:
        return None
    return paper if is_public(paper) and paper.announced_day is not None else None


def is_public(paper: Paper) -> bool:
    """What a reader pasted is not for all to see, nor is a record that is a part of another."""
    return paper.version > 0 and paper.merged_into is None


def newest_day(session: Session) -> date | None:
    return session.exec(select(func.max(Paper.announced_day))).one()


@lru_cache(maxsize=4)
def in_use(db: Db, day: date) -> frozenset[str]:
    """The categories of the papers of the week up to `day`; looked for once."""
    with db.read() as session:
        within = col(Paper.announced_day).between(*schedule.window(day))
        rows = session.exec(select(Paper.categories).where(within))
        return frozenset(code for codes in rows for code in codes)


def upvotes_of(session: Session, paper: Paper) -> int:
    """The most upvotes that any source has counted for the paper."""
    return _upvotes(session, [paper.id or 0]).get(paper.id or 0, 0)


def likes_of(session: Session, paper: Paper) -> int:
    """The highest of STEPS that this service's readers' thumbs up have reached; 0 below all."""
    return _likes(session, [paper.id or 0]).get(paper.id or 0, 0)


def front_papers(session: Session, day: date | None) -> tuple[bool, Sequence[Any]]:
    """Whether they are trending, and the papers: as the day's digests have them, else the week's
    most upvoted, else the newest."""
    if day is None:
        return False, []
    edition = session.get(Edition, day)
    if edition is not None and edition.trending:
        return True, edition.trending[:ON_FRONT]
    if liked := _liked_since(session, day - timedelta(days=schedule.DAYS_BACK)):
        papers = _in_order(session, list(liked))
        return True, [editions.card(one) | {"upvotes": liked[one.id or 0]} for one in papers]
    newest = select(Paper).where(Paper.announced_day == day).order_by(col(Paper.id).desc())
    return False, session.exec(newest.limit(ON_FRONT)).all()


def _liked_since(session: Session, day: date) -> dict[int, int]:
    """The most upvoted of the papers announced after the day, best first, with their counts."""
    count = func.max(Upvotes.count)
    most = (
        select(Upvotes.paper_id, count)
        .join(Paper, col(Upvotes.paper_id) == col(Paper.id))
        .where(col(Upvotes.day) > day, col(Paper.announced_day) > day)
        .group_by(col(Upvotes.paper_id))
        .having(count > 0)
        .order_by(count.desc(), col(Upvotes.paper_id))
        .limit(ON_FRONT)
    )
    return dict(session.exec(most).all())


def _of_day(session: Session, day: date | None, query: Query) -> tuple[list[int], Counter[str]]:
    """The ids of the day's papers in the order wished for, and its categories' counts."""
    listed = session.exec(
        select(Paper.id, Paper.categories)
        .where(Paper.announced_day == day)
        .order_by(col(Paper.id).desc())
    ).all()
    counts = Counter(code for _, codes in listed for code in set(codes))
    ids = [paper or 0 for paper, codes in listed if query.category in ("", *codes)]
    if query.sort == "trending":
        heat = Counter(_upvotes(session, ids)) + Counter(_likes(session, ids))
        ids.sort(key=lambda paper: -heat[paper])
    return ids, counts


def _found(session: Session, query: Query) -> tuple[list[int], Counter[str]]:
    """The ids of the papers found, and their categories' counts."""
    ids = searching.search(
        session,
        searching.parse(query.search),
        category=query.category,
        day=query.day,
        best=query.sort == "best",
    )
    held = _by_paper(session, select(Paper.id, Paper.categories), col(Paper.id), ids)
    return ids, Counter(code for codes in held.values() for code in set(codes))


def _in_order(session: Session, ids: Sequence[int]) -> list[Paper]:
    papers = {paper.id: paper for paper in editions.papers_by_id(session, ids)}
    return [papers[paper] for paper in ids if paper in papers]


def _upvotes(session: Session, ids: Iterable[int]) -> dict[int, int]:
    """The most upvotes that any source has counted, of the papers that have any."""
    most = func.max(Upvotes.count)
    counts = select(Upvotes.paper_id, most).group_by(col(Upvotes.paper_id)).having(most > 0)
    return _by_paper(session, counts, col(Upvotes.paper_id), ids)


def _likes(session: Session, ids: Iterable[int]) -> dict[int, int]:
    """The step reached by readers' thumbs up, of the papers that reached any."""
    up = select(Feedback.paper_id, func.count()).where(Feedback.vote == 1)
    up = up.group_by(col(Feedback.paper_id)).having(func.count() >= STEPS[0])
    counted = _by_paper(session, up, col(Feedback.paper_id), ids)
    return {paper: max(step for step in STEPS if step <= n) for paper, n in counted.items()}


def _by_paper(session: Session, asked: Any, column: Any, ids: Iterable[int]) -> dict[int, Any]:
    """What is `asked` (pairs of a paper's id and anything) of these papers."""
    wanted = sorted(ids)
    found: dict[int, Any] = {}
    for start in range(0, len(wanted), 500):
        found.update(session.exec(asked.where(column.in_(wanted[start : start + 500]))).all())
    return found


def _neighbours(session: Session, day: date | None) -> tuple[date | None, date | None]:
    announced = col(Paper.announced_day)
    if day is None:
        return None, None
    before = session.exec(select(func.max(announced)).where(announced < day)).one()
    after = session.exec(select(func.min(announced)).where(announced > day)).one()
    return before, after
