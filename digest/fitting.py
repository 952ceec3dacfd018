"""The feature space of the newest papers, made from what is known of the former one's."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from digest.db import Db
from digest.models import Feedback, Paper, StoredSpace

if TYPE_CHECKING:
    import numpy as np

    from digest.app import App
    from digest.ranking.corpus import Corpus
    from digest.ranking.features import FeatureSpace

CORPUS = 40_000
EARLIER = 0.25  # of them at the most, that votes name
_AT_ONCE = 500  # papers whose texts are read at once
# What a reader said of a paper trains that reader's model alone.
LISTED = col(Paper.version) > 0


# Of what this process fitted last: the words, and the papers also of the space before it, which
# others may be at.
_WORDS: "dict[tuple[Db, str], Corpus]" = {}
_PAPERS: "dict[tuple[Db, str], np.ndarray]" = {}


@dataclass(frozen=True)
class Fitted:
    """A space, its papers as words, and their ids and when each was changed (2 × papers), all in
    the order of the space's rows."""

    space: "FeatureSpace"
    corpus: "Corpus"
    papers: "np.ndarray"


def fit(app: "App", former: "FeatureSpace | None") -> Fitted:
    """The space of the newest listed papers and earlier ones with votes. Texts are read of those
    alone that came or changed since the former one was fitted."""
    import numpy as np  # noqa: PLC0415 (slow import)

    from digest.ranking.corpus import Corpus  # noqa: PLC0415 (slow import)
    from digest.ranking.counting import count  # noqa: PLC0415 (slow import)
    from digest.ranking.features import FeatureSpace  # noqa: PLC0415 (slow import)

    known, corpus = _kept(app, former)
    with app.db.read() as session:
        papers = _papers(session)
        rows = _rows(papers, known)
        came = Corpus.of(_texts(session, papers[0, rows < 0].tolist()))
    _WORDS.clear()  # their room is needed
    at = np.where(rows < 0, len(corpus) + np.cumsum(rows < 0) - 1, rows)
    corpus = corpus.joined(came)  # step by step: each gives its memory back before the next
    order = np.argsort(corpus.marks[at], kind="stable")
    corpus = corpus.take(at[order])
    corpus = corpus.compact()
    if former:
        fitted = Fitted(former.renewed(corpus, rows[order]), corpus, papers[:, order])
    else:
        fitted = Fitted(FeatureSpace.of_counts(count(corpus)), corpus, papers[:, order])
    _remember(app.db, fitted)
    return fitted


def _remember(db: Db, fitted: Fitted) -> None:
    key = db, fitted.space.version
    _WORDS[key] = replace(fitted.corpus)  # without what was derived from it
    for before in [*_PAPERS][:-1]:
        _PAPERS.pop(before, None)
    _PAPERS[key] = fitted.papers


def papers_of(db: Db, version: str) -> "np.ndarray":
    """The papers of a space and when each was changed, as `Fitted` has them. Raises NoResultFound
    where it is neither stored nor one that this process has just fitted."""
    import numpy as np  # noqa: PLC0415 (slow import)

    if (papers := _PAPERS.get((db, version))) is not None:
        return papers
    stored = select(StoredSpace.papers).where(StoredSpace.version == version)
    with db.read() as session:
        return np.frombuffer(session.exec(stored).one() or b"", "<i8").reshape(2, -1)


def _kept(app: "App", space: "FeatureSpace | None") -> "tuple[np.ndarray, Corpus]":
    """The papers of the space and their words, as this process has them or as they are stored
    beside it; none where there are none, or where another release has stored them."""
    import numpy as np  # noqa: PLC0415 (slow import)

    from digest.ranking.corpus import Corpus  # noqa: PLC0415 (slow import)

    if space and (corpus := _WORDS.get((app.db, space.version))):
        return papers_of(app.db, space.version), corpus
    if space:
        stored = select(StoredSpace.papers, StoredSpace.corpus)
        with app.db.read() as session:
            found = session.exec(stored.where(StoredSpace.version == space.version)).first()
        with suppress(ValueError):
            papers, words = found or (None, None)
            return np.frombuffer(papers or b"", "<i8").reshape(2, -1), Corpus.loads(words or b"")
    return np.zeros((2, 0), np.int64), Corpus.of(())


def _papers(session: Session) -> "np.ndarray":
    """The ids of the papers to learn from, ascending, and when each was changed: the newest, and in
    the place of the last of these, earlier ones that many voted on. For those are in the models of
    their readers, which ask for their rows in each new space."""
    import numpy as np  # noqa: PLC0415 (slow import)

    table, sure = Paper.__table__.c, CORPUS - int(CORPUS * EARLIER)  # type: ignore[attr-defined]
    which = sa.select(table.id, sa.type_coerce(table.updated_at, sa.BigInteger)).where(LISTED)
    newest = _found(session, which.order_by(table.id.desc()).limit(CORPUS))
    if newest.shape[1] == CORPUS:
        paper = col(Feedback.paper_id)
        often = sa.select(paper).where(paper < int(newest[0, sure - 1])).group_by(paper)
        often = often.order_by(sa.func.count().desc(), paper.desc()).limit(CORPUS - sure)
        voted = _found(session, which.where(table.id.in_(often)))
        newest = np.hstack([newest[:, :sure], voted, newest[:, sure:]])
    first = np.sort(np.unique(newest[0], return_index=True)[1])[:CORPUS]
    return newest[:, first[np.argsort(newest[0, first])]]


def _found(session: Session, query: Any) -> "np.ndarray":
    """The two columns of what the query finds."""
    import numpy as np  # noqa: PLC0415 (slow import)

    # Straight from the driver into the array: for so many tuples Python looks for garbage among all
    # that it has, and a row of SQLAlchemy's own takes longer than to find it.
    found: Any = session.connection().execute(query).cursor
    return np.fromiter(chain.from_iterable(found), np.int64).reshape(-1, 2).T


def _rows(papers: "np.ndarray", known: "np.ndarray") -> "np.ndarray":
    """Where among the known ones each paper is, as it was then; -1 where it is not."""
    import numpy as np  # noqa: PLC0415 (slow import)

    if not known.size:
        return np.full(papers.shape[1], -1)
    order = np.argsort(known[0])
    at = order[np.minimum(np.searchsorted(known[0, order], papers[0]), len(order) - 1)]
    return np.where((known[:, at] == papers).all(axis=0), at, -1)


def _texts(session: Session, papers: Sequence[int]) -> Iterator[Any]:
    table = Paper.__table__.c  # type: ignore[attr-defined]
    texts = sa.select(table.title, table.abstract, table.categories).order_by(table.id)
    for start in range(0, len(papers), _AT_ONCE):
        yield from session.execute(texts.where(table.id.in_(papers[start : start + _AT_ONCE])))
