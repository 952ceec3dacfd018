"""What the service does by itself, and how often. Running a job twice or late does no harm: each
asks the database what is due, so a lost or doubled wake-up costs nothing but time."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import structlog

from digest import (
    alerts,
    clock,
    delivery,
    failing,
    handing,
    outcomes,
    retention,
    signup,
    subscribers,
    summaries,
    training,
)
from digest.app import App
from digest.feeds import batches, fill, ingest, named
from digest.feeds.fetch import shown
from digest.mail import bounces, outbox

Stop = Callable[[], bool]

log = structlog.get_logger()


@dataclass(frozen=True)
class Job:
    """`part` says which process runs it: the scheduler finds work, the worker sends mail; `seconds`
    is 0 where no clock wakes it. `run` takes the application, and what says that the process is to
    end: a long job then leaves off at the next good place. Of those that are `alone`, one runs at a
    time, on whatever machine."""

    name: str
    part: str
    seconds: int
    run: Callable[[App, Stop], None]
    alone: bool = False


def fetch(app: App, stop: Stop) -> None:
    """Reads the feeds that are due and fills what they lack; new papers may call for a new
    feature space."""
    for report in [*ingest.ingest_due(app, stop=stop), *fill.fill_due(app, stop=stop)]:
        log.info(
            "ingested",
            source=shown(report.source),
            seen=report.seen,
            new=report.new,
            updated=report.updated,
            rejected=report.rejected,
            outcome=report.outcome,
        )
    if not stop():
        training.refit_if_due(app)


def fetch_seeds(app: App, _stop: Stop) -> None:
    """Gets the texts of papers that readers named."""
    named.fetch_named(app, fill.ROUTES)


def prepare(app: App, stop: Stop, among: range | None = None) -> None:
    """Makes the digests that are due (`among`: to subscribers of these ids)."""
    made, skipped = delivery.prepare(app, among=among, stop=stop)
    if made or skipped:
        log.info("prepared", digests=made, nothing_new=skipped)


def summarise(app: App, stop: Stop) -> None:
    """Asks for sentences about the papers of the next hour's digests, where that is set."""
    came = summaries.summarise(app, stop)
    if came:
        log.info("summarised", papers=came)


def welcome(app: App, stop: Stop) -> None:
    """First digests do not wait for the others, for whoever has just confirmed is looking."""
    made = delivery.welcome(app, stop)
    if made:
        log.info("welcomed", digests=made)


def send(app: App, stop: Stop) -> None:
    sent = outbox.send_due(app, stop=stop)
    if sent != outbox.Sent():
        log.info("sent", sent=sent.sent, failed=sent.failed, in_doubt=sent.in_doubt)


def hand_over(app: App, stop: Stop) -> None:
    """Takes digests to the other doors that the operator named; no mail waits for it."""
    handed = handing.hand_over(app, stop)
    if handed != handing.Handed():
        log.info("handed over", **asdict(handed))


def tidy(app: App, stop: Stop) -> None:
    """Ends pauses whose day has come; forgets sign-ups that nobody confirmed, and the kept bodies
    of feeds and old listings when their time is over; brings back what a wrong clock put off."""
    if late := clock.put_right(app):
        log.warning("the clock ran ahead: digests were put off too far", readers=late)
    subscribers.end_pauses(app)
    signup.purge_unconfirmed(app)
    batches.forget_raw(app)
    outcomes.forget(app)
    failing.forget(app)
    retention.forget_listings(app, stop)


def read_bounces(app: App, _stop: Stop) -> None:
    """Reads the mailbox of bounces, where there is one."""
    if app.settings.bounces.maildir is None and not app.settings.bounces.imap_host:
        return
    done = bounces.process(app)
    if done.seen:
        log.info("bounces read", **asdict(done))


def watch(app: App, _stop: Stop) -> None:
    """Looks for what the operator should hear of without asking."""
    alerts.watch(app)


JOBS = (
    Job("fetch", "scheduler", 60, fetch),
    Job("fetch seeds", "scheduler", 900, fetch_seeds, alone=True),
    Job("prepare", "scheduler", 30, prepare),
    Job("summarise", "scheduler", 300, summarise, alone=True),
    Job("welcome", "scheduler", 5, welcome),
    Job("tidy", "scheduler", 600, tidy, alone=True),
    Job("send", "worker", 2, send),
    Job("hand over", "worker", 30, hand_over, alone=True),
    Job("bounces", "worker", 300, read_bounces, alone=True),
    Job("watch", "worker", 600, watch, alone=True),
)
