"""All votes of a reader, page by page, each with the button that takes it back."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from digest import feedback
from digest.errors import InputError
from digest.web.bearing import bearer, id_of
from digest.web.pages import app_of, page, text_of
from digest.web.preferences import take_back

PER_PAGE = 25


def votes_page(request: Request) -> Response:
    return _page(request)


def votes(request: Request, form: FormData) -> Response:
    _, person = bearer(request, "preferences")
    try:
        said = take_back(request, id_of(person), text_of(form, "paper"))
    except InputError as error:
        return _page(request, error=str(error))
    return _page(request, said=said)


def _page(request: Request, *, said: str = "", error: str = "") -> Response:
    _, person = bearer(request, "preferences")
    given = request.query_params
    number, named = given.get("page", "1"), given.get("only") == "named"
    at = min(max(int(number), 1), 9999) if number.isascii() and number[:6].isdigit() else 1
    with app_of(request).db.read() as session:
        counted = feedback.count_votes(session, id_of(person))
        found = feedback.votes(
            session, id_of(person), seeds=named, skip=PER_PAGE * (at - 1), limit=PER_PAGE + 1
        )
    return page(
        request,
        "votes",
        400 if error else 200,
        counted=counted,
        votes=found[:PER_PAGE],
        more=len(found) > PER_PAGE,
        number=at,
        named=named,
        said=said,
        error=error,
        back=f"/preferences/{request.path_params['token']}",
    )
