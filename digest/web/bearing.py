"""Whose link a page was opened with."""

from starlette.requests import Request

from digest import subscribers
from digest.models import Subscriber
from digest.tokens import ExpiredToken, Purpose, Token
from digest.web.pages import app_of

SHOWING: tuple[Purpose, ...] = ("view", "feed")  # these links only show, and are revoked alone


def read_token(request: Request, purpose: Purpose, raw: str | None = None) -> Token:
    """The token in the path, or `raw`. Raises InvalidToken."""
    app = app_of(request)
    signed = raw if raw is not None else request.path_params["token"]
    return app.tokens.read(purpose, signed, app.now())


def holder(request: Request, token: Token) -> Subscriber | None:
    """Whom the token names, though the link be revoked; None where the reader was erased."""
    with app_of(request).db.read() as session:
        return subscribers.by_id(session, token.subscriber_id)


def bearer(request: Request, purpose: Purpose, raw: str | None = None) -> tuple[Token, Subscriber]:
    """Raises InvalidToken; ExpiredToken also where the links were revoked or the reader erased."""
    token = read_token(request, purpose, raw)
    person = holder(request, token)
    if person is None:
        raise ExpiredToken
    if token.epoch != (person.view_epoch if purpose in SHOWING else person.link_epoch):
        raise ExpiredToken
    return token, person


def id_of(person: Subscriber) -> int:
    assert person.id is not None
    return person.id
