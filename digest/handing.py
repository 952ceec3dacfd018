"""A reader's digests at other doors than the mailbox: as JSON at a webhook, as a message in a chat.

Only the operator names such an address, by the command line: what a page could set would let
anybody make this machine send requests into its own network.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog
from sqlalchemy import delete
from sqlmodel import Session, col, select

from digest import hold
from digest.authorities import authorities
from digest.db import insert_new
from digest.errors import InputError
from digest.mail import compose
from digest.mail.contents import DigestMail, Item
from digest.mail.links import Links
from digest.mail.pieces import clean, shorten
from digest.models import Digest, Door, Handover, Subscriber
from digest.ranking.text import sentences
from digest.subscribers import get

if TYPE_CHECKING:
    from digest.app import App

WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
NO_OLDER = timedelta(days=2)
LEASE = timedelta(minutes=5)  # longer than one takes, so that a crash costs no more than this
AT_ONCE = 200
SECONDS = 10
WEB: Final = ("http", "https")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Handed:
    """How many digests were taken, are given up, will be tried again."""

    done: int = 0
    failed: int = 0
    waiting: int = 0


def set_doors(app: "App", subscriber_id: int, urls: Sequence[str]) -> None:
    """The reader's digests go to these addresses, too, from the next one on; the others go.

    Raises InputError for an address that is none, NotFound for a reader who is none.
    """
    wanted = [url for url in map(str.strip, urls) if url]
    for url in wanted:
        _check(url)
    with app.db.write() as session:
        get(session, subscriber_id)
        theirs = col(Door.subscriber_id) == subscriber_id
        session.exec(delete(Door).where(theirs, col(Door.url).not_in(wanted)))
        rows = [
            {"subscriber_id": subscriber_id, "url": url, "added_at": app.now()} for url in wanted
        ]
        if rows:
            insert_new(session, Door, rows)


def doors(session: Session, subscriber_id: int) -> list[str]:
    """Where the reader's digests go, too, without what makes the addresses secret."""
    found = select(Door.url).where(Door.subscriber_id == subscriber_id).order_by(col(Door.id))
    return [_shown(url) for url in session.exec(found)]


def hand_over(app: "App", stop: Callable[[], bool] = lambda: False) -> Handed:
    """Takes new digests to their other doors, and again those that were not let in; for one at a
    time. A try is committed before the network is touched: after a crash it is made once more,
    under the same id. Nothing goes out while delivery is held."""
    counts = {"done": 0, "failed": 0, "waiting": 0}
    for digest_id, door_id in _due(app):
        if stop():
            break
        if taken := _begin(app, digest_id, door_id):
            counts[_end(app, digest_id, door_id, _trouble(*taken))] += 1
    return Handed(**counts)


def _due(app: "App") -> list[tuple[int, int]]:
    now = app.now()
    with app.db.write() as session:
        if hold.held(session) or session.exec(select(Door.id).limit(1)).first() is None:
            return []
        fresh = (
            select(Digest.id, Door.id)
            .join(Door, col(Door.subscriber_id) == col(Digest.subscriber_id))
            .outerjoin(
                Handover,
                (col(Handover.digest_id) == col(Digest.id))
                & (col(Handover.door_id) == col(Door.id)),
            )
            .where(col(Handover.digest_id).is_(None), col(Digest.created_at) >= now - NO_OLDER)
            .where(col(Digest.created_at) >= col(Door.added_at))
        )
        rows = [
            {"digest_id": digest, "door_id": door, "status": "waiting", "due_at": now}
            | {"tries": 0, "response": ""}
            for digest, door in session.exec(fresh)
        ]
        if rows:
            insert_new(session, Handover, rows)
        due = select(Handover.digest_id, Handover.door_id).where(
            Handover.status == "waiting", col(Handover.due_at) <= now
        )
        ordered = due.order_by(col(Handover.due_at), col(Handover.digest_id), col(Handover.door_id))
        return list(session.exec(ordered.limit(AT_ONCE)))


def _begin(app: "App", digest_id: int, door_id: int) -> tuple[str, dict[str, Any]] | None:
    """Counts the try; gives the door's address and what to say there, or None where the door or
    the subscription has ended meanwhile."""
    with app.db.write() as session:
        row = session.get(Handover, (digest_id, door_id))
        door, digest = session.get(Door, door_id), session.get(Digest, digest_id)
        if row is None or door is None or digest is None or row.status != "waiting":
            return None
        person = get(session, door.subscriber_id)
        if row.tries > len(WAITS):  # each of them ended in a crash
            row.status = "failed"
            return None
        if person.status != "active":
            row.status, row.response = "cancelled", f"the subscription is {person.status}"
            return None
        row.tries, row.due_at = row.tries + 1, app.now() + LEASE
        links = Links(app.settings.web.base_url, app.tokens)
        mail = compose.load(session, person, digest, app.settings, links)
        return door.url, parcel(mail, person, digest_id)


