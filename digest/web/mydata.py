"""What takes a fresh link: one's data as a file, another address, being erased; and the page by
which the new address says yes."""

import json

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import dossier, moving, subscribers
from digest.errors import InputError, NotFound, TooMany
from digest.models import Subscriber
from digest.tokens import ExpiredToken, Token
from digest.web.bearing import bearer, holder, id_of, read_token
from digest.web.pages import app_of, page, text_of


def my_data_page(request: Request) -> Response:
    _, person = bearer(request, "sensitive")
    return _page(request, person)


def my_data(request: Request, form: FormData) -> Response:
    _, person = bearer(request, "sensitive")
    email = text_of(form, "email")
    match text_of(form, "action"):
        case "export":
            return _export(request, person)
        case "erase":
            return _page(request, person, asking=True)
        case "erase-all":
            subscribers.erase(app_of(request), id_of(person))
            return page(request, "erased")
        case "address":
            try:
                moving.request(app_of(request), id_of(person), email)
            except (InputError, TooMany) as error:
                return _page(request, person, error=str(error), email=email)
            return _page(request, person, asked=email)
    raise InputError("This form has no such button.")


def _export(request: Request, person: Subscriber) -> Response:
    app = app_of(request)
    with app.db.read() as session:
        told = dossier.all_about(app, session, person)
    name = f"my-data-{app.now():%Y-%m-%d}.json"
    return Response(
        json.dumps(told, ensure_ascii=False, indent=1),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _page(
    request: Request,
    person: Subscriber,
    *,
    asking: bool = False,
    asked: str = "",
    error: str = "",
    email: str = "",
) -> Response:
    status = 400 if error else 200
    shown = {"person": person, "asking": asking, "asked": asked, "error": error, "email": email}
    return page(request, "mydata", status, **shown)


def address_page(request: Request) -> Response:
    _, person, email = _request(request)
    return page(request, "address", email=email, done=person.email == email)


def address(request: Request, form: FormData) -> Response:  # noqa: ARG001
    """The new address says yes; once more does no harm."""
    app = app_of(request)
    token, person, email = _request(request)
    if person.email == email:
        return page(request, "address", email=email, done=True)
    try:
        person = moving.confirm(app, id_of(person), token.subject)
    except NotFound as error:
        raise ExpiredToken from error
    link = app.tokens.sign("preferences", id_of(person), person.link_epoch, app.now())
    return page(request, "address", email=email, done=True, preferences=link)


def _request(request: Request) -> tuple[Token, Subscriber, str]:
    """Whose digests are to come where. The link is good until another of them was used."""
    token = read_token(request, "address")
    person = holder(request, token)
    if person is None:
        raise ExpiredToken
    try:
        with app_of(request).db.read() as session:
            email = moving.asked(session, id_of(person), token.subject)
    except NotFound as error:
        raise ExpiredToken from error
    if token.epoch != person.link_epoch and email != person.email:
        raise ExpiredToken
    return token, person, email
