"""The program `digest`: its commands, the global options, and the commands of the whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digest import __version__
from digest.cli import bounces, demo, digests, feeds, libraries, rosters, subscribers
from digest.cli.terminal import (
    AsJson,
    DryRun,
    Yes,
    busy,
    opened,
    parse_day,
    print_fields,
    print_json,
    print_table,
    say,
    say_hanging,
    sure,
    written_to,
)

if TYPE_CHECKING:
    from digest.doctor import Finding

cli = typer.Typer(
    help="A personalised digest of new papers, by mail every morning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
db = typer.Typer(help="Schema and data.", no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"digest {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The configuration; else $DIGEST_CONFIG, else ./config.toml, else the defaults.",
        ),
    ] = None,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = config


def init(
    context: typer.Context,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", "-c", help="An arXiv category, such as cs.LG; once for each."),
    ] = None,
) -> None:
    """Write config.toml, create the database and add the first feeds."""
    from digest.cli.setup import set_up

    path, urls = set_up(context.obj, category or [])
    say(f"Wrote {path} with a fresh secret, and created the database.", style="bold")
    if urls:
        print_fields([("feed", url) for url in urls])
    else:
        say("There is no feed yet, so nothing will come: name categories, or `digest feeds add`.")
    say(f"Next: set smtp, mail and web.base_url in {path}, and ask `digest doctor`.")
    say("Then: `digest subscribers add you@example.org --topic …`, and `digest run`.")


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check configuration, database, feeds and mail; exit code 1 where something fails."""
    from digest.doctor import check

    with opened(context) as app, busy("Looking"):
        findings = check(app)
    if as_json:
        print_json(findings)
    else:
        _print_findings(findings)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


def stats(
    context: typer.Context,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the last four weeks as a page instead."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Figures: what came in, what went out, and what became of the readers' days."""
    from digest.stats import stats as figures

    if html is not None:
        _draw(context, html, as_json)
        return

    with opened(context) as app, busy("Counting"):
        found = figures(app)
    if as_json:
        print_json(found)
        return
    told = {"subscribers": found.subscribers, "digests this week": found.digests}
    told |= {f"outcomes {day}": counts for day, counts in found.outcomes.items()}
    told |= {"votes": found.votes, "batches, 30 days": found.batches}
    pairs = [(name, _counted(counts)) for name, counts in told.items()]
    print_fields(
        [
            *pairs,
            ("papers", found.papers),
            ("last fetch", found.last_fetch or "never"),
            ("last mail", found.last_sent or "never"),
            ("latest digest", _late(found.late_seconds)),
        ]
    )
    if found.preference:
        say(found.preference.sentence)
    for job in found.failing:
        say(job.sentence)
    if found.feeds:
        rows = [(row.day, row.feed, row.new, row.replaced) for row in found.feeds]
        print_table(["day", "feed", ">new", ">replaced"], rows)


def _draw(context: typer.Context, file: Path, as_json: bool) -> None:
    from digest import drawing

    with opened(context) as app, busy("Counting"):
        written_to(file, drawing.page(app).encode())
    if as_json:
        print_json({"file": str(file)})
    else:
        say(f"{file} shows the last four weeks: open it in a browser.")


def _counted(counts: dict[str, int]) -> str:
    named = (f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    return ", ".join(named) or "none"


def _late(seconds: int) -> str:
    if not seconds:
        return "none is late"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes} min late" if minutes else f"{seconds} s late"
    return f"{minutes // 60} h {minutes % 60} min late"


def _print_findings(findings: "list[Finding]") -> None:
    styles = {"ok": ("green", "✓"), "warn": ("yellow", "!"), "fail": ("bold red", "✗")}
    for finding in findings:
        style, sign = styles[finding.state]
        say_hanging(f"{sign} {finding.name}: {finding.sentence}", indent="  ", style=style)
        if finding.mend:
            say_hanging(f"    {finding.mend}", indent="    ")


@db.command("upgrade")
def upgrade(context: typer.Context, as_json: AsJson = False) -> None:
    """Bring the schema up to this version's; every start does so by itself, too."""
    with opened(context) as app:
        place = app.db.url.render_as_string()
    if as_json:
        print_json({"database": place, "current": True})
    else:
        say(f"{place} has this version's schema.")


@db.command("backup")
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file.")],
    as_json: AsJson = False,
) -> None:
    """Write the whole database into FILE, while the service runs; never over an existing file."""
    from digest import backup as copies

    with opened(context) as app, busy("Copying"):
        size = copies.backup(app.db, file)
        place = app.db.file.with_name("secret") if app.db.file else None
        own_secret = bool(app.settings.web.secret.get_secret_value())
    if as_json:
        print_json({"file": str(file), "bytes": size})
        return
    say(f"{file} holds the database: {size / 1e6:.1f} MB, readable by you alone.")
    kept = "config.toml" if own_secret or place is None else str(place)
    say(f"Keep {kept} with it: without its secret the links in the mails of the past end.")


