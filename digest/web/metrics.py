"""The figures under the names by which Prometheus knows them."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from digest.feeds.judge import SUSPECT
from digest.figures import FeedFigures, Figures


def families(found: Figures, now: datetime) -> CollectorRegistry:
    """A registry of these figures alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures([*_of_feeds(found.feeds, now), *_of_mail(found, now)]))
    return registry


class _Figures(Collector):
    def __init__(self, found: list[GaugeMetricFamily]) -> None:
        self._found = found

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._found


def _of_feeds(feeds: list[FeedFigures], now: datetime) -> Iterator[GaugeMetricFamily]:
    announced = GaugeMetricFamily(
        "digest_announcements_week",
        "Papers announced on the last seven listing days.",
        labels=["feed", "name", "kind"],
    )
    checked = _of_feed("digest_feed_checked_age_seconds", "Since the feed was asked last.")
    changed = _of_feed("digest_feed_changed_age_seconds", "Since the feed brought anything new.")
    failures = _of_feed("digest_feed_failures", "Failed fetches in a row.")
    for feed in feeds:
        labels = [str(feed.id), feed.name]
        for kind, count in feed.announced.items():
            announced.add_metric([*labels, kind], count)
        for family, moment in ((checked, feed.checked_at), (changed, feed.changed_at)):
            if moment is not None:
                family.add_metric(labels, (now - moment).total_seconds())
        failures.add_metric(labels, feed.failures)
    yield from (announced, checked, changed, failures)


def _of_feed(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["feed", "name"])


def _of_mail(found: Figures, now: datetime) -> Iterator[GaugeMetricFamily]:
    suspect = sum(count for verdict, count in found.batches.items() if verdict in SUSPECT)
    yield _by("digest_batches", "Batches of thirty days.", "verdict", found.batches)
    yield _one("digest_batches_suspect", "Batches of thirty days that are in doubt.", suspect)
    yield _one("digest_papers_missing", "Papers known to lack in them.", found.papers_missing)
    yield _by("digest_subscribers", "Subscribers.", "status", found.subscribers)
    yield _one("digest_late_seconds", "How late the latest digest is.", found.late_reader)
    yield _by("digest_outbox", "Mails on their way.", "status", found.outbox)
    yield _one("digest_outbox_late_seconds", "How late the latest mail is.", found.late_mail)
    mails = GaugeMetricFamily(
        "digest_mails_day", "Mails made in 24 hours.", labels=["kind", "status"]
    )
    for (kind, status), count in found.mails.items():
        mails.add_metric([kind, status], count)
    yield mails
    yield _one("digest_mails_in_doubt_day", "Those sent twice perhaps.", found.in_doubt)
    yield _by("digest_passed_over", "Readers without a mail today.", "outcome", found.passed_over)
    yield _by("digest_bounces_day", "Mails that came back in 24 hours.", "kind", found.bounces)
    yield _by("digest_suppressions", "Addresses without mail.", "reason", found.suppressions)
    yield _by("digest_votes_day", "Votes of 24 hours.", "vote", found.votes)
    yield _one("digest_alerts", "Troubles that last.", len(found.alerts))
    jobs = GaugeMetricFamily(
        "digest_job_failures", "Failures in a row of a job that fails.", labels=["job", "place"]
    )
    for job in found.failing:
        jobs.add_metric([job.job, job.place], job.failures)
    yield jobs
    for name, moment in (("ingest", found.last_ingest), ("delivery", found.last_delivery)):
        if moment is not None:
            age = (now - moment).total_seconds()
            yield _one(f"digest_last_{name}_age_seconds", f"Since the last {name}.", age)


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, counts: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
