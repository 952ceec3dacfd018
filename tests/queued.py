"""Mails that wait in the outbox, and a server that takes them as it likes."""

from conftest import MORNING, Mailbox, _person
from sqlmodel import col, select

from digest.mail import outbox
from digest.models import (
    Digest,
    Edition,
    EditionPaper,
    OutboxMessage,
    Paper,
    Pick,
)

DAY = MORNING.date()


def put_digest(app, *people):
    """A digest of one paper for each, in the outbox."""
    now = app.now()
    with app.db.write() as session:
        if session.get(Edition, DAY) is None:
            session.add(Edition(day=DAY, created_at=now))
            paper = Paper(id=1, key="arxiv:2611.00001", title="x", url="u", updated_at=now)
            card = {
                "key": "arxiv:2611.00001",
                "title": "Lanterns in the fog",
                "abstract": "Fog is white. A lantern is not.",
                "authors": ["Mira Koval"],
                "categories": ["cs.CV"],
                "url": "https://papers.test/abs/1",
                "pdf_url": None,
                "journal": None,
            }
            session.add(paper)
            session.flush()
            session.add(EditionPaper(day=DAY, paper_id=1, card=card))
        for person in people:
            digest = Digest(
                subscriber_id=person.id,
                day=DAY,
                since=DAY,
                candidates=40,
                reasons=["Lanterns."],
                created_at=now,
            )
            session.add(digest)
            session.flush()
            whose = {"digest_id": digest.id, "subscriber_id": person.id}
            session.add(Pick(**whose, position=1, paper_id=1, score=1.0))
            outbox.enqueue(session, "digest", person.id, now, digest.id)


def put(app, kind, person):
    with app.db.write() as session:
        outbox.enqueue(session, kind, person.id, app.now())


def rows(app):
    with app.db.read() as session:
        return list(session.exec(select(OutboxMessage).order_by(col(OutboxMessage.id))))


def change(app, row, **values):
    with app.db.write() as session:
        session.merge(row.model_copy(update=values))


def crowd(app, size):
    return [_person(app, f"reader{n}@crowd.test", status="active") for n in range(size)]


class Moody(Mailbox):
    """Gives the answers it was told to, one for each recipient in turn, then takes all."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer
