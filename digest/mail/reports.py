"""What a mail server says of a mail that we sent: a delivery status notification (RFC 3464), a
complaint (RFC 5965), or an event of a mail provider as JSON."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from digest.errors import InputError

Kind = Literal["hard", "soft", "policy", "complaint"]

_MARK = re.compile(r"(?<![0-9a-z.])([0-9a-f]{1,16}\.[0-9a-f]{1,16}\.[0-9a-f]{20})(?![0-9a-f])")
_ENHANCED = re.compile(r"(?<![\d.])([45])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
# The sender's address is wrong, or a server on the way does not know SMTPUTF8.
_OURS = ("5.1.7", "5.1.8", "5.6.7")
_SCANNED = 64 * 1024  # characters of a text that are looked through


@dataclass(frozen=True, slots=True)
class Report:
    """One mail that came back. `marks` may name it, the likeliest first; only one of ours counts
    (`Tokens.read_mark`). `status` is an enhanced status code (RFC 3463), or empty."""

    kind: Kind
    marks: tuple[str, ...]
    status: str = ""
    detail: str = ""
    at: datetime | None = None


def parse(raw: bytes) -> Report | None:
    """The report in a mail; None where the mail is none, or tells of a success or a mere delay."""
    mail = message_from_bytes(raw)
    marks = tuple(dict.fromkeys(_marks(mail)))
    kind = _header(mail, "Content-Type").lower()
    parts = {part.get_content_type(): part for part in mail.walk()}
    if "message/feedback-report" in parts:
        return Report("complaint", marks, detail=_complaint(parts["message/feedback-report"]))
    if "message/delivery-status" in parts or "report-type=delivery-status" in kind:
        found = _delivery_status(parts.get("message/delivery-status"))
    elif _from_a_server(mail):
        found = status_in(_text(mail))
    else:
        found = None
    if found is None:
        return None
    status, detail = found
    return Report(kind_of(status), marks, status, detail, _date(mail))


def kind_of(status: str) -> Kind:
    """5.1: there is no such mailbox; any .7: our sending is refused, not the address; all else, a
    full mailbox among it, may pass (RFC 3463)."""
    family, subject, _ = status.split(".")
    if subject == "7" or status in _OURS:
        return "policy"
    return "hard" if (family, subject) == ("5", "1") else "soft"


def status_in(text: str) -> tuple[str, str] | None:
    """The first enhanced status code in a server's answer or a bounce in prose, and the line
    around it."""
    found = _ENHANCED.search(text, 0, _SCANNED)
    if found is None:
        return None
    start, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    return found[0], _line(text[start : end if end >= 0 else None])


class Event(BaseModel):
    """One event of a provider's webhook; `message_id` is that of the mail as we sent it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["bounce", "complaint"]
    message_id: str = Field(max_length=998)
    status: str = Field("", pattern=r"^([45]\.\d{1,3}\.\d{1,3})?$")
    detail: str = Field("", max_length=2000)
    at: AwareDatetime | None = None


class Events(BaseModel):
    model_config = ConfigDict(extra="forbid")

    events: list[Event] = Field(max_length=500)


def parse_events(body: bytes) -> list[Report]:
    """The reports in a webhook's body. Raises InputError, naming what is not as documented."""
    try:
        events = Events.model_validate_json(body).events
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the body"
        raise InputError(f"{where}: {problem['msg']}") from error
    return [_from_event(event) for event in events]


def _from_event(event: Event) -> Report:
    marks = tuple(_MARK.findall(event.message_id.lower()))
    if event.kind == "complaint":
        return Report("complaint", marks, event.status, _line(event.detail), event.at)
    kind = kind_of(event.status) if event.status else "soft"
    return Report(kind, marks, event.status, _line(event.detail), event.at)


def _marks(mail: Message) -> Iterator[str]:
    """From the return path that the report went to, then from the mail that came back with it."""
    for name in ("Delivered-To", "X-Original-To", "Envelope-To", "To"):
        yield from _MARK.findall(_header(mail, name).lower())
    for part in mail.walk():
        if part is not mail:
            for name in ("Message-ID", "Return-Path", "X-Original-Message-ID"):
                yield from _MARK.findall(_header(part, name).lower())
        if part.get_content_maintype() == "text":
            yield from _MARK.findall(_text(part).lower(), 0, _SCANNED)


def _delivery_status(part: Message | None) -> tuple[str, str] | None:
    blocks = part.get_payload() if part is not None else []
    failed = [
        block
        for block in (blocks if isinstance(blocks, list) else [])
        if isinstance(block, Message) and _header(block, "Action").strip().lower() == "failed"
    ]
    if not failed:
        return None
    status = _ENHANCED.search(_header(failed[0], "Status"))
    said = _header(failed[0], "Diagnostic-Code")
    code = status[0] if status else "5.0.0"
    if code.endswith(".0.0"):  # some servers say no more than that; the answer they had does
        code = (status_in(said) or (code, ""))[0]
    return code, _line(said)


def _complaint(part: Message) -> str:
    """The kind of complaint; the parser takes the fields for a message of their own."""
    inner = part.get_payload()
    fields: Sequence[object] = inner if isinstance(inner, list) else [inner]
    for each in fields:
        if isinstance(each, Message):
            return _line(_header(each, "Feedback-Type")) or "complaint"
    found = re.search(r"(?im)^feedback-type:\s*(\S+)", str(inner))
    return _line(found[1]) if found else "complaint"


def _from_a_server(mail: Message) -> bool:
    """A bounce in prose: it comes from nobody, or from a server's own name."""
    nobody = _header(mail, "Return-Path").strip() == "<>"
    sender = _header(mail, "From").lower()
    answer = _header(mail, "Auto-Submitted").lower().startswith("auto-replied")
    return nobody or (not answer and bool(re.search(r"mailer-daemon|postmaster@", sender)))


def _text(mail: Message) -> str:
    texts = []
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                texts.append(payload.decode("utf-8", "replace")[:_SCANNED])
    return "\n".join(texts)


def _header(mail: Message, name: str) -> str:
    """All values of a header as text; a hostile one may hold anything."""
    return "\n".join(str(value) for value in mail.get_all(name, []))


def _date(mail: Message) -> datetime | None:
    try:
        date = parsedate_to_datetime(_header(mail, "Date"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else None


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:300]
