"""`digest feeds …` and `digest ingest`: the sources, and a pass over them."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from digest.cli.terminal import (
    AsJson,
    DryRun,
    opened,
    print_json,
    print_table,
    progress,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from digest.feeds.ingest import Report

COLUMNS = (
    *("id", "kind", "url", "title", "failures", "outcome"),
    *("checked_at", "changed_at", "next_fetch_at"),
)

cli = typer.Typer(help="The sources of papers.", no_args_is_help=True)


@cli.command("add")
def add(
    context: typer.Context,
    url: str,
    kind: Annotated[
        str | None,
        typer.Option(metavar="arxiv|huggingface|generic", help="Otherwise the address tells."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a feed: arXiv's, Hugging Face's daily papers, or any RSS, Atom or RDF feed."""
    from digest.feeds import ingest

    with opened(context) as app:
        feed = ingest.add_feed(app, url, kind)
    if as_json:
        print_json({"id": feed.id, "url": feed.url, "kind": feed.kind})
    else:
        say(f"Feed {feed.id} is read as {feed.kind}, from the next pass on: {feed.url}")


@cli.command("list")
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """All feeds, and what became of the last look at each."""
    from digest.feeds import ingest

    with opened(context) as app:
        feeds = ingest.list_feeds(app)
    if as_json:
        print_json([{name: getattr(feed, name) for name in COLUMNS} for feed in feeds])
    elif not feeds:
        say("There is no feed yet: `digest feeds add URL`.")
    else:
        rows = [(f.id, f.kind, f.url, f.checked_at, f.outcome) for f in feeds]
        print_table([">id", "kind", "address", "last look", "outcome"], rows)


@cli.command("remove")
def remove(
    context: typer.Context, feed_id: int, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Remove a feed; its papers stay, and it can be added again."""
    from digest.errors import NotFound
    from digest.feeds import ingest

    with opened(context) as app:
        found = [feed for feed in ingest.list_feeds(app) if feed.id == feed_id]
        if dry_run and not found:
            raise NotFound(f"there is no feed {feed_id}")
        feed = found[0] if dry_run else ingest.remove_feed(app, feed_id)
    if as_json:
        print_json({"id": feed_id, "url": feed.url, "removed": not dry_run})
    else:
        say(f"Feed {feed_id} {'would be' if dry_run else 'is'} removed: {feed.url}")


@cli.command("check")
def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Fetch and read every feed without storing anything; exit code 1 where one fails."""
    from digest.feeds import ingest

    with opened(context) as app, progress("Checking") as advance:
        reports = ingest.check_feeds(app, advance)
    _print_reports(reports, as_json)


def ingest(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE_OR_URL]...", help="Instead of the feeds that are due."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the feeds that are due, or what is named; exit code 1 where one fails."""
    from digest.feeds import ingest as passes

    with opened(context) as app, progress("Reading") as advance:
        if sources:
            reports = passes.ingest_sources(app, sources, advance)
        else:
            reports = passes.ingest_due(app, advance)
    if not reports and not as_json:
        say("No feed is due now; `digest feeds list` shows them.")
    else:
        _print_reports(reports, as_json)


def _print_reports(reports: "Sequence[Report]", as_json: bool) -> None:
    if as_json:
        print_json([asdict(report) for report in reports])
    else:
        rows = [(r.source, r.seen, r.new, r.updated, r.rejected, r.outcome) for r in reports]
        print_table(["source", ">seen", ">new", ">updated", ">rejected", "outcome"], rows)
    if any(report.failed for report in reports):
        raise typer.Exit(1)
