"""Whatever a reader wishes for and whatever a paper is called: on the way from the database to the
mailbox it adds no header, no recipient and no second mail."""

import re
from email import message_from_bytes, policy
from itertools import count

import pytest
from conftest import MORNING
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_message import attacks, hostile

from digest import subscribers
from digest.changes import Changes
from digest.errors import InputError
from digest.mail import outbox
from digest.models import Digest, Edition, EditionPaper, Paper, Pick

DAY = MORNING.date()
NUMBERS = count(1)

storable = hostile.map(lambda text: text.encode("utf-8", "replace").decode())
texts = storable | attacks
smuggled = st.sampled_from(
    [
        "x\r\n.\r\nMAIL FROM:<a@evil.test>\r\nRCPT TO:<b@evil.test>\r\nDATA\r\nx",
        "x\n.\nMAIL FROM:<a@evil.test>\n",
        "x\r.\r\n.",
        ".",
        ".\r\n",
    ]
)


def reader(app, name, topic):
    """A subscriber who is called so, or nameless where such a name is refused."""
    email = f"reader{next(NUMBERS)}@reader.test"
    for wishes in ({"name": name, "topics": [(topic, 1.0)]}, {"name": name}, {}):
        try:
            return subscribers.add(app, email, Changes(**wishes))
        except InputError:
            continue
    raise AssertionError("nobody can be added at all")


def put_digest(app, person, title, topic):
    now, number = app.now(), next(NUMBERS)
    key = f"arxiv:2611.{number:05}"
    card = {
        "key": key,
        "title": title,
        "abstract": f"{title} is a thing. {topic}.",
        "authors": [title, topic],
        "categories": [topic[:20]],
        "url": f"https://papers.test/{title}",
        "pdf_url": title,
        "journal": topic,
    }
    with app.db.write() as session:
        if session.get(Edition, DAY) is None:
            session.add(Edition(day=DAY, created_at=now))
        session.add(Paper(id=number, key=key, title=title, url="u", updated_at=now))
        session.flush()
        session.add(EditionPaper(day=DAY, paper_id=number, card=card))
        digest = Digest(
            subscriber_id=person.id,
            day=DAY,
            since=DAY,
            candidates=1,
            reasons=[topic],
            created_at=now,
        )
        session.add(digest)
        session.flush()
        whose = {"digest_id": digest.id, "subscriber_id": person.id, "paper_id": number}
        session.add(Pick(**whose, position=1, score=1.0, topic=topic))
        outbox.enqueue(session, "digest", person.id, now, digest.id)


@pytest.mark.sqlite  # PostgreSQL refuses some of these texts, which no reader of feeds lets through
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts, texts | smuggled, texts | smuggled)
def test_nothing_that_is_stored_becomes_a_header_or_a_mail(app, mailbox, name, topic, title):
    person = reader(app, name, topic)
    before = len(mailbox.envelopes)
    put_digest(app, person, title, topic)
    assert outbox.send_due(app).sent == 1
    [envelope] = mailbox.envelopes[before:]
    assert envelope.rcpt_tos == [person.email]
    assert envelope.mail_from == "digest@digest.test"
    raw = envelope.content
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert names == EXPECTED
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", raw)
    mail = message_from_bytes(raw, policy=policy.default)
    assert [address.addr_spec for address in mail["To"].addresses] == [person.email]
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert not mail.defects
    html = mail.get_body(("html",)).get_content()
    assert not re.search(r"<(script|img|iframe|form)\b|href=\"(?!https?:)", html)


EXPECTED = [
    *(b"From", b"To", b"Subject", b"Date", b"Message-ID"),
    *(b"List-Id", b"List-Unsubscribe", b"List-Unsubscribe-Post", b"Precedence"),
    *(b"Feedback-ID", b"Auto-Submitted", b"X-Auto-Response-Suppress"),
    *(b"MIME-Version", b"Content-Type"),
]
