"""From a title and an abstract to terms, and from an abstract to sentences."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

# \"o and \'{e} are letters with a mark; \textit and \times are commands without content.
_ACCENT = re.compile(
    r"\\[\"'`^~=.uvHcdbrk]\s*\{?\\?([A-Za-z])\}?(?![A-Za-z])|\\[\"'`^~=.]\{?([A-Za-z])\}?"
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[^\W_]+(?:[-‐‑][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(\[$\\])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|et al|cf|vs|etc|resp|approx|Fig|Figs|Eq|Eqs|Sec|Tab|Ref|Refs|No|Dr|Prof|St"
    r"|w\.r\.t|a\.k\.a)|\b[A-Z])\.$"
)


@cache
def stop_words() -> frozenset[str]:
    """scikit-learn's English stop words."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # noqa: PLC0415 (slow import)

    return frozenset(ENGLISH_STOP_WORDS)


def words(text: str) -> list[str]:
    """The lower-case words of a text, hyphens inside a word kept, accents and LaTeX marks gone."""
    text = _ACCENT.sub(lambda m: m.group(1) or m.group(2), text) if "\\" in text else text
    text = _COMMAND.sub(" ", text) if "\\" in text else text
    if not text.isascii():
        text = "".join(
            c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
        )
    return [word.replace("‐", "-").replace("‑", "-") for word in _WORD.findall(text.lower())]


def terms(text: str) -> Iterator[str]:
    """The words of more than one letter that are no stop words, and each two that then follow."""
    stop = stop_words()
    kept = [word for word in words(text) if len(word) > 1 and word not in stop]
    yield from kept
    for first, second in pairwise(kept):
        yield f"{first} {second}"


def sentences(text: str) -> list[str]:
    """The sentences of an abstract in order; joined by a space they give the text again."""
    pieces: list[str] = []
    for piece in _SENTENCE_END.split(" ".join(text.split())):
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] = f"{pieces[-1]} {piece}"
        elif piece:
            pieces.append(piece)
    return pieces
