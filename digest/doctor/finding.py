"""What a check says: how a thing stands, in a sentence, and how to mend it."""

from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import Literal

State = Literal["ok", "warn", "fail"]

LATE_AFTER = timedelta(hours=2)
_OURS_ALONE = (".local", ".localhost", ".invalid", ".test")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `mend` says what to do, and is empty where all is well."""

    name: str
    state: State
    sentence: str
    mend: str = ""


def sentence(error: Exception) -> str:
    """An error's text as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def domain_of(address: str) -> str:
    return parseaddr(address)[1].rpartition("@")[2].lower()


def is_public(domain: str) -> bool:
    """Whether others than this network may know the name."""
    return "." in domain and not domain.endswith(_OURS_ALONE)
