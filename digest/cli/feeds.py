"""`digest feeds …` and `digest ingest`: the sources, and a pass over them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digest.cli import completion
from digest.cli.terminal import (
    AsJson,
    DryRun,
    opened,
    parse_day,
    print_json,
    print_table,
    progress,
    say,
    written_to,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from digest.app import App
    from digest.feeds.ingest import Progress
    from digest.feeds.visit import Report

COLUMNS = (
    *("id", "kind", "url", "title", "failures", "outcome"),
    *("checked_at", "changed_at", "next_fetch_at"),
)

NO_FEED = "There is no feed yet: `digest feeds add URL`."

cli = typer.Typer(help="The sources of papers.", no_args_is_help=True)


@cli.command("add")
def add(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Its address, or a venue's or journal's page.")],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="arxiv|huggingface|biorxiv|openreview|crossref|generic",
            help="Otherwise the address tells.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a feed: arXiv's, Hugging Face's daily papers, or any RSS, Atom or RDF feed."""
    from digest.feeds import ingest
    from digest.feeds.parse import KINDS

    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r}: expected one of {', '.join(KINDS)}")
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
        say(NO_FEED)
    else:
        rows = [(f.id, f.kind, f.url, f.checked_at, f.outcome) for f in feeds]
        print_table([">id", "kind", "address", "last look", "outcome"], rows)


@cli.command("remove")
def remove(
    context: typer.Context,
    feed_id: Annotated[
        int,
        typer.Argument(
            min=1,
            max=2**31 - 1,
            help="As `feeds list` numbers it.",
            autocompletion=completion.feeds,
        ),
    ],
    dry_run: DryRun = False,
    as_json: AsJson = False,
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
    if not reports and not as_json:
        say(NO_FEED)
    else:
        _print_reports(reports, as_json)


@cli.command("import")
def from_opml(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="OPML", exists=True, dir_okay=False, help="The list.")
    ],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add the feeds of an OPML list, as feed readers export it; those that are there stay."""
    from digest.feeds import ingest, opml

    with opened(context) as app:
        outlines = opml.read(file.read_bytes())
        done = ingest.import_feeds(app, outlines, dry_run=dry_run)
    if as_json:
        print_json(done)
    else:
        print_table(["address", "title", "outcome"], [(d.url, d.title, d.outcome) for d in done])


@cli.command("export")
def to_opml(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Otherwise standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write all feeds as OPML, which any feed reader imports."""
    from digest.feeds import ingest, opml

    with opened(context) as app:
        feeds = ingest.list_feeds(app)
    listed = opml.write(feeds)
    if file is not None:
        written_to(file, listed)
    if as_json and file is not None:
        print_json({"file": str(file), "feeds": len(feeds)})
    elif as_json:
        print_json({"feeds": len(feeds), "opml": listed.decode()})
    elif file is None:
        print(listed.decode(), end="")
    else:
        say(f"{len(feeds)} feeds are in {file}.")


def ingest(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE_OR_URL]...", help="Instead of the feeds that are due."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="Backfill from this day.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="To this day; else today.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Read the kept bodies of these days again instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the feeds that are due, or what is named; exit code 1 where one fails.

    With --from: ask arXiv (by OAI-PMH), bioRxiv, medRxiv and Hugging Face for what the feeds
    should have brought on those days.
    """
    first, last = parse_day(since), parse_day(until)
    if first is None and (last is not None or replay):
        raise typer.BadParameter("--to and --replay need --from DAY")
    if first is not None and sources:
        raise typer.BadParameter("--from fills all feeds, so it takes no FILE_OR_URL")
    with opened(context) as app, progress("Reading") as advance:
        if first is not None:
            end = last or app.now().date()
            reports = _past(app, first, end, advance, replay=replay)
        else:
            reports = _pass(app, sources or [], advance)
    if not reports and not as_json:
        none = "No feed is due now" if first is None else "No feed has anything for these days"
        say(f"{none}; `digest feeds list` shows them.")
    else:
        _print_reports(reports, as_json)


def _pass(app: "App", sources: "Sequence[str]", advance: "Progress") -> "list[Report]":
    from digest.feeds import fill
    from digest.feeds import ingest as passes

    if sources:
        return passes.ingest_sources(app, sources, advance)
    return [*passes.ingest_due(app, advance), *fill.fill_due(app)]


def _past(
    app: "App", first: "date", last: "date", advance: "Progress", *, replay: bool
) -> "list[Report]":
    from digest.feeds import fill
    from digest.feeds import replay as kept

    if replay:
        return kept.replay(app, first, last, advance)
    return fill.backfill(app, first, last, progress=advance)


def _print_reports(reports: "Sequence[Report]", as_json: bool) -> None:
    if as_json:
        print_json([asdict(report) for report in reports])
    else:
        rows = [(r.source, r.seen, r.new, r.updated, r.rejected, r.outcome) for r in reports]
        print_table(["source", ">seen", ">new", ">updated", ">rejected", "outcome"], rows)
    if any(report.failed for report in reports):
        raise typer.Exit(1)
