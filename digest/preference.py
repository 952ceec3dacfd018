"""Which of two rankings the readers prefer, by their votes on digests that both put together."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

from sqlalchemy import case, func
from sqlmodel import Session, and_, col, select

from digest.models import Digest, Feedback, Pick

WITHIN = timedelta(days=60)
FEWEST = 20
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Preference:
    """Digests in which more votes (up less down) went to the ranking's picks, to the challenger's,
    or as many to both; `share` is the challenger's part of the decided ones, `low` to `high` its
    95 % interval (Wilson's: a sign test over digests). All three are empty where none is decided.
    """

    ranking: int
    challenger: int
    even: int
    share: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def sentence(self) -> str:
        """What the figures say, and whether there are enough of them."""
        decided = self.ranking + self.challenger
        if self.low is None or self.high is None or self.share is None:
            return "Two rankings are compared, but no votes prefer either yet."
        told = (
            f"The challenger won {self.challenger} of {decided} digests in which the votes differ:"
            f" {self.share:.0%} (95 % interval {self.low:.0%} to {self.high:.0%})"
        )
        if decided < FEWEST:
            return f"{told}; too few to tell."
        if self.low > 0.5:
            return f"{told}. Readers prefer the challenger."
        if self.high < 0.5:
            return f"{told}. Readers prefer the ranking as it is."
        return f"{told}. No difference is seen so far."


def preference(session: Session, now: datetime) -> Preference | None:
    """What the votes on the last 60 days' shared digests say; None where there were none.

    Votes count that were cast after the digest was made. A paper that both wanted is credited to
    the team that picked it, which is either as often.
    """
    recent = and_(col(Pick.team).is_not(None), col(Digest.created_at) > now - WITHIN)
    shared = select(Digest.id).join(Pick, col(Pick.digest_id) == col(Digest.id)).where(recent)
    if session.exec(shared.limit(1)).first() is None:
        return None
    side = case((col(Pick.team) == "challenger", 1), else_=-1)
    balances = session.exec(
        select(func.sum(side * col(Feedback.vote)))
        .select_from(Pick)
        .join(Digest, col(Digest.id) == col(Pick.digest_id))
        .join(
            Feedback,
            and_(
                col(Feedback.paper_id) == col(Pick.paper_id),
                col(Feedback.subscriber_id) == col(Pick.subscriber_id),
            ),
        )
        .where(recent, Feedback.vote != 0, col(Feedback.voted_at) >= col(Digest.created_at))
        .group_by(col(Pick.digest_id))
    ).all()
    return of_balances([int(balance) for balance in balances])


def of_balances(balances: list[int]) -> Preference:
    """From the votes for the challenger less those for the ranking, of each digest."""
    won, lost = sum(b > 0 for b in balances), sum(b < 0 for b in balances)
    even = len(balances) - won - lost
    if not won + lost:
        return Preference(lost, won, even)
    low, high = _wilson(won, won + lost)
    return Preference(lost, won, even, won / (won + lost), low, high)


def _wilson(won: int, of: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    share, square = won / of, _Z * _Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = _Z * sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return max(0.0, middle - half), min(1.0, middle + half)
