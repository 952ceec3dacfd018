"""Subscribers as other mailing-list programs export them: listmonk, and Mailchimp's three lists."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]

_LISTMONK = {"email", "uuid", "attributes", "status"}
_MAILCHIMP = {"Email Address", "MEMBER_RATING"}
_MAILCHIMP_CLEANED = {"Email Address", "CLEAN_TIME"}
# listmonk's status of a subscriber, as its documentation names them.
_LISTMONK_STATUS: dict[str, Row] = {
    "enabled": {"status": "active"},
    "disabled": {"status": "removed"},
    "blocklisted": {"status": "removed", "suppressed": "operator"},
}


def program(columns: Sequence[str]) -> str | None:
    """`listmonk` or `mailchimp` where the columns are those of its CSV export, else None."""
    names = set(columns)
    if names >= _LISTMONK:
        return "listmonk"
    if names >= _MAILCHIMP or names >= _MAILCHIMP_CLEANED:
        return "mailchimp"
    return None


def row(cells: Mapping[str, str], of: str) -> Row:
    """A line of such an export, as a row that `admission.import_rows` takes.

    Who is blocked or bounced there comes with `suppressed`, who left there with the status removed.
    listmonk's attributes `topics`, `categories` and `authors` are taken, where they are lists.
    """
    return _from_listmonk(cells) if of == "listmonk" else _from_mailchimp(cells)


def _from_listmonk(cells: Mapping[str, str]) -> Row:
    taken: Row = {"email": cells.get("email", ""), "name": cells.get("name", "")}
    taken |= _LISTMONK_STATUS.get(cells.get("status", ""), {"status": cells.get("status", "")})
    taken["created_at"] = _moment(cells.get("created_at", ""))
    with suppress(json.JSONDecodeError):
        attributes = json.loads(cells.get("attributes", "") or "{}")
        if isinstance(attributes, dict):
            for name in ("topics", "categories"):
                taken[name] = [(text, 1.0) for text in _texts(attributes.get(name))]
            taken["authors"] = _texts(attributes.get("authors"))
    return taken


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _from_mailchimp(cells: Mapping[str, str]) -> Row:
    """The list tells what became of a member: only two of the three have these columns."""
    names = (cells.get("First Name", ""), cells.get("Last Name", ""))
    taken: Row = {
        "email": cells.get("Email Address", ""),
        "name": " ".join(name for name in names if name),
        "confirmed_at": _moment(cells.get("CONFIRM_TIME", "")),
        "status": "active",
    }
    if "CLEAN_TIME" in cells:
        taken |= {"status": "removed", "suppressed": "bounce"}
    elif "UNSUB_TIME" in cells:
        taken["status"] = "removed"
    return taken


def _moment(text: str) -> datetime | None:
    """A moment as either writes it; one without a zone is UTC."""
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