@db.command("restore")
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A backup.")],
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the database, and hold delivery until `digest db resume`."""
    from digest import backup as copies
    from digest import logs
    from digest.settings import load

    logs.configure(verbose=False)
    settings = load(context.obj)
    if not dry_run:
        sure(f"{file} is to replace the database {settings.database.url.split('@')[-1]}.", yes)
    with busy("Copying"):
        done = copies.restore(settings, file, dry_run=dry_run)
    if as_json:
        print_json(done)
        return
    if dry_run:
        say(f"{file} is a backup that can be restored; nothing was changed.")
        return
    if done.replaced:
        say(f"The replaced database is kept as {done.replaced}.")
    if done.left is None:
        say("It could not be read: who left or was suppressed since the backup is not known.")
    else:
        say(f"Taken over from it: {done.left} who left, {done.suppressed} suppressions.")
    say("Delivery is held, so that nothing is mailed twice: `digest db resume DAY` goes on with")
    say("what was announced on that listing day and later.")


@db.command("resume")
def resume(
    context: typer.Context,
    day: Annotated[str, typer.Argument(metavar="DAY", help="The first listing day to mail.")],
    as_json: AsJson = False,
) -> None:
    """Let delivery go on after a restore, with what was announced on DAY and later."""
    from digest import hold

    first = parse_day(day)
    assert first is not None
    with opened(context) as app:
        hold.resume(app, first)
    if as_json:
        print_json({"resumed_from": first})
    else:
        say(f"Delivery goes on with what was announced on {first} and later.")


def _staying(start: str, help_text: str) -> None:
    def command(context: typer.Context) -> None:
        from digest.cli import service

        with opened(context, verbose=True) as app:
            getattr(service, start)(app)

    cli.command(start, help=help_text)(command)


# The order is that of `digest --help`.
cli.command("demo")(demo.demo)
cli.command("init")(init)
cli.command("doctor")(doctor)
cli.command("stats")(stats)
_staying("run", "The service in one process: scheduler, delivery and web.")
_staying("web", "The web pages alone.")
_staying("scheduler", "Fetch feeds and prepare digests, alone.")
_staying("worker", "Send what is in the outbox, alone.")
cli.command("ingest")(feeds.ingest)
cli.command("rank")(digests.rank)
cli.command("preview")(digests.preview)
cli.command("deliver")(digests.deliver)
cli.command("why")(digests.why)
cli.command("send-test")(digests.send_test)
cli.command("vote")(digests.vote)
cli.command("evaluate")(digests.evaluate)
cli.add_typer(feeds.cli, name="feeds")
subscribers.cli.command("import")(rosters.from_file)
subscribers.cli.command("export")(rosters.to_file)
subscribers.cli.command("library")(libraries.library)
cli.add_typer(subscribers.cli, name="subscribers")
cli.add_typer(bounces.suppressions, name="suppressions")
cli.add_typer(bounces.bounces, name="bounces")
cli.add_typer(db, name="db")
