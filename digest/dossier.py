"""All there is about one person, as values that JSON holds."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select
from sqlmodel import Session, col

from digest import feedback, roster
from digest.mail.compose import reason_of
from digest.models import (
    Bounce,
    Digest,
    Door,
    Handover,
    MailVote,
    OutboxMessage,
    Paper,
    PaperNews,
    PassedOver,
    Pick,
    Standing,
    StoredRanker,
    Subscriber,
    Suppression,
    ToldNews,
)

if TYPE_CHECKING:
    from digest.app import App

_KEPT = ("next_digest_at", "revision", "link_epoch", "view_epoch")


def all_about(app: "App", session: Session, person: Subscriber) -> dict[str, Any]:
    """Profile, votes, digests, mails and what came back of them, the days without a mail, the
    model, a suppression: whatever names the person. Papers are named by the ids users meet."""
    return {
        **roster.records(session, [person])[0],
        "papers_liked_at_sign_up": person.seeds,
        **{name: _plain(getattr(person, name)) for name in _KEPT},
        "standing": _listed(session, _of(Standing, person, Standing.since), "since", "status"),
        "digests": _digests(session, person),
        "days_without_mail": _listed(
            session, _of(PassedOver, person, PassedOver.day), "day", "outcome", "detail"
        ),
        "news_told": _news(session, person),
        "votes_by_mail": _mail_votes(session, person),
        "mails": _listed(
            session,
            _of(OutboxMessage, person, OutboxMessage.id),
            *("kind", "status", "created_at", "sent_at", "recipient", "tries", "response"),
        ),
        "other_doors": _doors(session, person),
        "bounces": _listed(
            session, _of(Bounce, person, Bounce.at), "at", "kind", "status", "detail"
        ),
        "suppression": _suppression(app, session, person),
        "model": _model(session, person),
    }


def _of(table: type[Any], person: Subscriber, order: Any) -> Select[Any]:
    return select(table).where(col(table.subscriber_id) == person.id).order_by(col(order))


def _listed(session: Session, query: Select[Any], *names: str) -> list[dict[str, Any]]:
    rows: Iterable[Any] = session.scalars(query)
    return [{name: _plain(getattr(row, name)) for name in names} for row in rows]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _digests(session: Session, person: Subscriber) -> list[dict[str, Any]]:
    found = session.scalars(_of(Digest, person, Digest.day)).all()
    papers: dict[int, list[dict[str, Any]]] = {digest.id: [] for digest in found}
    reasons = {digest.id: digest.reasons for digest in found}
    picks = (
        select(Pick, Paper)
        .join(Paper, col(Paper.id) == col(Pick.paper_id))
        .where(col(Pick.subscriber_id) == person.id)
    )
    for pick, paper in session.execute(picks.order_by(col(Pick.digest_id), col(Pick.position))):
        papers[pick.digest_id].append(_pick(pick, paper, reasons[pick.digest_id]))
    return [
        {
            "day": digest.day.isoformat(),
            "since": digest.since.isoformat(),
            "created_at": digest.created_at.isoformat(),
            "candidates": digest.candidates,
            "papers": papers[digest.id],
            "news": digest.news,
            "also": digest.also,
        }
        for digest in found
    ]


def _pick(pick: Pick, paper: Paper, reasons: list[str]) -> dict[str, Any]:
    shown = ("score", "topic", "exploring", "team")
    named = {"id": paper.key, "title": paper.title, "reason": reason_of(reasons, pick.position)}
    return named | {name: getattr(pick, name) for name in shown}


def _news(session: Session, person: Subscriber) -> list[dict[str, Any]]:
    told = (
        select(col(Paper.key), col(PaperNews.line), col(PaperNews.recorded_at))
        .join(PaperNews, col(PaperNews.paper_id) == col(Paper.id))
        .join(ToldNews, col(ToldNews.news_id) == col(PaperNews.id))
        .where(col(ToldNews.subscriber_id) == person.id)
    )
    return [
        {"paper": key, "line": line, "recorded_at": at.isoformat()}
        for key, line, at in session.execute(told.order_by(col(PaperNews.id)))
    ]


def _doors(session: Session, person: Subscriber) -> list[dict[str, Any]]:
    """Where else the digests went, without the addresses, which let whoever knows them write."""
    handed = (
        select(Door, Handover)
        .outerjoin(Handover, col(Handover.door_id) == col(Door.id))
        .where(col(Door.subscriber_id) == person.id)
    )
    found = session.execute(handed.order_by(col(Door.id), col(Handover.digest_id)))
    return [
        {
            "kind": door.url.partition(":")[0],
            "since": door.added_at.isoformat(),
            "status": each and each.status,
            "done_at": each and _plain(each.done_at),
            "tries": each and each.tries,
            "response": each and each.response,
        }
        for door, each in found
    ]


def _mail_votes(session: Session, person: Subscriber) -> list[dict[str, Any]]:
    """Those of the last moments, which tell a scanner from a person."""
    cast = (
        select(MailVote, col(Paper.key))
        .join(Digest, col(Digest.id) == col(MailVote.digest_id))
        .join(Paper, col(Paper.id) == col(MailVote.paper_id))
        .where(col(Digest.subscriber_id) == person.id)
    )
    return [
        {
            "paper": key,
            "vote": feedback.WORDS[vote.vote],
            "at": vote.cast_at.isoformat(),
            "counted": vote.counted,
        }
        for vote, key in session.execute(cast.order_by(col(MailVote.id)))
    ]


def _suppression(app: "App", session: Session, person: Subscriber) -> dict[str, Any] | None:
    hashes = app.tokens.address_hashes(person.email_key)
    found = select(Suppression).where(col(Suppression.address_hash).in_(hashes))
    listed = _listed(session, found, "reason", "detail", "created_at")
    return listed[0] if listed else None


def _model(session: Session, person: Subscriber) -> dict[str, Any] | None:
    """What the model holds: how much each paper voted on speaks, for (above 0) or against."""
    from digest.ranking.ranker import Ranker  # noqa: PLC0415 (slow import)

    stored = session.get(StoredRanker, person.id)
    if stored is None:
        return None
    ranker = Ranker.loads(stored.data)
    named = [int(paper) for paper in ranker.papers]
    keys = {
        paper: key
        for start in range(0, len(named), 500)
        for paper, key in session.execute(
            select(col(Paper.id), col(Paper.key)).where(
                col(Paper.id).in_(named[start : start + 500])
            )
        )
    }
    weights = zip(named, ranker.coefficients, strict=True)
    return {
        "method": stored.method,
        "trained_at": stored.trained_at.isoformat(),
        "bar": ranker.bar,
        "papers": {keys[paper]: weight for paper, weight in weights if paper in keys},
    }
