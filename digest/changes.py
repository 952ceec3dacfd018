"""What a person asks for: an address, and wishes typed as free text, checked in one place."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import email_validator

from digest.errors import InputError
from digest.papers import clean, shortened
from digest.schedule import FREQUENCIES, parse_hour, parse_zone

# Whether a name such as `localhost` or `lab.internal` takes mail is for the mail server to say.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

MOST_PER_DIGEST = 50
MOST_ENTRIES = 100
LONGEST = {"name": 100, "topics": 500, "categories": 60, "authors": 100, "muted": 100}
LIGHTEST, HEAVIEST = 0.01, 100

_WEIGHT = re.compile(r"\s*\^\s*(\d{0,4}(?:\.\d{0,6})?)\s*$")
_CODES = re.compile(r"\S+\.\S+(?:\s+\S+\.\S+)+")


@dataclass(frozen=True, slots=True)
class Address:
    """`email` is what mail is sent to; `key` is equal for all spellings of one address."""

    email: str
    key: str


def parse_address(text: str) -> Address:
    """Raises InputError for what is no address, or is longer than mail allows (64 bytes before
    the @, 254 in all). The domain becomes its ASCII form, for people may type either."""
    try:
        parts = email_validator.validate_email(
            text.strip(), check_deliverability=False, globally_deliverable=False
        )
    except email_validator.EmailNotValidError as error:
        raise InputError(f"{_shown(text)} is not an email address: {error}") from error
    email = f"{parts.local_part}@{parts.ascii_domain}"
    if len(parts.local_part.encode()) > 64 or len(email.encode()) > 254:
        raise InputError(f"{_shown(text)} is longer than an email address may be")
    return Address(email, email.casefold())


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The wishes of a form or a command; None leaves a field as it is.

    `topics` and `categories` are (text, weight) pairs. `min_score` is a chance from 0 to 1; 0 takes
    the bar away. `send_at` is HH:MM in `timezone`.
    """

    name: str | None = None
    topics: Sequence[tuple[str, float]] | None = None
    categories: Sequence[tuple[str, float]] | None = None
    authors: Sequence[str] | None = None
    muted: Sequence[str] | None = None
    min_score: float | None = None
    per_digest: int | None = None
    frequency: str | None = None
    send_at: str | None = None
    timezone: str | None = None

    def checked(self) -> dict[str, Any]:
        """The given fields alone, cleaned, as the subscriber's columns take them.

        Raises InputError with the first thing that is wrong.
        """
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: _CHECKS[name](value) for name, value in given if value is not None}


def parse_topics(text: str, whole: Collection[str] = ()) -> list[tuple[str, float]]:
    """One topic a line, or several parted by commas or semicolons; `^2` behind one is its weight.

    A line that is one of `whole`, topics stored before, is not taken apart at its commas.
    """
    pairs = []
    for line in text.splitlines():
        kept = parse_topic(line)
        parts = [line] if kept[0] in whole else re.split("[,;]", line)
        pairs += [parse_topic(part) for part in parts]
    return [pair for pair in pairs if pair[0]]


def parse_topic(text: str) -> tuple[str, float]:
    """`protein folding ^2` is ("protein folding", 2.0); without a weight it is 1."""
    found = _WEIGHT.search(text)
    if found is None:
        return clean(text), 1.0
    try:
        return clean(text[: found.start()]), float(found[1])
    except ValueError as error:
        raise InputError(f"{_shown(text)}: expected a number after ^, such as ^2") from error


def parse_categories(text: str) -> list[tuple[str, float]]:
    """As topics; codes with a dot in them (`cs.CV math.OC`) may also be parted by blanks."""
    lines = (
        line.replace(" ", "\n") if _CODES.fullmatch(line.strip()) else line
        for line in re.split(r"[,;\n]", text)
    )
    return parse_topics("\n".join(lines))


def parse_names(text: str) -> list[str]:
    """One a line, or parted by commas or semicolons."""
    return [name for part in re.split(r"[,;\n]", text) if (name := clean(part))]


def topics_text(pairs: Iterable[Sequence[Any]]) -> str:
    """What `parse_topics` reads back, one a line."""
    return "\n".join(
        text if weight == 1 and "^" not in text else f"{text} ^{weight:g}" for text, weight in pairs
    )


def _shown(text: str) -> str:
    return repr(shortened(clean(text), 80))


def _fitting(name: str, text: str) -> str:
    line = clean(text)
    if len(line) > LONGEST[name]:
        raise InputError(
            f"{name}: expected at most {LONGEST[name]} characters, got {len(line)} ({_shown(text)})"
        )
    return line


def _names(name: str, values: Sequence[str]) -> list[str]:
    lines = [_fitting(name, value) for value in values]
    once = list({line.casefold(): line for line in reversed(lines) if line}.values())[::-1]
    if len(once) > MOST_ENTRIES:
        raise InputError(f"{name}: expected at most {MOST_ENTRIES} entries, got {len(once)}")
    return once


def _weighted(name: str, pairs: Sequence[tuple[str, float]]) -> list[list[Any]]:
    weights: dict[str, float] = {}
    for text, weight in pairs:
        if not LIGHTEST <= weight <= HEAVIEST:
            raise InputError(
                f"{name}: expected a weight from {LIGHTEST} to {HEAVIEST} for {_shown(text)},"
                f" got {weight:g}"
            )
        weights.setdefault(clean(text).casefold(), round(float(weight), 2))
    lines = _names(name, [text for text, _ in pairs])
    return [[line, weights[line.casefold()]] for line in lines]


def _min_score(value: float) -> float | None:
    if not 0 <= value < 1:
        raise InputError(f"min_score: expected a number from 0 up to 1, got {value}")
    return float(value) or None


def _per_digest(value: int) -> int:
    if not 1 <= value <= MOST_PER_DIGEST:
        raise InputError(f"papers per digest: expected 1 to {MOST_PER_DIGEST}, got {value}")
    return value


def _frequency(value: str) -> str:
    if value not in FREQUENCIES:
        raise InputError(f"{_shown(value)}: expected one of {', '.join(FREQUENCIES)}")
    return value


_CHECKS: dict[str, Any] = {
    "name": lambda value: _fitting("name", value),
    "topics": lambda value: _weighted("topics", value),
    "categories": lambda value: _weighted("categories", value),
    "authors": lambda value: _names("authors", value),
    "muted": lambda value: _names("muted", value),
    "min_score": _min_score,
    "per_digest": _per_digest,
    "frequency": _frequency,
    "send_at": lambda value: f"{parse_hour(value):%H:%M}",
    "timezone": lambda value: parse_zone(value).key,
}
