"""Mails that come back: of what was sent, from whatever server, in a mailbox."""

import mailbox as mailboxes

import pytest
from conftest import MORNING
from test_reports import DSN

from digest import suppressions
from digest.models import OutboxMessage, Subscriber
from digest.settings import Settings


def mark_of(app, row):
    return app.tokens.mark(row.subscriber_id, row.id)


def notice(mark, status="5.1.1", at=MORNING, action="failed"):
    raw = DSN.format(
        to="digest@digest.test",
        action=action,
        status=status,
        said=f"smtp; 550 {status} no",
        original="message/rfc822",
        mark=mark,
    )
    return raw.replace("Wed, 18 Nov 2026 08:30:00", f"{at:%a, %d %b %Y %H:%M:%S}", 1).encode()


def sent(app, person):
    """The row of a small mail that was sent to the person just now."""
    with app.db.write() as session:
        row = OutboxMessage(
            kind="link",
            subscriber_id=person.id,
            status="sent",
            due_at=app.now(),
            created_at=app.now(),
            sent_at=app.now(),
        )
        session.add(row)
    return row


@pytest.fixture
def post(tmp_path):
    """Puts mails into a fresh mbox and gives its place."""
    count = 0

    def write(*mails):
        nonlocal count
        count += 1
        box = mailboxes.mbox(tmp_path / f"box{count}")
        for raw in mails:
            box.add(raw)
        box.close()
        return tmp_path / f"box{count}"

    return write


def person(app, who):
    with app.db.read() as session:
        return session.get(Subscriber, who.id)


def reason(app, who):
    with app.db.read() as session:
        return suppressions.suppressed(app, session, who.email_key)


def with_bounces(app, **values):
    changed = Settings.model_validate(app.settings.model_dump() | {"bounces": values})
    return type(app)(changed, app.db, app.tokens, app.templates, app.now)
