"""Whether the service lives, and how long ago it last read feeds and sent digests."""

from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, func, select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from digest import __version__
from digest.errors import DatabaseError
from digest.models import Feed, OutboxMessage
from digest.web.pages import app_of


def healthz(request: Request) -> Response:
    """200, or 503 where the database does not answer. Ages are in seconds, null for never."""
    app = app_of(request)
    try:
        with app.db.read() as session:
            ingest, delivery = _last_ingest(session), _last_delivery(session)
    except (SQLAlchemyError, DatabaseError):
        return JSONResponse({"status": "the database does not answer"}, 503)
    answer = {"status": "ok", "version": __version__, **_age("ingest", ingest, app.now())}
    return JSONResponse(answer | _age("delivery", delivery, app.now()))


def _last_ingest(session: Session) -> datetime | None:
    return session.exec(select(func.max(Feed.checked_at))).one()


def _last_delivery(session: Session) -> datetime | None:
    return session.exec(
        select(OutboxMessage.sent_at)
        .where(OutboxMessage.kind == "digest", OutboxMessage.status == "sent")
        .order_by(col(OutboxMessage.id).desc())
        .limit(1)
    ).first()


def _age(name: str, moment: datetime | None, now: datetime) -> dict[str, Any]:
    return {
        f"last_{name}": moment.isoformat(timespec="seconds") if moment else None,
        f"last_{name}_age": round((now - moment).total_seconds()) if moment else None,
    }
