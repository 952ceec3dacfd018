"""What a signed link opens: votes, preferences, leaving, a digest in the browser.

A GET shows a page with a button; only the POST behind the button acts, since mail scanners follow
links, and some run a whole browser.
"""

from dataclasses import dataclass
from datetime import date

from sqlmodel import Session, col, select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from digest import bursts, feedback, outcomes, schedule, subscribers
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
from digest.mail import compose
from digest.mail.links import Links, split_vote
from digest.models import Digest, Paper, Pick, Subscriber
from digest.seeds import Planted
from digest.tokens import InvalidToken, Token
from digest.web.bearing import bearer, holder, id_of, read_token
from digest.web.pages import app_of, local_moment, page, text_of, zones


@dataclass(frozen=True, slots=True)
class Ballot:
    """A pick as the vote page shows it: `link` is the last part of its address, `vote` the
    reader's last word."""

    position: int
    paper: Paper
    vote: str
    link: str


def vote_page(request: Request) -> Response:
    token, position, wanted = _vote_link(request)
    return _ballots(request, token, position, wanted, recorded="")


def vote(request: Request, form: FormData) -> Response:
    """Records what the button says; the same again changes nothing, a scanner's burst neither."""
    token, position, wanted = _vote_link(request)
    said, app = text_of(form, "vote"), app_of(request)
    with app.db.write() as session:
        pick = _pick(session, token, position)
        counted = bursts.record(session, pick, said, app.now())
    return _ballots(request, token, position, wanted, recorded=said if counted else "burst")


def _vote_link(request: Request) -> tuple[Token, int, str]:
    signed, position, wanted = split_vote(request.path_params["token"])
    token, _ = bearer(request, "vote", signed)
    return token, position, wanted


def _ballots(
    request: Request, token: Token, position: int, wanted: str, *, recorded: str
) -> Response:
    signed = split_vote(request.path_params["token"])[0]
    with app_of(request).db.read() as session:
        _pick(session, token, position)
        rows = session.exec(
            select(Pick, Paper)
            .join(Paper, col(Paper.id) == col(Pick.paper_id))
            .where(Pick.digest_id == token.subject)
            .order_by(col(Pick.position))
        ).all()
        voted = {held.paper.id: held.vote for held in feedback.votes(session, token.subscriber_id)}
    ballots = [
        Ballot(
            pick.position,
            paper,
            voted.get(paper.id, "none"),
            f"{signed}.{pick.position}{wanted[0]}",
        )
        for pick, paper in rows
    ]
    this = next(ballot for ballot in ballots if ballot.position == position)
    others = [ballot for ballot in ballots if ballot is not this]
    return page(request, "vote", this=this, others=others, wanted=wanted, recorded=recorded)


def _pick(session: Session, token: Token, position: int) -> Pick:
    """The pick the link speaks of. Raises InvalidToken where the digest has none there."""
    pick = session.get(Pick, (token.subject, position))
    if pick is None or pick.subscriber_id != token.subscriber_id:
        raise InvalidToken
    return pick


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


def unsubscribe_page(request: Request) -> Response:
    token = read_token(request, "unsubscribe")
    person = holder(request, token)
    gone = person is None or person.status == "removed"
    return page(request, "unsubscribe", person=person, gone=gone, link=request.path_params["token"])


def unsubscribe(request: Request) -> Response:
    _leave(request, read_token(request, "unsubscribe"))
    return page(request, "unsubscribe", person=None, gone=True, link="")


def one_click_page(request: Request) -> Response:
    """For mail programs that open the header's address in a browser: the page with the button."""
    token, app = read_token(request, "one-click"), app_of(request)
    person = holder(request, token)
    gone = person is None or person.status == "removed"
    link = app.tokens.sign("unsubscribe", token.subscriber_id, token.epoch, app.now())
    return page(request, "unsubscribe", person=person, gone=gone, link=link)


def one_click(request: Request) -> Response:
    """RFC 8058: the mail provider's POST ends the subscription, whatever the body says."""
    try:
        _leave(request, read_token(request, "one-click"))
    except InvalidToken:
        return PlainTextResponse("This link is not valid.\n", 404)
    return PlainTextResponse("Unsubscribed.\n")


def _leave(request: Request, token: Token) -> None:
    """Leaving works whatever became of the other links, and twice."""
    if holder(request, token) is not None:
        subscribers.remove(app_of(request), token.subscriber_id)


def digest_page(request: Request) -> Response:
    """What a digest's mail shows, as a page: without the votes, preferences and unsubscribing that
    are its reader's alone, so that the link may be passed on."""
    app = app_of(request)
    token, person = bearer(request, "view")
    with app.db.read() as session:
        held = session.get(Digest, token.subject)
        if held is None or held.subscriber_id != token.subscriber_id:
            raise InvalidToken
        links = Links(app.settings.web.base_url, app.tokens)
        mail = compose.load(session, person, held, app.settings, links)
    return page(request, "digest", mail=mail)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a day; expected one like 2026-12-01") from error
