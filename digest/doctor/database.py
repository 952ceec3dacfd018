"""What the database says: whether it can be written, its schema, its disk, its clock, a restore."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlmodel import select

from digest import clock as clocks
from digest import hold
from digest.app import App
from digest.db import schema_is_current
from digest.doctor.finding import Finding, State, sentence
from digest.errors import DatabaseError
from digest.models import Feed

LITTLE_SPACE = 1_000_000_000
NO_SPACE = 100_000_000


def stored(app: App) -> Iterator[Finding]:
    place = app.db.url.render_as_string()
    try:
        with app.db.write() as session:
            session.connection()  # which takes the write lock
            current = schema_is_current(app.db)
    except DatabaseError as error:
        yield Finding(
            "database",
            "fail",
            sentence(error),
            "Give the service's user the file and its folder, or end what locks it.",
        )
        return
    if current:
        yield Finding("database", "ok", f"{place} can be written and has this version's schema.")
    else:
        yield Finding(
            "database", "fail", f"{place} has an older schema.", "Run `digest db upgrade`."
        )
    if app.db.file is not None:
        yield _space(app.db.file)


def _space(file: Path) -> Finding:
    free = shutil.disk_usage(file.parent).free
    sentence = f"{free / 1e9:.1f} GB are free where the database is."
    if free >= LITTLE_SPACE:
        return Finding("disk", "ok", sentence)
    state: State = "warn" if free >= NO_SPACE else "fail"
    return Finding("disk", state, sentence, "Make room, or move `database.url` to a larger disk.")


def readable(app: App) -> bool:
    try:
        with app.db.read() as session:
            session.exec(select(Feed.id).limit(1)).first()
    except DatabaseError:
        return False
    return True


def clock(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        moment = clocks.ran_ahead(session, app.now())
    if moment is None:
        yield Finding("clock", "ok", f"The clock says {app.now():%Y-%m-%d %H:%M} UTC.")
    else:
        yield Finding(
            "clock",
            "warn",
            f"The clock says {app.now():%Y-%m-%d %H:%M} UTC, but something was done at"
            f" {moment:%Y-%m-%d %H:%M}.",
            "Keep the clock right by NTP. What was put off too far comes back by itself.",
        )


def held(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        kept = hold.held(session)
    if kept is not None:
        yield Finding(
            "delivery",
            "fail",
            f"No digest goes out since {kept.since:%Y-%m-%d %H:%M} UTC: {kept.reason}.",
            "`digest db resume DAY` goes on with what was announced on DAY and later.",
        )
