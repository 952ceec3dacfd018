"""Whether anybody is subscribed, and served in time."""

from collections.abc import Iterator

from sqlalchemy import func
from sqlmodel import Session, col, select

from digest.app import App
from digest.doctor.finding import LATE_AFTER, Finding
from digest.models import Subscriber


def served(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        active = _count(session, Subscriber.status == "active")
        pending = _count(session, Subscriber.status == "pending")
        late = _count(
            session,
            Subscriber.status == "active",
            col(Subscriber.next_digest_at) < app.now() - LATE_AFTER,
        )
    if late:
        yield Finding(
            "subscribers",
            "fail",
            f"The digests of {late} of {active} are more than two hours late.",
            "See that `digest run` is running, or run `digest deliver`.",
        )
    elif active:
        some = "1 is active" if active == 1 else f"{active} are active"
        yield Finding("subscribers", "ok", f"{some}, and none is late.")
    else:
        yield Finding(
            "subscribers", "warn", "Nobody is subscribed.", "`digest subscribers add EMAIL`"
        )
    if pending and not active:
        yield Finding(
            "confirmations",
            "warn",
            f"{pending} signed up, and nobody has confirmed it.",
            "See that the confirmations arrive: `digest send-test` to an address of your own, and"
            " its folder for spam. The link in them leads to web.base_url.",
        )


def _count(session: Session, *conditions: object) -> int:
    query = select(func.count()).select_from(Subscriber).where(*conditions)  # type: ignore[arg-type]
    return session.exec(query).one()
