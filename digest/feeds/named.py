"""The records of papers that readers named and no feed has brought."""

from collections.abc import Mapping
from dataclasses import replace

import structlog
from sqlalchemy import update
from sqlmodel import col

from digest.app import App
from digest.errors import FeedError
from digest.feeds.fetch import shown
from digest.feeds.parse import parse
from digest.feeds.routes import API_PAGE, DOIS_AT_ONCE, Routes
from digest.feeds.store import Tally, store
from digest.feeds.turns import fetcher
from digest.models import Paper
from digest.papers import Entry, Listing
from digest.seeds import ASKED_IN_VAIN, wanting

log = structlog.get_logger(__name__)


def fetch_named(app: App, routes: Routes) -> Tally:
    """Asks arXiv's API and Crossref for the papers that `seeds.wanting` names and stores them as
    no news; one that its source does not know is not asked for again."""
    with app.db.read() as session:
        named = {
            kind: {paper.key: paper.id or 0 for paper in wanting(session, kind, most)}
            for kind, most in (("arxiv", API_PAGE), ("doi", DOIS_AT_ONCE))
        }
    ids = [key.removeprefix("arxiv:") for key in named["arxiv"]]
    # a comma parts the DOIs of a question, so that one with a comma cannot be asked for
    dois = [key.removeprefix("doi:") for key in named["doi"] if "," not in key]
    tally = _fetched(app, named["arxiv"], routes.by_ids(ids) if ids else "")
    return tally + _fetched(app, named["doi"], routes.by_dois(dois) if dois else "")


def _fetched(app: App, wanted: Mapping[str, int], url: str) -> Tally:
    """Stores what an address tells of the papers `wanted`, ids by key. An error leaves all for
    the next time."""
    if not wanted:
        return Tally()
    try:
        entries = _entries(app, url) if url else ()
    except FeedError as error:
        log.warning("named papers not fetched", papers=len(wanted), reason=str(error))
        return Tally()
    found = [entry for entry in entries if entry.key in wanted]
    unknown = wanted.keys() - {entry.key for entry in found}
    quiet = tuple(replace(entry, kind="replace") for entry in found)
    with app.db.write() as session:
        tally = store(session, Listing("", None, quiet), None, app.now())
        given_up = col(Paper.id).in_([wanted[key] for key in unknown])
        session.exec(update(Paper).where(given_up).values(version=ASKED_IN_VAIN))
    log.info("named papers fetched", found=len(found), unknown=len(unknown))
    return tally


def _entries(app: App, url: str) -> tuple[Entry, ...]:
    fetched = fetcher(app).fetch(url)
    return parse(
        fetched.body,
        url=shown(url),
        content_type=fetched.content_type,
        today=app.now().date(),
    ).entries
