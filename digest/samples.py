"""What the papers of late have to offer: their categories, and the best ones for given wishes."""

from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlmodel import col, select

from digest import picking, schedule, training
from digest.candidates import latest_day
from digest.changes import Changes
from digest.db import Db
from digest.errors import InputError, NotFound
from digest.models import Paper, Subscriber
from digest.picking import Trial

if TYPE_CHECKING:
    from digest.app import App

SHOWN = 5
NONE = "No papers have come in of late. With the next listing, this shows what it would bring you."
UNREAD = "The first papers have come in and are being read. Please look again in a few minutes."


@lru_cache(maxsize=4)
def categories_in_use(db: Db, day: date) -> frozenset[str]:
    """The categories of the papers of the week up to `day`; looked for once."""
    with db.read() as session:
        within = col(Paper.announced_day).between(*schedule.window(day))
        rows = session.exec(select(Paper.categories).where(within))
        return frozenset(code for codes in rows for code in codes)


def sample(app: "App", wishes: Changes) -> Trial:
    """The best papers of the last week for a newcomer with these wishes. Raises NotFound where
    there are none to show yet, InputError where nothing in the wishes says anything of a paper."""
    with app.db.read() as session:
        if latest_day(session, app.now()) is None:
            raise NotFound(NONE)
    space = training.stored_space(app)
    if space is None:
        raise NotFound(UNREAD)
    newcomer = Subscriber(
        id=0,
        email="",
        email_key="",
        created_at=app.now(),
        **wishes.checked() | {"per_digest": SHOWN + 1, "frequency": "weekly"},
    )
    if space.profile_rows([training.profile(newcomer)]).empty:
        raise InputError(
            "None of these words is in any paper of late: the usual terms of the field, in English,"
            " will do best."
        )
    found = picking.trial(app, newcomer)
    return replace(found, picks=found.picks[:SHOWN])  # the last one steps outside the topics
