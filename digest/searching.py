"""A search: from what a visitor types to the papers in which all of it occurs, on either database.

The index of words is filled by triggers (see the migration), so that it holds the announced papers
and no others, whoever writes them.
"""

# ruff: noqa: S608 (the statements are put together of pieces written here; values are bound)

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlmodel import Session

REACH = 1000  # papers, the most that a search brings
WEIGHED = 5_000  # of the newest papers found, among which the best are looked for
LONGEST = 200  # characters
SHORTEST_PREFIX = 3  # letters: a shorter beginning is that of half of all words

_SPELT = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe"}  # as the index
)
_ASKED = re.compile(r'"([^"]*)"?|([^\s"]+)')
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must follow each other; of the last, a `prefix` is only the beginning."""

    words: tuple[str, ...]
    prefix: bool = False


def parse(asked: str) -> list[Term]:
    """The terms that must all occur: words, "words in quotes", and beginn*. Anything that is no
    word asks for nothing."""
    terms = []
    for quoted, bare in _ASKED.findall(asked[:LONGEST]):
        asking = tuple(words(quoted or bare))
        if asking:
            prefix = bare.endswith("*") and len(asking[-1]) >= SHORTEST_PREFIX
            terms.append(Term(asking, prefix))
    return list(dict.fromkeys(terms))


def search(
    session: Session,
    terms: Sequence[Term],
    *,
    category: str = "",
    day: date | None = None,
    best: bool = False,
    limit: int = REACH,
) -> list[int]:
    """The ids of at most `limit` papers in which all `terms` occur: the newest first, or the best
    of the newest. No paper where there are no terms."""
    if not terms:
        return []
    terms = [*terms, Term((_code(category),))] if category else terms
    if session.get_bind().dialect.name == "sqlite":
        return _on_sqlite(session, " AND ".join(map(_for_sqlite, terms)), day, best, limit)
    return _on_postgresql(session, " & ".join(map(_for_postgresql, terms)), day, best, limit)


def alike(session: Session, some: Sequence[str], limit: int) -> list[int]:
    """The ids of papers in which any of these words (spelt as `words` does) occurs: those with
    most, and with the rarest, first."""
    terms = [Term((word,)) for word in some]
    if not terms:
        return []
    if session.get_bind().dialect.name == "sqlite":
        return _on_sqlite(session, " OR ".join(map(_for_sqlite, terms)), None, True, limit)
    return _on_postgresql(session, " | ".join(map(_for_postgresql, terms)), None, True, limit)


def words(said: str) -> list[str]:
    """The words of a text as the index spells them: in lower case, without accents."""
    return _WORD.findall(said.lower() if said.isascii() else _bare(said))


def _bare(said: str) -> str:
    parts = unicodedata.normalize("NFD", said.lower().translate(_SPELT))
    bare = "".join(c for c in parts if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFC", bare)


def _code(category: str) -> str:
    """A category as a word of the index."""
    return f"cat{category.encode('utf-8', 'replace').hex()}0"


def _rows(session: Session, statement: str, values: dict[str, object]) -> list[int]:
    values = values | {"weighed": WEIGHED}
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    return list(session.connection().execute(text(statement), used).scalars())


# SQLite: a row's number is its day, in days since 1970, above the id of its paper.

_SHIFT = 40
_WEIGHTS = "4.0, 1.0, 3.0, 0.0"  # of a title, an abstract, authors, categories
_EPOCH = date(1970, 1, 1)


def _for_sqlite(term: Term) -> str:
    return f'"{" ".join(term.words)}"' + (" *" if term.prefix else "")


def _on_sqlite(session: Session, asked: str, day: date | None, best: bool, limit: int) -> list[int]:
    found = "FROM paper_search WHERE paper_search MATCH :asked AND rowid BETWEEN :first AND :last"
    newest = f"SELECT rowid AS row {found} ORDER BY rowid DESC LIMIT :limit"
    if best:
        newest = (
            f"SELECT row FROM (SELECT rowid AS row, bm25(paper_search, {_WEIGHTS}) AS score {found}"
            " ORDER BY rowid DESC LIMIT :weighed) ORDER BY score, row DESC LIMIT :limit"
        )
    number = (day - _EPOCH).days if day else 0
    span = (number << _SHIFT, (number + 1) << _SHIFT) if day else (-(1 << 62), 1 << 62)
    values = {"asked": asked, "first": span[0], "last": span[1], "limit": limit}
    return [row & ((1 << _SHIFT) - 1) for row in _rows(session, newest, values)]


# PostgreSQL: a table beside the papers, with a vector of words.

_LETTERS = "{0.0, 0.25, 0.75, 1.0}"  # of D, C, B, A: categories, an abstract, authors, a title


def _for_postgresql(term: Term) -> str:
    quoted = [f"'{unicodedata.normalize('NFD', word)}'" for word in term.words]  # as the index
    return "(" + " <-> ".join(quoted) + (":*" if term.prefix else "") + ")"


def _on_postgresql(
    session: Session, asked: str, day: date | None, best: bool, limit: int
) -> list[int]:
    found = "FROM paper_search, to_tsquery('paper_words', :asked) AS query WHERE words @@ query"
    found += " AND day = :day" if day else ""
    newest = f"SELECT paper_id {found} ORDER BY day DESC, paper_id DESC LIMIT :limit"
    if best:
        newest = (
            "SELECT paper_id FROM (SELECT paper_id, day,"
            f" ts_rank_cd('{_LETTERS}', words, query) AS score {found}"
            " ORDER BY day DESC, paper_id DESC LIMIT :weighed) AS newest"
            " ORDER BY score DESC, day DESC, paper_id DESC LIMIT :limit"
        )
    return _rows(session, newest, {"asked": asked, "limit": limit, "day": day})
