"""JSON Feed, versions 1 and 1.1, as https://www.jsonfeed.org/version/1.1/ describes it. Pure.

Its items are put into the names that feedparser gives to those of RSS, and read as such.
"""

from datetime import UTC, date, datetime
from typing import Any

from feedparser import FeedParserDict

from digest.feeds import bounds, fields, generic
from digest.papers import Listing


def is_feed(answer: Any) -> bool:
    version = answer.get("version") if isinstance(answer, dict) else None
    return isinstance(version, str) and "jsonfeed.org/version/" in version


def read(answer: Any, where: str, today: date) -> Listing:
    """The listing in a JSON Feed. Raises FeedError where its items are no list."""
    items = answer.get("items", [])
    if not isinstance(items, list):
        raise fields.not_a_feed(where, "its items are no list")
    bounds.few_items(items, where)
    entries = [_item(item, answer) for item in items if isinstance(item, dict)]
    feed = FeedParserDict({"title": fields.text_in(answer, "title")})
    return generic.read(FeedParserDict({"feed": feed, "entries": entries}), today)


def _item(item: dict[str, Any], feed: dict[str, Any]) -> FeedParserDict:
    link = fields.text_in(item, "url") or fields.text_in(item, "external_url")
    texts = (fields.text_in(item, name) for name in ("content_html", "content_text", "summary"))
    tags = item.get("tags")
    return FeedParserDict(
        {
            "id": str(item.get("id", "")),
            "link": link,
            "title": fields.text_in(item, "title"),
            "summary": max(texts, key=len),
            "authors": _people(item) or _people(feed),
            "tags": [{"term": tag} for tag in tags if isinstance(tag, str)]
            if isinstance(tags, list)
            else [],
            "published_parsed": _moment(fields.text_in(item, "date_published")),
            "updated_parsed": _moment(fields.text_in(item, "date_modified")),
        }
    )


def _people(holder: dict[str, Any]) -> list[dict[str, Any]]:
    people = holder.get("authors")
    people = people if isinstance(people, list) else [holder.get("author")]
    return [person for person in people if isinstance(person, dict)]


def _moment(text: str) -> Any:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).utctimetuple()
    except (ValueError, OverflowError):
        return None