def _end(app: "App", digest_id: int, door_id: int, trouble: str) -> str:
    """Keeps what came of it, and gives the status."""
    now = app.now()
    with app.db.write() as session:
        row = session.get(Handover, (digest_id, door_id))
        if row is None:  # the reader was erased, or the door taken away
            return "done" if not trouble else "failed"
        row.response = trouble
        if not trouble:
            row.status, row.done_at = "done", now
        elif row.tries > len(WAITS):
            row.status, row.done_at = "failed", now
        else:
            row.due_at = now + WAITS[row.tries - 1]
        if trouble:
            log.warning("not handed over", digest=digest_id, tries=row.tries, reason=trouble)
        return row.status


def parcel(mail: DigestMail, person: Subscriber, digest_id: int) -> dict[str, Any]:
    """The digest as JSON holds it. No link in it votes, unsubscribes or opens a page of the
    reader's: whoever reads along could use it."""
    return {
        "id": f"digest-{digest_id}",
        "service": mail.service,
        "subscriber": person.id,
        "day": mail.day.isoformat(),
        "since": mail.since.isoformat(),
        "candidates": mail.candidates,
        "text": _message(mail),
        "picks": [_pick(item) for item in mail.items],
    }


def _pick(item: Item) -> dict[str, Any]:
    card = item.card
    return {
        "id": card.key,
        "title": clean(card.title),
        "authors": [clean(author) for author in card.authors],
        "categories": list(card.categories),
        "url": card.url,
        "pdf_url": card.pdf_url,
        "journal": card.journal,
        "abstract": clean(card.abstract),
        "sentence": _sentence(item),
        "summary": card.summary or None,
        "reason": clean(item.reason),
        "topic": item.topic,
        "exploring": item.exploring,
        "similar": [
            {"id": copy.key, "title": copy.title, "url": copy.url} for copy in item.similar
        ],
    }


def _sentence(item: Item) -> str | None:
    found = sentences(item.card.abstract)
    at = item.sentence
    return clean(found[at]) if at is not None and at < len(found) else None


def _message(mail: DigestMail) -> str:
    """The picks as lines of plain text; nothing in them calls people of a chat by name."""
    lines = [f"{mail.service}, {mail.day.isoformat()}"]
    for number, item in enumerate(mail.items, start=1):
        lines += ["", f"{number}. {_harmless(item.card.title, 200)}"]
        said = item.card.summary or item.reason
        lines += [_harmless(said, 300)] if said else []
        lines += [item.card.url] if urlsplit(item.card.url).scheme in WEB else []
    return "\n".join(lines)


def _harmless(text: str, length: int) -> str:
    """Without what chats take for a mention or a link of their own: @all, <!here>, <http://…|…>."""
    bare = shorten(text, length).replace("<", "‹").replace(">", "›")
    return bare.replace("@", "@\N{ZERO WIDTH SPACE}")


def _trouble(url: str, said: dict[str, Any]) -> str:
    """Says it there; gives what went wrong, in words without the address, or nothing."""
    return _posted(url, said) if urlsplit(url).scheme in WEB else _chatted(url, said["text"])


def _posted(url: str, said: dict[str, Any]) -> str:
    import httpx2  # noqa: PLC0415  (slow, and rarely needed)

    try:
        headers = {"Idempotency-Key": said["id"]}
        with httpx2.stream(
            "POST", url, json=said, headers=headers, timeout=SECONDS, verify=authorities()
        ) as answer:  # what it says besides is not read
            return "" if answer.is_success else f"it answers {answer.status_code}"
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return type(error).__name__


def _chatted(url: str, text: str) -> str:
    service = _service(url)
    if isinstance(service, str):
        return service
    return "" if service.notify(body=text, body_format="text") else "the service did not take it"


def _check(url: str) -> None:
    """Raises InputError, in words without the address."""
    scheme = url.partition(":")[0].lower()
    if scheme in WEB:
        if not urlsplit(url).hostname:
            raise InputError("--also: expected an address such as https://hooks.example.org/papers")
        return
    if isinstance(trouble := _service(url), str):
        raise InputError(f"--also: {trouble}")


def _service(url: str) -> Any:
    """Apprise's service behind the address, or what is wrong, in words without the address."""
    try:
        import apprise  # noqa: PLC0415  (an extra, and slow)
    except ImportError:
        return "chat services need a library: pip install 'paper-digest[chat]'"
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would name the address
    service = apprise.Apprise.instantiate(url)
    if service is None:
        return (
            "expected an address that begins with http:// or https://, or that of a chat service"
            " as Apprise has them (https://appriseit.com/services)"
        )
    service.overflow_mode = apprise.OverflowMode.SPLIT  # some take two thousand characters
    return service


def _shown(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return (
        f"{scheme}://{urlsplit(url).hostname or '…'}/…"
        if scheme in WEB and rest
        else f"{scheme}://…"
    )
