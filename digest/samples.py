"""What a sign-up would bring, shown before anybody gives an address."""

from typing import TYPE_CHECKING

from digest import picking, training
from digest.changes import Changes
from digest.errors import InputError, NotFound
from digest.models import Subscriber
from digest.picking import Trial

if TYPE_CHECKING:
    from digest.app import App

SHOWN = 5


def sample(app: "App", wishes: Changes) -> Trial | None:
    """The best papers of the last week for a newcomer with these wishes; None where there are none
    yet. Raises InputError where nothing in the wishes says anything of a paper."""
    space = training.stored_space(app)
    if space is None:
        return None
    newcomer = Subscriber(
        id=0,
        email="",
        email_key="",
        created_at=app.now(),
        **wishes.checked() | {"per_digest": SHOWN, "frequency": "weekly"},
    )
    if not space.profile_rows([training.profile(newcomer)]).nnz:
        raise InputError(
            "None of these words is in any paper of late: the usual terms of the field, in English,"
            " will do best."
        )
    try:
        return picking.trial(app, newcomer)
    except NotFound:
        return None
