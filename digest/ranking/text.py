"""From a title and an abstract to terms, and from an abstract to sentences."""

import re
import unicodedata
from functools import cache

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
    return _WORD.findall(text.lower().replace("‐", "-").replace("‑", "-"))


def tells(word: str) -> bool:
    """Whether the word is a term: longer than a letter and no stop word."""
    return len(word) > 1 and word not in stop_words()


def variants(word: str) -> list[tuple[str, ...]]:
    """The terms that a word brings besides itself, of one or two words: the singular of a plural,
    the parts of a hyphenated word, and a pair of parts."""
    if "-" not in word:
        single = _singular(word)
        return [(single,)] if single != word else []
    parts = [part for part in word.split("-") if tells(part)]
    both = [tuple(parts)] if len(parts) == 2 else []
    return [*((_singular(part),) for part in parts), *both]


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
