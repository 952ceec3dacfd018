"""Where a mail provider reports bounces and complaints; docs/bounces.md has the form."""

from dataclasses import asdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from digest.errors import InputError
from digest.mail.bounces import take
from digest.mail.reports import parse_events
from digest.tokens import InvalidToken
from digest.web.pages import app_of


async def bounces(request: Request) -> Response:
    """Records the events of the body; each must name a mail of ours by its Message-ID."""
    app = app_of(request)
    try:
        app.tokens.read("bounces", request.path_params["token"], app.now())
    except InvalidToken:
        return JSONResponse({"error": "this address is not valid"}, 404)
    try:
        events = parse_events(await request.body())
    except InputError as error:
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse(asdict(await run_in_threadpool(take, app, events)))
