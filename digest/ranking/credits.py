"""Who wrote a day's papers and what their texts say, as readers follow and mute it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from digest.ranking.names import Person, person, same
from digest.ranking.profile import Profile
from digest.ranking.text import words

_NAMES_KEPT = 5000


@dataclass(frozen=True, eq=False)
class Credits:
    """Of a day's papers, what the rules look at: authors, and the words of title and abstract."""

    authors: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]
    _asked: dict[str, dict[int, str]] = field(default_factory=dict, repr=False)
    _said: dict[str, frozenset[int]] = field(default_factory=dict, repr=False)

    def by(self, name: str) -> Mapping[int, str]:
        """The rows by a person of this name, each with the name as the paper gives it."""
        if name not in self._asked:
            if len(self._asked) >= _NAMES_KEPT:
                self._asked.clear()
            wanted, found = person(name), dict[int, str]()
            for row, written, who in self.by_surname.get(wanted.surname, ()):
                if same(wanted, who):
                    found.setdefault(row, written)
            self._asked[name] = found
        return self._asked[name]

    def first(self, count: int) -> "Credits":
        """Those of the first papers."""
        return Credits(self.authors[:count], self.texts[:count])

    @cached_property
    def by_author(self) -> Mapping[str, set[int]]:
        """The rows of each author, the names without case, marks and punctuation."""
        found: dict[str, set[int]] = defaultdict(set)
        for row, names in enumerate(self.authors):
            for name in names:
                found[_plain(name)].add(row)
        return dict(found)

    @cached_property
    def by_surname(self) -> Mapping[str, Sequence[tuple[int, str, Person]]]:
        """Who wrote what: (row, name as the paper gives it, person) by surname."""
        found: dict[str, list[tuple[int, str, Person]]] = {}
        for row, names in enumerate(self.authors):
            for name in names:
                who = person(name)
                found.setdefault(who.surname, []).append((row, name, who))
        return found

    @cached_property
    def plain_texts(self) -> tuple[str, ...]:
        """The texts as words between single spaces, one before and one behind."""
        return tuple(f" {_plain(text)} " for text in self.texts)

    @cached_property
    def by_word(self) -> Mapping[str, set[int]]:
        """The rows whose text has the word."""
        found: dict[str, set[int]] = defaultdict(set)
        for row, text in enumerate(self.plain_texts):
            for word in text.split():
                found[word].add(row)
        return dict(found)

    def saying(self, phrase: str) -> Set[int]:
        """The rows whose text has the words of the phrase in a row; none where it has no word."""
        if phrase not in self._said:
            if len(self._said) >= _NAMES_KEPT:
                self._said.clear()
            plain = _plain(phrase)
            having = [self.by_word.get(word, set()) for word in plain.split()]
            rows = set.intersection(*having) if having else set()
            self._said[phrase] = frozenset(r for r in rows if f" {plain} " in self.plain_texts[r])
        return self._said[phrase]


def muted(credit: Credits, profile: Profile) -> set[int]:
    """The rows of papers that the reader wants to see nothing of."""
    by_name = (credit.by_author.get(_plain(name), set()) for name in profile.muted_authors)
    return set().union(*by_name, *(credit.saying(phrase) for phrase in profile.muted_words))


def followed(
    credit: Credits, profile: Profile, scores: np.ndarray, closed: np.ndarray
) -> dict[int, str]:
    """The rows by followed authors that are not closed, best first, each with the name as the paper
    gives it. `scores` and `closed` are of one reader."""
    found: dict[int, str] = {}
    for name in reversed(profile.authors):
        found |= credit.by(name)
    best = sorted((-scores[row], row) for row in found if not closed[row])
    return {row: found[row] for _, row in best}


def _plain(text: str) -> str:
    return " ".join(words(text))
