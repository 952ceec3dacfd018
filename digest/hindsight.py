"""How the ranker as it is today would have served the votes recorded here, digest by digest."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlmodel import Session, col, select

from digest import fitting, schedule, training
from digest.editions import papers_by_id
from digest.evaluation import Listed, Reader, Task, rankings
from digest.models import Digest, Feedback, Paper, Pick, Subscriber

if TYPE_CHECKING:
    from digest.app import App
    from digest.ranking.metrics import Estimate

MOST = 2000
FEWEST_DIGESTS, FEWEST_READERS = 10, 3
CAVEAT = (
    "A paper that was not sent could hardly be voted on, so the figures favour what was sent:"
    " compare them with each other over time, and not with those of other services."
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Hindsight:
    """The digests that were measured and their readers; `metrics` is empty where they are too few,
    and `note` says so."""

    users: int
    user_days: int
    metrics: "Mapping[str, Estimate]"
    note: str


@dataclass(frozen=True)
class _Case:
    """A digest: what could have been in it, what was known of its reader, what was liked later."""

    digest: Digest
    candidates: tuple[str, ...]
    reader: Reader
    relevant: frozenset[str]


def recorded(app: "App", progress: Progress | None = None) -> Hindsight:
    """Ranks anew, for each of the newest 2,000 digests that votes up followed, all that it could
    have held, with the votes and papers known when it was made, and measures where the papers
    stand that were voted up later.

    Of a vote that was changed only the last word and its time are known; of a profile, today's.
    """
    from digest.ranking.metrics import measure, summarise  # noqa: PLC0415 (slow import)

    with app.db.read() as session:
        cases = _cases(session)
        papers = _listed(session, cases)
    users = {case.digest.subscriber_id for case in cases}
    if len(cases) < FEWEST_DIGESTS or len(users) < FEWEST_READERS:
        return Hindsight(len(users), len(cases), {}, _too_few(len(cases), len(users)))
    by_name = {case.reader.user: case for case in cases}
    readers = {name: case.reader for name, case in by_name.items()}
    tasks = [
        Task(name, case.digest.day.isoformat(), case.candidates) for name, case in by_name.items()
    ]
    owners: list[str] = []
    rows: list[tuple[float, ...]] = []
    for ranking in rankings(papers, readers, tasks, solver=app.settings.ranking.solver):
        case = by_name[ranking.user]
        owners.append(str(case.digest.subscriber_id))
        rows.append(measure(ranking.ranking, case.relevant))
        if progress:
            progress(len(rows), len(tasks))
    return Hindsight(len(users), len(rows), summarise(owners, rows), CAVEAT)


def _too_few(digests: int, readers: int) -> str:
    if not digests:
        return "No digest was followed by a vote up yet: there is nothing to measure."
    return (
        f"{digests} digest{'s' * (digests != 1)} of {readers} reader{'s' * (readers != 1)} were"
        f" followed by votes up: too few to measure. {FEWEST_DIGESTS} of {FEWEST_READERS} readers"
        " are the least."
    )


def _cases(session: Session) -> list[_Case]:
    """In the order of time."""
    newest = select(Digest).order_by(col(Digest.created_at).desc(), col(Digest.id).desc())
    liked = select(Feedback.subscriber_id).where(Feedback.vote > 0, Feedback.source != "seed")
    digests = session.exec(newest.where(col(Digest.subscriber_id).in_(liked))).all()
    people = {person.id: person for person in session.exec(select(Subscriber))}
    votes = _votes(session)
    picks = _picks(session)
    by_day = _by_day(session)
    by_reader: dict[int, list[Digest]] = defaultdict(list)
    for digest in reversed(digests):
        by_reader[digest.subscriber_id].append(digest)
    found: list[_Case] = []
    for reader, theirs in by_reader.items():
        person = people[reader]
        for at, digest in enumerate(theirs):
            case = _case(person, digest, theirs[:at], votes[reader], picks, by_day)
            if case.relevant:
                found.append(case)
    found.sort(key=lambda case: (case.digest.created_at, case.digest.id or 0))
    return found[-MOST:]


def _case(
    person: Subscriber,
    digest: Digest,
    earlier: Sequence[Digest],
    votes: Sequence[Feedback],
    picks: Mapping[int, set[int]],
    by_day: Mapping[date, Sequence[tuple[int, datetime]]],
) -> _Case:
    """What the digest could have held is what `digest.picking` would have left open."""
    had = {paper for other in earlier for paper in picks.get(other.id or 0, ())}
    first, last = schedule.window(digest.day)
    before = [other for other in earlier if first <= other.day < digest.day]
    covered = max(before, key=lambda other: other.day, default=None)
    open_ = {
        paper
        for day, papers in by_day.items()
        if first <= day <= last
        for paper, known_at in papers
        if known_at <= digest.created_at and paper not in had
        if covered is None or day > covered.day or known_at > covered.created_at
    }
    open_ |= picks.get(digest.id or 0, set())
    known = [vote for vote in votes if vote.voted_at < digest.created_at]
    voted = {vote.paper_id for vote in known}
    later = {vote.paper_id for vote in votes if vote.vote > 0 and vote.source != "seed"} - voted
    reader = Reader(
        f"{person.id}/{digest.id}",
        training.profile(person),
        tuple(str(vote.paper_id) for vote in known if vote.vote > 0),
        tuple(str(vote.paper_id) for vote in known if vote.vote < 0),
    )
    candidates = tuple(str(paper) for paper in sorted(open_))
    return _Case(digest, candidates, reader, frozenset(str(paper) for paper in later & open_))


def _votes(session: Session) -> dict[int, list[Feedback]]:
    found: dict[int, list[Feedback]] = defaultdict(list)
    for vote in session.exec(
        select(Feedback).where(Feedback.vote != 0).order_by(col(Feedback.paper_id))
    ):
        found[vote.subscriber_id].append(vote)
    return found


def _picks(session: Session) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for digest, paper in session.exec(select(Pick.digest_id, Pick.paper_id)):
        found[digest].add(paper)
    return found


def _by_day(session: Session) -> dict[date, list[tuple[int, datetime]]]:
    found: dict[date, list[tuple[int, datetime]]] = defaultdict(list)
    announced = select(col(Paper.announced_day), col(Paper.id), col(Paper.announced_at))
    for day, paper, known_at in session.exec(announced.order_by(col(Paper.id))):
        if day and paper and known_at:
            found[day].append((paper, known_at))
    return found


def _listed(session: Session, cases: Iterable[_Case]) -> list[Listed]:
    """The papers on which features are learned, and all that the cases speak of; what was never
    announced counts as known from the start."""
    newest = select(Paper.id).where(fitting.LISTED).order_by(col(Paper.id).desc())
    ids = {paper for paper in session.exec(newest.limit(fitting.CORPUS)) if paper}
    for case in cases:
        named = (*case.candidates, *case.reader.likes, *case.reader.dislikes)
        ids.update(int(paper) for paper in named)
    return [
        Listed(
            str(paper.id),
            paper.announced_day.isoformat() if paper.announced_day else "",
            paper.title,
            paper.abstract,
            tuple(paper.categories),
        )
        for paper in papers_by_id(session, ids)
    ]
