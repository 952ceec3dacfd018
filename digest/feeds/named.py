"""The records of arXiv papers that readers named and no feed has brought."""

from dataclasses import replace

import structlog
from sqlalchemy import update
from sqlmodel import col

from digest.app import App
from digest.errors import FeedError
from digest.feeds.fetch import shown
from digest.feeds.parse import parse
from digest.feeds.routes import API_PAGE, Routes
from digest.feeds.store import Tally, store
from digest.feeds.turns import fetcher
from digest.models import Paper
from digest.seeds import ASKED_IN_VAIN, wanting

log = structlog.get_logger(__name__)


def fetch_named(app: App, routes: Routes) -> Tally:
    """Asks arXiv's API for the papers that `seeds.wanting` names and stores them as no news; one
    that it does not know is not asked for again. An error leaves all for the next time."""
    with app.db.read() as session:
        wanted = {p.key: p.id for p in wanting(session, API_PAGE) if p.key.startswith("arxiv:")}
    if not wanted:
        return Tally()
    url = routes.by_ids(key.removeprefix("arxiv:") for key in wanted)
    try:
        fetched = fetcher(app).fetch(url)
        listing = parse(fetched.body, url=shown(url), kind=None, today=app.now().date())
    except FeedError as error:
        log.warning("named papers not fetched", papers=len(wanted), reason=str(error))
        return Tally()
    found = [entry for entry in listing.entries if entry.key in wanted]
    unknown = wanted.keys() - {entry.key for entry in found}
    quiet = tuple(replace(entry, kind="replace") for entry in found)
    with app.db.write() as session:
        tally = store(session, replace(listing, entries=quiet), None, app.now())
        given_up = col(Paper.id).in_([wanted[key] for key in unknown])
        session.exec(update(Paper).where(given_up).values(version=ASKED_IN_VAIN))
    log.info("named papers fetched", found=len(found), unknown=len(unknown))
    return tally
