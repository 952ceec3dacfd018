"""A library at zotero.org, by its web API: https://www.zotero.org/support/dev/web_api/v3/basics."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx2

from digest import __version__
from digest.authorities import authorities
from digest.errors import DigestError, InputError

API = "https://api.zotero.org"
PAGE = 100  # the most that it gives at once
MOST_ITEMS = 50_000
LONGEST_PAUSE = 60.0  # seconds that we wait when it asks for patience
TRIES = 3

_LIBRARY = re.compile(r"(users|groups)/\d{1,12}(/collections/[A-Z0-9]{8})?")


def fetch_items(
    library: str,
    key: str = "",
    *,
    api: str = API,
    progress: Callable[..., None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Any]:
    """All items of `users/12345`, `groups/12345` or a collection of one. `key` is the reader's own
    and goes into a header alone; a public library needs none.

    Raises InputError for what names no library, DigestError where Zotero does not give it.
    """
    if not _LIBRARY.fullmatch(library):
        raise InputError(f"zotero:{library}: expected zotero:users/12345 or zotero:groups/12345")
    if key and not re.fullmatch(r"[A-Za-z0-9]{1,64}", key):
        raise InputError("ZOTERO_API_KEY holds no key of Zotero's: letters and digits alone")
    headers = {"Zotero-API-Version": "3", "User-Agent": f"paper-digest/{__version__}"}
    headers |= {"Zotero-API-Key": key} if key else {}
    items: list[Any] = []
    # a redirect could take the key elsewhere
    with httpx2.Client(
        headers=headers, timeout=60, follow_redirects=False, verify=authorities()
    ) as client:
        while len(items) < MOST_ITEMS:
            address = f"{api}/{library}/items/top"
            page, total = _page(client, address, len(items), sleep)
            items += page
            if progress is not None:
                progress(len(items), max(total, len(items)))
            if not page or len(items) >= total:
                break
    return items


def _page(
    client: httpx2.Client, address: str, start: int, sleep: Callable[[float], None]
) -> tuple[list[Any], int]:
    """Items from the one numbered `start` on, and how many there are in all."""
    asked: dict[str, str | int] = {"format": "json", "limit": PAGE, "start": start}
    for _ in range(TRIES):
        try:
            answer = client.get(address, params=asked)
            if answer.status_code not in (429, 503):
                break
        except httpx2.HTTPError as error:
            raise DigestError(f"Zotero cannot be asked: {type(error).__name__}") from error
        sleep(_seconds(answer.headers.get("retry-after", "")) or 5.0)
    if answer.status_code == 403:
        raise DigestError("Zotero refuses: put a key that may read the library in ZOTERO_API_KEY")
    if answer.status_code != 200:
        raise DigestError(f"Zotero answered {answer.status_code}; is the library's number right?")
    sleep(_seconds(answer.headers.get("backoff", "")))
    try:
        page, total = answer.json(), int(answer.headers.get("total-results", "0"))
    except ValueError as error:
        raise DigestError("Zotero's answer is no list of items") from error
    if not isinstance(page, list):
        raise DigestError("Zotero's answer is no list of items")
    return page, total


def _seconds(header: str) -> float:
    return min(float(header), LONGEST_PAUSE) if header.isascii() and header.isdigit() else 0.0
