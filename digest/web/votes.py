"""The vote page that a mail's thumbs open, and its buttons."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import bursts, feedback
from digest.errors import NotFound
from digest.feedback import Ballot
from digest.mail.links import split_vote
from digest.tokens import InvalidToken, Token
from digest.web.bearing import bearer, read_token
from digest.web.pages import app_of, page, text_of


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

    def link(self, ballot: Ballot) -> str:
        """The last part of the address of another pick's page."""
        return f"{self.signed}.{ballot.position}{self.vote[0]}"


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
    with _no_such_link(), app.db.connect() as connection:
        counted = bursts.vote_on(connection, wish.token, wish.position, said, app.now())
        ballots = feedback.ballots(connection, *wish.whose)
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
    this = next((ballot for ballot in ballots if ballot.position == wish.position), None)
    if this is None:
        raise InvalidToken
    others = [ballot for ballot in ballots if ballot is not this]
    return page(
        request,
        "vote",
        this=this,
        others=others,
        link=wish.link,
        wanted=wish.vote,
        recorded=recorded,
    )
