"""From a title and an abstract to terms, and from an abstract to sentences."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

PLAIN = "="  # marks a bare word, which feeds the latent space; no term contains it

# \"o and \'{e} are letters with a mark; \textit and \times are commands without content.
_ACCENT = re.compile(r"\\[\"'`^~=.]\s*\{?\\?([A-Za-z])\}?|\\[uvHcdbrk]\s*\{\\?([A-Za-z])\}")
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
    if "\\" in text:
        text = _ACCENT.sub(lambda found: found.group(1) or found.group(2), text)
        text = _COMMAND.sub(" ", text)
    if not text.isascii():
        text = "".join(
            c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
        )
    return [word.replace("‐", "-").replace("‑", "-") for word in _WORD.findall(text.lower())]


def terms(text: str) -> Iterator[str]:
    """The terms of a text: its words that are no stop words, the singular of a plural, the parts of
    a hyphenated word, each two words that follow each other, and each word again as PLAIN.
    """
    stop = stop_words()
    before = ""
    for word in words(text):
        if len(word) < 2 or word in stop:
            continue
        yield word
        yield PLAIN + word
        yield from _variants(word, stop)
        if before:
            yield f"{before} {word}"
        before = word


def _variants(word: str, stop: frozenset[str]) -> Iterator[str]:
    if "-" not in word:
        single = _singular(word)
        if single != word:
            yield single
        return
    parts = [part for part in word.split("-") if len(part) > 1 and part not in stop]
    for part in parts:
        yield _singular(part)
    if len(parts) == 2:
        yield f"{parts[0]} {parts[1]}"


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-1]


def sentences(text: str) -> list[str]:
    """The sentences of an abstract in order; joined by a space they give the text again."""
    pieces: list[str] = []
    for piece in _SENTENCE_END.split(" ".join(text.split())):
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] = f"{pieces[-1]} {piece}"
        elif piece:
            pieces.append(piece)
    return pieces
