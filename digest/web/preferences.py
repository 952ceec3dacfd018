"""The preferences page: what a reader may change by the signed link in each mail."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import feedback, learned, outcomes, picking, schedule, shelf, signup, subscribers
from digest.changes import (
    MOST_PER_DIGEST,
    Changes,
    parse_categories,
    parse_names,
    parse_topics,
    topics_text,
)
from digest.citations import parse_citations
from digest.errors import InputError, TooMany
from digest.mail.links import Bearer, Links
from digest.models import Subscriber
from digest.picking import Trial
from digest.seeds import Planted
from digest.web import picker
from digest.web.bearing import bearer, id_of
from digest.web.pages import app_of, local_moment, page, text_of, zones

SHOWN_VOTES = 5
SCORES = ("0.25", "0.5", "0.75", "0.9")


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a pressed button: a sentence, or why not; what was typed stays (`given`)."""

    said: str = ""
    error: str = ""
    trial: Trial | None = None
    given: Mapping[str, str] | None = None


def preferences_page(request: Request) -> Response:
    _, person = bearer(request, "preferences")
    return _page(request, person, _Done())


def preferences(request: Request, form: FormData) -> Response:
    _, person = bearer(request, "preferences")
    given = {name: text_of(form, name) for name in form}
    if "fragment" in form:
        return _fragment(request, person, form, given)
    try:
        done = _act(request, person, form)
    except (InputError, TooMany) as error:
        return _page(request, person, _Done(error=str(error), given=given))
    if done.trial is not None:
        return _page(request, person, replace(done, given=given))
    return _page(request, bearer(request, "preferences")[1], done)


def _fragment(
    request: Request, person: Subscriber, form: FormData, given: Mapping[str, str]
) -> Response:
    """The preview alone, for the page's script."""
    try:
        done = _preview(request, person, form)
    except InputError as error:
        done = _Done(error=str(error))
    return page(request, "trial", done=done, given=given)


def _act(request: Request, person: Subscriber, form: FormData) -> _Done:
    """Does what the pressed button says. Raises InputError, TooMany."""
    act = _ACTS.get(text_of(form, "action"), _save)
    return act(request, person, form)


def _save(request: Request, person: Subscriber, form: FormData) -> _Done:
    subscribers.edit(app_of(request), id_of(person), profile_of(form, person))
    return _Done("Saved. The next digest follows it.")


def _preview(request: Request, person: Subscriber, form: FormData) -> _Done:
    wanted = subscribers.tried(person, profile_of(form, person))
    return _Done(trial=picking.trial(app_of(request), wanted))


def _pause(request: Request, person: Subscriber, form: FormData) -> _Done:
    day = text_of(form, "until")
    subscribers.pause(app_of(request), id_of(person), _day(day) if day else None)
    return _Done(f"Paused: the digests come again from {day}." if day else "Paused.")


def _resume(request: Request, person: Subscriber, form: FormData) -> _Done:  # noqa: ARG001
    subscribers.resume(app_of(request), id_of(person))
    return _Done("Welcome back: the digests come again.")


def _like(request: Request, person: Subscriber, form: FormData) -> _Done:
    named = parse_citations(text_of(form, "liked"))
    return _Done(_planted(subscribers.like(app_of(request), id_of(person), named)))


def _undo(request: Request, person: Subscriber, form: FormData) -> _Done:
    return _Done(take_back(request, id_of(person), text_of(form, "paper")))


def _renew(request: Request, person: Subscriber, form: FormData) -> _Done:  # noqa: ARG001
    subscribers.renew_reading_links(app_of(request), id_of(person))
    return _Done(
        "New links are made: the feed’s old address, and all earlier links to a digest in the"
        " browser, have stopped working."
    )


def _mail_data_link(request: Request, person: Subscriber, form: FormData) -> _Done:  # noqa: ARG001
    signup.request_data_link(app_of(request), id_of(person))
    return _Done(f"A mail to {person.email} is on its way. Its link works for an hour.")


_ACTS = {
    "preview": _preview,
    "pause": _pause,
    "resume": _resume,
    "like": _like,
    "undo": _undo,
    "links": _renew,
    "data": _mail_data_link,
}


