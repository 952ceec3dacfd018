"""The ways out: the unsubscribe page, and the mail provider's one click (RFC 8058)."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from digest import signup, subscribers
from digest.tokens import InvalidToken, Token
from digest.web.bearing import holder, id_of, read_token
from digest.web.pages import app_of, page, text_of


def unsubscribe_page(request: Request) -> Response:
    return _question(request, read_token(request, "unsubscribe"), request.path_params["token"])


def unsubscribe(request: Request, form: FormData) -> Response:
    """Ends the subscription; who has left can still have the link to the data, by mail."""
    token, said = read_token(request, "unsubscribe"), ""
    person = holder(request, token)
    if person is not None and text_of(form, "action") == "data":
        signup.request_data_link(app_of(request), id_of(person))
        said = f"A mail to {person.email} is on its way. Its link works for an hour."
    else:
        _leave(request, token)
    return _question(request, token, request.path_params["token"], said)


def one_click_page(request: Request) -> Response:
    """For mail programs that open the header's address in a browser: the page with the button."""
    token, app = read_token(request, "one-click"), app_of(request)
    link = app.tokens.sign("unsubscribe", token.subscriber_id, token.epoch, app.now())
    return _question(request, token, link)


def one_click(request: Request) -> Response:
    """The mail provider's POST ends the subscription, whatever the body says."""
    try:
        _leave(request, read_token(request, "one-click"))
    except InvalidToken:
        return PlainTextResponse("This link is not valid.\n", 404)
    return PlainTextResponse("Unsubscribed.\n")


def _question(request: Request, token: Token, link: str, said: str = "") -> Response:
    person = holder(request, token)
    gone = person is None or person.status == "removed"
    return page(request, "unsubscribe", person=person, gone=gone, link=link, said=said)


def _leave(request: Request, token: Token) -> None:
    """Leaving works whatever became of the other links, and twice."""
    if holder(request, token) is not None:
        subscribers.remove(app_of(request), token.subscriber_id)
