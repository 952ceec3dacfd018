"""The way in: confirming an address."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import delivery, schedule, subscribers
from digest.errors import NotFound
from digest.tokens import ExpiredToken
from digest.web.bearing import bearer, id_of
from digest.web.pages import app_of, local_moment, page


def confirm_page(request: Request) -> Response:
    _, person = bearer(request, "confirm")
    if person.status == "removed":
        raise ExpiredToken
    return page(request, "confirm", person=person, done=person.status != "pending", preferences="")


def confirm(request: Request, form: FormData) -> Response:  # noqa: ARG001
    app = app_of(request)
    _, person = bearer(request, "confirm")
    try:
        person = subscribers.confirm(app, id_of(person))
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
        regular=local_moment(regular, person.timezone),
    )