def take_back(request: Request, subscriber_id: int, key: str) -> str:
    """The vote on the paper of this id counts no more; gives the sentence that says so."""
    app = app_of(request)
    with app.db.write() as session:
        paper = feedback.find_paper(session, key)
        feedback.record(session, subscriber_id, paper.id or 0, "none", source="web", now=app.now())
        title = paper.title or paper.key
    return f"That vote is taken back: “{title}” counts neither way now."


def _planted(done: Planted) -> str:
    parts = []
    if done.papers:
        parts.append(f"{done.papers} paper{'s' * (done.papers > 1)} liked: see your votes below.")
    if done.down:
        stay = "paper you voted down stays" if done.down == 1 else "papers you voted down stay"
        parts.append(f"{done.down} {stay} so: your votes below change that.")
    if done.unread:
        parts.append(f"Not understood: {'; '.join(done.unread)}.")
    return " ".join(parts) or "No paper was named."


def profile_of(form: FormData, person: Subscriber) -> Changes:
    """The form as changes: here an empty field empties what was there. Raises InputError."""
    number = text_of(form, "per_digest")
    if not (number.isascii() and number.isdigit() and len(number) < 5):
        raise InputError(f"papers per digest: expected a number from 1 to {MOST_PER_DIGEST}")
    return Changes(
        topics=parse_topics(text_of(form, "topics"), {text for text, _ in person.topics}),
        categories=parse_categories(text_of(form, "categories")),
        authors=parse_names(text_of(form, "authors")),
        muted=parse_names(text_of(form, "muted")),
        min_score=_score(text_of(form, "min_score")) if "min_score" in form else None,
        per_digest=int(number),
        frequency=text_of(form, "frequency"),
        send_at=text_of(form, "send_at"),
        timezone=text_of(form, "timezone"),
    )


def _score(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError as error:
        raise InputError("the least chance: expected a number from 0 up to 1") from error


def _page(request: Request, person: Subscriber, done: _Done) -> Response:
    app, subscriber_id = app_of(request), id_of(person)
    given = _kept(person) | dict(done.given or {})
    fields = picker.fields(app)
    with app.db.read() as session:
        voted = feedback.votes(session, subscriber_id, limit=SHOWN_VOTES)
    due = person.next_digest_at
    return page(
        request,
        "preferences",
        400 if done.error else 200,
        person=person,
        given=given,
        fields=fields,
        chosen=picker.ticked(given["categories"], fields),
        done=done,
        votes=voted,
        learned=learned.learned(app, person),
        lately=outcomes.lately(app, person),
        next=local_moment(due, person.timezone) if due else "",
        leave=app.tokens.sign("unsubscribe", subscriber_id, person.link_epoch, app.now()),
        reading=_reading_links(request, person),
        here=f"/preferences/{request.path_params['token']}",
        zones=zones(),
        frequencies=schedule.FREQUENCIES,
        scores=_scores(person.min_score),
    )


def _kept(person: Subscriber) -> dict[str, str]:
    """The form's fields as they are stored."""
    return {
        "topics": topics_text(person.topics),
        "categories": topics_text(person.categories),
        "authors": "\n".join(person.authors),
        "muted": "\n".join(person.muted),
        "min_score": f"{person.min_score:g}" if person.min_score else "",
        "per_digest": str(person.per_digest),
        "frequency": person.frequency,
        "send_at": person.send_at,
        "timezone": person.timezone,
    }


def _scores(own: float | None) -> list[tuple[str, str]]:
    """The least chances to choose from, with the words for each; the reader's own is among them."""
    values = {*SCORES, *([f"{own:g}"] if own else [])}
    return [("", "the best of the day, always")] + [
        (value, f"only with a chance of {float(value):.0%} or more")
        for value in sorted(values, key=float)
    ]


def _reading_links(request: Request, person: Subscriber) -> dict[str, str]:
    """The feed's address, the same until it is renewed, and the newest digest's page."""
    app = app_of(request)
    links = Links(app.settings.web.base_url, app.tokens)
    with app.db.read() as session:
        newest = shelf.newest_digest(session, id_of(person))
    whose = Bearer(id_of(person), person.link_epoch, person.created_at, 0, person.view_epoch)
    found = {"feed": links.feed(whose)}
    if newest is not None:
        since = replace(whose, since=newest.created_at, digest_id=newest.id or 0)
        found["digest"] = links.view(since)
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a day; expected one like 2026-12-01") from error
