"""A digest in the browser, and the reader's own feed: links that show and let nobody act."""

import hashlib
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from digest import atom, shelf
from digest.errors import NotFound
from digest.models import Subscriber
from digest.shelf import Shelved
from digest.tokens import ExpiredToken, InvalidToken
from digest.web.bearing import bearer, id_of
from digest.web.pages import Site, app_of, page

# A feed reader keeps what it has and asks whether it is still good.
KEPT = {"Cache-Control": "private, no-cache"}


def digest_page(request: Request) -> Response:
    """What a digest's mail shows, as a page: without the votes, preferences and unsubscribing that
    are its reader's alone. Who passes the link on passes on the papers and their reasons, as with
    the mail, and nothing that acts; the page says so."""
    token, person = bearer(request, "view")
    try:
        mail = shelf.digest_mail(app_of(request), person, token.subject)
    except NotFound as error:
        raise InvalidToken from error
    return page(request, "digest", mail=mail)


def feed(request: Request) -> Response:
    """The papers of the newest digests as Atom; 304 where the reader has it already."""
    _, person = bearer(request, "feed")
    if person.status == "removed":
        raise ExpiredToken
    with app_of(request).db.read() as session:
        picks = shelf.newest_picks(session, id_of(person))
    content = atom.write(_feed(request, person, picks))
    mark = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = KEPT | {"ETag": mark}
    if _has(request, mark):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/atom+xml")


def _has(request: Request, mark: str) -> bool:
    known = request.headers.get("if-none-match", "").split(",")
    return any(each.strip().removeprefix("W/") in (mark, "*") for each in known)


def _feed(request: Request, person: Subscriber, picks: list[Shelved]) -> atom.Feed:
    site: Site = request.app.state.site
    host = urlsplit(site.absolute("/")).hostname or "localhost"
    return atom.Feed(
        id=f"tag:{host},{person.created_at:%Y-%m-%d}:reader/{person.id}",
        title=f"{site.name}: chosen for you",
        url=site.absolute(f"/feed/{request.path_params['token']}.xml"),
        home=site.absolute("/"),
        maker=site.name,
        updated=max((pick.sent_at for pick in picks), default=person.created_at),
        entries=[_entry(site, host, pick) for pick in picks],
    )


def _entry(site: Site, host: str, pick: Shelved) -> atom.Entry:
    card = pick.card
    own = card.url.startswith(("http://", "https://"))
    return atom.Entry(
        id=f"tag:{host},{pick.day}:digest/{pick.digest_id}/{pick.position}",
        title=card.title,
        url=card.url if own else site.absolute(site.paper(card.key)),
        at=pick.sent_at,
        authors=card.authors,
        categories=card.categories,
        summary=pick.reason,
        text="\n\n".join(part for part in (pick.reason, card.abstract) if part),
    )
