"""The way in: the front page with its form, what that would bring, subscribing, confirming."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import delivery, feedback, library, samples, schedule, signup
from digest.app import App
from digest.changes import (
    MOST_PER_DIGEST,
    Changes,
    parse_address,
    parse_categories,
    parse_names,
    parse_topics,
)
from digest.citations import parse_citations
from digest.errors import InputError, NotFound
from digest.models import Subscriber
from digest.picking import Trial
from digest.tokens import ExpiredToken
from digest.web import picker
from digest.web.bearing import bearer, id_of
from digest.web.pages import app_of, local_moment, page, text_of, zones

Given = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the wishes would bring, or why there is nothing to show."""

    trial: Trial | None = None
    why_not: str = ""


def front(request: Request) -> Response:
    return _front(request, {})


def preview(request: Request, form: FormData) -> Response:
    """What the form's topics would bring: alone for the page's script, else on the page with all
    that was typed. Changes nothing; a POST, since topics are nobody's business on the way."""
    given = _given(form)
    wrong = {name: text for name, text in _problems(given).items() if name != "email"}
    sampled = Sampled() if wrong else _sampled(request, given)
    if "fragment" in given:
        if wrong:
            sampled = Sampled(why_not=" ".join(wrong.values()))
        return page(request, "preview", sampled=sampled)
    return _front(request, given, wrong, None if wrong else sampled)


def subscribe(request: Request, form: FormData) -> Response:
    """The same page for every address; a filled trap field means a robot, which gets it too."""
    given = _given(form)
    if wrong := _problems(given):
        return _front(request, given, wrong)
    email, liked = given.get("email", ""), given.get("liked", "")
    if not given.get("website"):
        signup.subscribe(app_of(request), email, _wishes(given), liked)
    return page(request, "sent", email=email, link=False, named=parse_citations(liked))


def confirm_page(request: Request) -> Response:
    _, person = bearer(request, "confirm")
    if person.status == "removed":
        raise ExpiredToken
    return page(request, "confirm", person=person, done=person.status != "pending", preferences="")


def confirm(request: Request, form: FormData) -> Response:  # noqa: ARG001
    app = app_of(request)
    _, person = bearer(request, "confirm")
    try:
        person = signup.confirm(app, id_of(person))
    except NotFound as error:
        raise ExpiredToken from error
    token = app.tokens.sign("preferences", id_of(person), person.link_epoch, app.now())
    regular = schedule.next_due(app.now(), person.frequency, person.send_at, person.timezone)
    return page(
        request,
        "confirm",
        person=person,
        done=True,
        preferences=token,
        at_once=delivery.welcomes(app, person),
        unsaid=_unsaid(app, person),
        regular=local_moment(regular, person.timezone),
    )


def _unsaid(app: App, person: Subscriber) -> bool:
    """Whether nothing says yet what the reader wants."""
    if person.topics or person.categories or person.authors:
        return False
    with app.db.read() as session:
        return not any(feedback.count_votes(session, id_of(person)).values())


def _front(
    request: Request,
    given: Given,
    wrong: Given | None = None,
    sampled: Sampled | None = None,
) -> Response:
    app = app_of(request)
    with app.db.read() as session:
        day = library.newest_day(session)
        trending, shown = library.front_papers(session, day)
    fields = picker.fields(app)
    return page(
        request,
        "front",
        400 if wrong else 200,
        day=day,
        trending=trending,
        papers=shown,
        given=given,
        wrong=wrong or {},
        sampled=sampled,
        fields=fields,
        chosen=picker.ticked(given.get("categories", ""), fields),
        zones=zones(),
        frequencies=schedule.FREQUENCIES,
    )


def _sampled(request: Request, given: Given) -> Sampled:
    wishes = _wishes(given)
    if not wishes.topics and not wishes.categories:
        return Sampled(why_not="Say what you want to read about, and see here what it would bring.")
    try:
        return Sampled(samples.sample(app_of(request), wishes))
    except InputError as error:
        return Sampled(why_not=str(error))


def _given(form: FormData) -> Given:
    return {name: text_of(form, name) for name in form}


_CHECKS: Mapping[str, Callable[[str], Any]] = {
    "topics": lambda text: Changes(topics=parse_topics(text)).checked(),
    "categories": lambda text: Changes(categories=parse_categories(text)).checked(),
    "liked": parse_citations,
    "authors": lambda text: Changes(authors=parse_names(text)).checked(),
    "per_digest": lambda text: Changes(per_digest=_number(text)).checked(),
    "frequency": lambda text: Changes(frequency=text or None).checked(),
    "send_at": lambda text: Changes(send_at=text or None).checked(),
    "timezone": lambda text: Changes(timezone=text or None).checked(),
    "email": parse_address,
}


def _problems(given: Given) -> dict[str, str]:
    """What is wrong, by field."""
    wrong = {}
    for name, check in _CHECKS.items():
        try:
            check(given.get(name, ""))
        except InputError as error:
            wrong[name] = str(error)
    return wrong


def _wishes(given: Given) -> Changes:
    """A form's fields as changes; an empty field leaves what was there. Raises InputError."""
    return Changes(
        topics=parse_topics(given.get("topics", "")) or None,
        categories=parse_categories(given.get("categories", "")) or None,
        authors=parse_names(given.get("authors", "")) or None,
        muted=parse_names(given.get("muted", "")) or None,
        per_digest=_number(given.get("per_digest", "")),
        frequency=given.get("frequency") or None,
        send_at=given.get("send_at") or None,
        timezone=given.get("timezone") or None,
    )


def _number(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit() and len(text) < 5):
        raise InputError(f"papers per digest: expected a number from 1 to {MOST_PER_DIGEST}")
    return int(text) if text else None
