"""What monitoring and the operator's browser ask: whether the service lives, and its figures."""

import base64
import binascii
import hmac
from datetime import datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from digest import __version__
from digest.errors import DatabaseError
from digest.figures import figures, last_delivery, last_ingest
from digest.web.metrics import families
from digest.web.pages import app_of, page


def healthz(request: Request) -> Response:
    """200, or 503 where the database does not answer. Ages are in seconds, null for never."""
    app = app_of(request)
    try:
        with app.db.read() as session:
            ingest, delivery = last_ingest(session), last_delivery(session)
    except (SQLAlchemyError, DatabaseError):
        return JSONResponse({"status": "the database does not answer"}, 503)
    answer = {"status": "ok", "version": __version__, **_age("ingest", ingest, app.now())}
    return JSONResponse(answer | _age("delivery", delivery, app.now()))


def _age(name: str, moment: datetime | None, now: datetime) -> dict[str, Any]:
    return {
        f"last_{name}": moment.isoformat(timespec="seconds") if moment else None,
        f"last_{name}_age": round((now - moment).total_seconds()) if moment else None,
    }


def metrics(request: Request) -> Response:
    """The figures in Prometheus' text format; what this process counts itself is with them."""
    _check_token(request)
    app = app_of(request)
    own = generate_latest(request.app.state.counts.registry)
    text = own + generate_latest(families(figures(app), app.now()))
    return Response(text, media_type=CONTENT_TYPE_LATEST, headers=_UNKEPT)


def status(request: Request) -> Response:
    """The figures as a page."""
    _check_token(request)
    app = app_of(request)
    answer = page(request, "status", now=app.now(), found=figures(app), version=__version__)
    answer.headers.update(_UNKEPT)
    return answer


_UNKEPT = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}


def _check_token(request: Request) -> None:
    """`web.status_token`, as a bearer token or as a password under any name: so a browser asks for
    it, and it is in no address. Raises HTTPException: 404 where none is set, 401."""
    wanted = app_of(request).settings.web.status_token.get_secret_value()
    if not wanted:
        raise HTTPException(404)
    if not hmac.compare_digest(_given(request).encode(), wanted.encode()):
        challenge = 'Basic realm="status", charset="UTF-8"'
        raise HTTPException(401, headers={"WWW-Authenticate": challenge} | _UNKEPT)


def _given(request: Request) -> str:
    scheme, _, said = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return said.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(said, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
