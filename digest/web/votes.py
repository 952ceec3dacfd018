"""The vote page that a mail's thumbs open, and its buttons."""

from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import bursts, feedback
from digest.errors import NotFound
from digest.feedback import Ballot
from digest.mail.links import split_vote
from digest.tokens import InvalidToken, Token
from digest.web.bearing import bearer
from digest.web.pages import app_of, page, text_of


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a vote link says: whose digest it is, which pick, and which way. `signed` is the part
    that the links of a digest share."""

    token: Token
    signed: str
    position: int
    vote: str

    def link(self, ballot: Ballot) -> str:
        """The last part of the address of another pick's page."""
        return f"{self.signed}.{ballot.position}{self.vote[0]}"


def vote_page(request: Request) -> Response:
    return _ballots(request, _wish(request), recorded="")


def vote(request: Request, form: FormData) -> Response:
    """Records what the button says; the same again changes nothing, a scanner's burst neither."""
    wish, said, app = _wish(request), text_of(form, "vote"), app_of(request)
    whose = wish.token.subscriber_id, wish.token.subject, wish.position
    try:
        with app.db.write() as session:
            counted = bursts.vote_on(session, *whose, said, app.now())
    except NotFound as error:
        raise InvalidToken from error
    return _ballots(request, wish, recorded=said if counted else "burst")


def _wish(request: Request) -> _Wish:
    signed, position, wanted = split_vote(request.path_params["token"])
    token, _ = bearer(request, "vote", signed)
    return _Wish(token, signed, position, wanted)


def _ballots(request: Request, wish: _Wish, *, recorded: str) -> Response:
    """The page of one pick, with the others of its digest below. Raises InvalidToken where the
    digest has none there."""
    try:
        with app_of(request).db.read() as session:
            ballots = feedback.ballots(session, wish.token.subscriber_id, wish.token.subject)
    except NotFound as error:
        raise InvalidToken from error
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
