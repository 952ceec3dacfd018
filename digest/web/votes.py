"""The vote page that a mail's thumbs open, and its buttons."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import bursts, feedback
from digest.errors import NotFound
from digest.feedback import Ballot
from digest.mail.links import split_vote
from digest.tokens import InvalidToken, Token
from digest.web.bearing import bearer, read_token
from digest.web.pages import app_of, page, site_of, text_of


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a vote link says: whose digest it is, which pick, and which way. `signed` is the part
    that the links of a digest share."""

    token: Token
    signed: str
    position: int
    vote: str

    @property
    def whose(self) -> tuple[int, int]:
        """The reader, and the digest."""
        return self.token.subscriber_id, self.token.subject

    def path(self, position: int) -> str:
        """The page of another pick."""
        return f"/vote/{self.signed}.{position}{self.vote[0]}"


@dataclass(frozen=True, slots=True)
class _Shown:
    """A ballot as the page has it: its template calls nothing, ten times a page, many a second."""

    vote: str
    title: str
    authors: str
    categories: list[str]
    href: str
    action: str


def vote_page(request: Request) -> Response:
    wish = _wish(request)
    bearer(request, "vote", wish.signed)
    with app_of(request).db.read() as session, _no_such_link():
        ballots = feedback.ballots(session.connection(), *wish.whose)
    return _page(request, wish, ballots, recorded="")


def vote(request: Request, form: FormData) -> Response:
    """Records what the button says; the same again changes nothing, a scanner's burst neither. The
    page is sent when the vote is committed."""
    wish, said, app = _wish(request), text_of(form, "vote"), app_of(request)
    now = app.now()

    def record(connection: Connection) -> tuple[bool, list[Ballot]]:
        counted = bursts.vote_on(connection, wish.token, wish.position, said, now)
        return counted, feedback.ballots(connection, *wish.whose)

    with _no_such_link():
        counted, ballots = app.db.together(record)
    return _page(request, wish, ballots, recorded=said if counted else "burst")


def _wish(request: Request) -> _Wish:
    signed, position, wanted = split_vote(request.path_params["token"])
    return _Wish(read_token(request, "vote", signed), signed, position, wanted)


@contextmanager
def _no_such_link() -> Iterator[None]:
    """What a token names and is not there was never linked."""
    try:
        yield
    except NotFound as error:
        raise InvalidToken from error


def _page(request: Request, wish: _Wish, ballots: list[Ballot], *, recorded: str) -> Response:
    """The page of one pick, with the others of its digest below. Raises InvalidToken where the
    digest has none there."""
    site = site_of(request)
    shown = {
        ballot.position: _Shown(
            ballot.vote,
            ballot.paper.title,
            _authors(ballot.paper.authors, 6 if ballot.position == wish.position else 4),
            ballot.paper.categories,
            site.url(site.paper(ballot.paper.key)),
            site.url(wish.path(ballot.position)),
        )
        for ballot in ballots
    }
    this = shown.pop(wish.position, None)
    if this is None:
        raise InvalidToken
    return page(
        request,
        "vote",
        this=this,
        others=list(shown.values()),
        wanted=wish.vote,
        recorded=recorded,
    )


def _authors(names: Sequence[str], most: int) -> str:
    """One name fewer is never said as "1 more"."""
    if len(names) > most + 1:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return ", ".join(names)
