"""Whether two spellings of a name may be one person's: initials, accents, no middle name."""

from dataclasses import dataclass

from digest.ranking.text import words

_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})
_SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv", "phd"})


@dataclass(frozen=True, slots=True)
class Person:
    """A name in small letters without accents: the surname, and the names or initials before it."""

    surname: str
    given: tuple[str, ...] = ()


def person(name: str) -> Person:
    """Reads `Ada B. Lovelace`; the last word is the surname, behind it only Jr. and the like."""
    parts = words(name.casefold().translate(_LETTERS))
    while len(parts) > 1 and parts[-1] in _SUFFIXES:
        parts.pop()
    if not parts:
        return Person("")
    given = (piece for part in parts[:-1] for piece in part.split("-"))
    return Person(parts[-1], tuple(given))


def same(one: Person, other: Person) -> bool:
    """Equal surnames, and given names that do not contradict: an initial stands for any name that
    begins with it, and a middle name may be left out. A name of one word is only itself."""
    if one.surname != other.surname or not one.surname:
        return False
    if not one.given or not other.given:
        return one.given == other.given
    return all(
        mine == theirs or (min(len(mine), len(theirs)) == 1 and mine[0] == theirs[0])
        for mine, theirs in zip(one.given, other.given, strict=False)
    )
