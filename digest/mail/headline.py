"""What a list of mails shows of a digest: a subject and a preheader that say what is inside."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

from digest.mail.pieces import shorten

SUBJECT = 100  # characters; mail programs show the first sixty or so
ALONE, BESIDE = 44, 28  # characters of a topic that stands alone, and of one of two

_LOOSE_END = re.compile(r"( (a|an|and|at|by|for|from|in|of|on|or|the|to|with))+…$", re.IGNORECASE)


def subject(titles: Sequence[str], topics: Sequence[str | None], day: str) -> str:
    """The topics that the papers are there for, the most frequent two with their numbers, and the
    best paper: `3 on quantization, 2 on RLHF: Title`. `topics` has each paper's, None where no
    topic spoke for it; without any, the best paper and how many more."""
    if not titles:
        return f"Nothing new for you on {day}"
    if tally := _tally(topics)[:2]:
        room = ALONE if len(tally) == 1 else BESIDE
        parts = [_part(topic, count, room) for topic, count in tally]
        lead = f"On {_topic(tally[0][0], ALONE)}" if len(titles) == 1 else ", ".join(parts)
        return f"{lead}: {shorten(titles[0], SUBJECT - len(lead) - 2)}"
    more = len(titles) - 1
    if not more:
        return shorten(titles[0], 90)
    return f"{shorten(titles[0], 64)} + {more} more paper{'s' if more > 1 else ''}"


def preheader(titles: Sequence[str], topics: Sequence[str | None], count: str) -> str:
    """What goes on from the subject: further topics, then the papers after the first."""
    further = [_part(topic, number, ALONE) for topic, number in _tally(topics)[2:4]]
    said = [", ".join(further)] if further else []
    said += [shorten(title, 70) for title in titles[1:4]]
    return f"Also: {'; '.join(said)}" if said else count


@lru_cache(maxsize=16)
def in_words(day: date) -> str:
    return f"{day:%A}, {day.day} {day:%B %Y}"


def _tally(topics: Sequence[str | None]) -> list[tuple[str, int]]:
    """Each topic with its number of papers, most first, else in the papers' order."""
    return Counter(topic for topic in topics if topic).most_common()


def _part(topic: str, count: int, room: int) -> str:
    return f"{count} on {_topic(topic, room)}"


def _topic(topic: str, room: int) -> str:
    """The topic in at most `room` characters, its end not a word that leads on."""
    return _LOOSE_END.sub("…", shorten(topic, room))
