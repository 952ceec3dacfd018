"""A few papers to rate, and what the votes changed; opened by a link to the preferences."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import calibrating
from digest.errors import InputError
from digest.models import Paper, Subscriber
from digest.tokens import ExpiredToken
from digest.web.bearing import bearer, id_of
from digest.web.pages import app_of, page, text_of

_FIELD = "paper-"
_VOTES = ("up", "down")


def calibrate_page(request: Request) -> Response:
    person = _reader(request)
    return _page(request, papers=calibrating.questions(app_of(request), person), shift=None)


def calibrate(request: Request, form: FormData) -> Response:
    person = _reader(request)
    said = _said(form)
    if not said:
        papers = calibrating.questions(app_of(request), person)
        return _page(request, papers=papers, shift=None, status=400)
    shift = calibrating.answer(app_of(request), id_of(person), said)
    return _page(request, papers=[], shift=shift)


def _page(
    request: Request,
    *,
    papers: list[Paper],
    shift: calibrating.Shift | None,
    status: int = 200,
) -> Response:
    token = request.path_params["token"]
    wrong = status == 400
    return page(request, "calibrate", status, token=token, papers=papers, shift=shift, wrong=wrong)


def _reader(request: Request) -> Subscriber:
    _, person = bearer(request, "preferences")
    if person.status not in ("active", "paused"):
        raise ExpiredToken
    return person


def _said(form: FormData) -> dict[int, str]:
    """The votes by paper id; what was skipped is left out. Raises InputError."""
    said = {}
    for name in form:
        vote, number = text_of(form, name), name.removeprefix(_FIELD)
        if not name.startswith(_FIELD) or vote not in _VOTES:
            continue
        if not (number.isascii() and number.isdigit() and len(number) < 16):
            raise InputError("that is no paper of the page")
        said[int(number)] = vote
    return said
