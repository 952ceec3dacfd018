"""The preferences page: what a reader may change by the signed link in each mail."""

from datetime import date

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import feedback, outcomes, schedule, subscribers
from digest.changes import (
    MOST_PER_DIGEST,
    Changes,
    parse_categories,
    parse_names,
    parse_topics,
    topics_text,
)
from digest.citations import parse_citations
from digest.errors import InputError
from digest.models import Subscriber
from digest.seeds import Planted
from digest.web.bearing import bearer, id_of
from digest.web.pages import app_of, local_moment, page, text_of, zones


def preferences_page(request: Request) -> Response:
    _, person = bearer(request, "preferences")
    return _preferences(request, person)


def preferences(request: Request, form: FormData) -> Response:
    _, person = bearer(request, "preferences")
    try:
        said = _act(request, id_of(person), form)
    except InputError as error:
        given = {name: text_of(form, name) for name in form}
        return _preferences(request, person, error=str(error), given=given)
    return _preferences(request, bearer(request, "preferences")[1], said=said)


def _act(request: Request, subscriber_id: int, form: FormData) -> str:
    """Does what the pressed button says; gives the sentence that tells of it."""
    app = app_of(request)
    match text_of(form, "action"):
        case "pause":
            day = text_of(form, "until")
            subscribers.pause(app, subscriber_id, _day(day) if day else None)
            return f"Paused: the digests come again from {day}." if day else "Paused."
        case "resume":
            subscribers.resume(app, subscriber_id)
            return "Welcome back: the digests come again."
        case "like":
            named = parse_citations(text_of(form, "liked"))
            return _planted(subscribers.like(app, subscriber_id, named))
        case "undo":
            with app.db.write() as session:
                paper = feedback.find_paper(session, text_of(form, "paper"))
                feedback.record(
                    session, subscriber_id, paper.id or 0, "none", source="web", now=app.now()
                )
            return "That vote is taken back."
        case _:
            with app.db.read() as session:
                known = {text for text, _ in subscribers.get(session, subscriber_id).topics}
            subscribers.edit(app, subscriber_id, _whole_profile(form, known))
            return "Saved. The next digest follows it."


def _planted(done: Planted) -> str:
    parts = []
    if done.papers:
        parts.append(f"{done.papers} paper{'s' * (done.papers > 1)} liked: see your votes below.")
    if done.unread:
        parts.append(f"Not understood: {'; '.join(done.unread)}.")
    return " ".join(parts) or "No paper was named."


def _whole_profile(form: FormData, known: set[str]) -> Changes:
    """The form as changes: here an empty field empties what was there."""
    number = text_of(form, "per_digest")
    if not (number.isascii() and number.isdigit() and len(number) < 5):
        raise InputError(f"papers per digest: expected a number from 1 to {MOST_PER_DIGEST}")
    return Changes(
        topics=parse_topics(text_of(form, "topics"), known),
        categories=parse_categories(text_of(form, "categories")),
        authors=parse_names(text_of(form, "authors")),
        muted=parse_names(text_of(form, "muted")),
        per_digest=int(number),
        frequency=text_of(form, "frequency"),
        send_at=text_of(form, "send_at"),
        timezone=text_of(form, "timezone"),
    )


def _preferences(
    request: Request,
    person: Subscriber,
    *,
    said: str = "",
    error: str = "",
    given: dict[str, str] | None = None,
) -> Response:
    app = app_of(request)
    with app.db.read() as session:
        voted = feedback.votes(session, id_of(person))
    kept = {
        "topics": topics_text(person.topics),
        "categories": topics_text(person.categories),
        "authors": "\n".join(person.authors),
        "muted": "\n".join(person.muted),
        "per_digest": str(person.per_digest),
        "frequency": person.frequency,
        "send_at": person.send_at,
        "timezone": person.timezone,
    }
    due = person.next_digest_at
    return page(
        request,
        "preferences",
        400 if error else 200,
        person=person,
        given=kept | (given or {}),
        votes=voted,
        lately=outcomes.lately(app, person),
        said=said,
        error=error,
        next=local_moment(due, person.timezone) if due else "",
        leave=app.tokens.sign("unsubscribe", id_of(person), person.link_epoch, app.now()),
        zones=zones(),
        frequencies=schedule.FREQUENCIES,
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a day; expected one like 2026-12-01") from error
