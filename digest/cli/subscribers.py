"""`digest subscribers …`: who reads, and what they wish for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digest.cli.completion import Email
from digest.cli.terminal import (
    AsJson,
    DryRun,
    Yes,
    as_usage,
    opened,
    parse_day,
    plain,
    print_fields,
    print_json,
    print_table,
    say,
    sure,
    text_file,
)

if TYPE_CHECKING:
    from digest.app import App
    from digest.changes import Changes
    from digest.citations import Citations
    from digest.models import Subscriber

cli = typer.Typer(help="Who reads: add, change, pause, end, import, export.", no_args_is_help=True)

COLUMNS = (
    *("email", "name", "status", "topics", "categories", "authors", "muted", "min_score"),
    *("per_digest", "frequency", "send_at", "timezone", "paused_until", "next_digest_at"),
    *("created_at", "confirmed_at"),
)

STATUSES = ("pending", "active", "paused", "removed")

Name = Annotated[str | None, typer.Option(help="How the mail addresses them.")]
Topic = Annotated[
    list[str] | None,
    typer.Option(help="An interest in plain words, once for each; `… ^2` weighs it double."),
]
Category = Annotated[list[str] | None, typer.Option(help="An arXiv category, once for each.")]
Author = Annotated[list[str] | None, typer.Option(help="An author to follow, once for each.")]
Like = Annotated[list[str] | None, typer.Option(help="The id of a paper to start from.")]
Bibtex = Annotated[
    Path | None, typer.Option(metavar="FILE", help="BibTeX of papers to start from.")
]
Mute = Annotated[list[str] | None, typer.Option(help="A word to leave out, once for each.")]
MinScore = Annotated[
    float | None, typer.Option(help="Leave out what scores lower (up to 1); 0: no such bar.")
]
PerDigest = Annotated[int | None, typer.Option(min=1, max=50, help="Papers per digest [10].")]
Frequency = Annotated[
    str | None, typer.Option(metavar="daily|weekdays|weekly", help="How often (daily).")
]
At = Annotated[str | None, typer.Option(metavar="HH:MM", help="When [07:00].")]
Zone = Annotated[str | None, typer.Option(help="In which time zone [UTC].")]

Also = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL", help="Where else the digests go: a webhook or a chat, once for each."
    ),
]


@cli.command("add")
def add(
    context: typer.Context,
    email: Email,
    name: Name = None,
    topic: Topic = None,
    category: Category = None,
    author: Author = None,
    like: Like = None,
    bibtex: Bibtex = None,
    mute: Mute = None,
    min_score: MinScore = None,
    per_digest: PerDigest = None,
    frequency: Frequency = None,
    at: At = None,
    timezone: Zone = None,
    as_json: AsJson = False,
) -> None:
    """Add a confirmed subscriber."""
    from digest import subscribers

    changes = _changes(
        name, topic, category, author, mute, min_score, per_digest, frequency, at, timezone
    )
    liked = _liked(like or [], bibtex)
    with opened(context) as app:
        person = subscribers.add(app, email, changes)
        planted = subscribers.like(app, _find(app, email), liked)
    _show(person, as_json)
    _tell_unknown(category or [])
    if not (as_json or person.topics or person.categories or person.authors or planted.papers):
        say("Nothing says yet what this reader likes: `digest subscribers edit EMAIL --topic …`.")
    if planted.papers and not as_json:
        say(f"Starts from {planted.papers} paper{'s' * (planted.papers > 1)}.")
    for piece in planted.unread:
        typer.echo(f"Not understood as a paper: {plain(piece)}", err=True)


@cli.command("edit")
def edit(
    context: typer.Context,
    email: Email,
    name: Name = None,
    topic: Topic = None,
    category: Category = None,
    author: Author = None,
    mute: Mute = None,
    min_score: MinScore = None,
    per_digest: PerDigest = None,
    frequency: Frequency = None,
    at: At = None,
    timezone: Zone = None,
    also: Also = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; a list given replaces the one before, `--topic ""` empties it."""
    from digest import handing, subscribers

    changes = _changes(
        name, topic, category, author, mute, min_score, per_digest, frequency, at, timezone
    )
    with opened(context) as app:
        number = _find(app, email)
        if also is not None:
            handing.set_doors(app, number, also)
        person = subscribers.edit(app, number, changes)
        with app.db.read() as session:
            doors = handing.doors(session, number)
    _show(person, as_json, doors)
    _tell_unknown(category or [])


def _tell_unknown(wished: list[str]) -> None:
    """Other sources have other categories, so a code that looks mistyped is told of and kept."""
    from digest.categories import exists, meant
    from digest.changes import parse_topic

    for code, _ in map(parse_topic, wished):
        if not exists(code) and (near := meant(code)):
            typer.echo(f"arXiv has no category {plain(code)}: did you mean {near}?", err=True)


def _changes(
    name: str | None,
    topic: list[str] | None,
    category: list[str] | None,
    author: list[str] | None,
    mute: list[str] | None,
    min_score: float | None,
    per_digest: int | None,
    frequency: str | None,
    at: str | None,
    timezone: str | None,
) -> "Changes":
    from digest.changes import Changes, parse_topic

    with as_usage():
        changes = Changes(
            name=name,
            topics=None if topic is None else [parse_topic(text) for text in topic],
            categories=None if category is None else [parse_topic(text) for text in category],
            authors=author,
            muted=mute,
            min_score=min_score,
            per_digest=per_digest,
            frequency=frequency,
            send_at=at,
            timezone=timezone,
        )
        changes.checked()
    return changes


def _liked(ids: list[str], bibtex: Path | None) -> "Citations":
    """What a file holds besides papers may stay there; an id that is none is wrong usage."""
    from digest.citations import Citations, parse_citations

    named = parse_citations("\n".join(ids))
    if named.unread:
        raise typer.BadParameter(f"--like {named.unread[0]}: expected the id of a paper")
    if bibtex is None:
        return named
    with text_file(bibtex, "r") as file:
        held = parse_citations(file.read())
    return Citations((*named.papers, *held.papers), held.unread)


def _find(app: "App", email: str) -> int:
    from digest import subscribers

    with app.db.read() as session:
        person = subscribers.find(session, email)
    assert person.id is not None
    return person.id


@cli.command("list")
def listing(
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option(metavar="|".join(STATUSES), help="Only these.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """All subscribers."""
    from digest import subscribers

    if status is not None and status not in STATUSES:
        raise typer.BadParameter(f"{status!r}: expected one of {', '.join(STATUSES)}")
    with opened(context) as app, app.db.read() as session:
        people = subscribers.listing(session, status)
    if as_json:
        print_json([_record(person) for person in people])
        return
    if not people:
        none = "There is no subscriber yet: `digest subscribers add EMAIL --topic …`."
        say(f"Nobody is {status}." if status else none)
        return
    rows = [
        (p.email, p.status, _weighted(p.topics), _when(p), p.next_digest_at, p.per_digest)
        for p in people
    ]
    print_table(["email", "status", "topics", "when", "next", ">papers"], rows)


@cli.command("show")
def show(context: typer.Context, email: Email, as_json: AsJson = False) -> None:
    """One subscriber's wishes, and where the subscription stands."""
    from digest import handing, subscribers

    with opened(context) as app, app.db.read() as session:
        person = subscribers.find(session, email)
        doors = handing.doors(session, person.id or 0)
    _show(person, as_json, doors)


@cli.command("pause")
def pause(
    context: typer.Context,
    email: Email,
    until: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="The first day with mail again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """No mail until a day, or until `resume`."""
    from digest import subscribers

    back = parse_day(until)
    with opened(context) as app:
        person = subscribers.pause(app, _find(app, email), back)
    _show(person, as_json)


@cli.command("resume")
def resume(context: typer.Context, email: Email, as_json: AsJson = False) -> None:
    """End a pause."""
    from digest import subscribers

    with opened(context) as app:
        person = subscribers.resume(app, _find(app, email))
    _show(person, as_json)


@cli.command("remove")
def remove(
    context: typer.Context,
    email: Email,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """End a subscription; only the person's own new sign-up begins it again."""
    from digest import subscribers

    with opened(context) as app:
        person = _find(app, email)
        if not dry_run:
            sure(f"End the subscription of {email}?", yes)
            subscribers.remove(app, person)
    _done(email, "removed", dry_run, as_json)


@cli.command("erase")
def erase(
    context: typer.Context,
    email: Email,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete all that is known of a person, but a keyed hash that bars an import."""
    from digest import subscribers

    with opened(context) as app:
        person = _find(app, email)
        if not dry_run:
            sure(f"Erase {email} with all votes and digests?", yes)
            subscribers.erase(app, person)
    _done(email, "erased", dry_run, as_json)


def _done(email: str, what: str, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"email": email, what: not dry_run})
    else:
        say(f"{email} would be {what}." if dry_run else f"{email} is {what}.")


def _show(person: "Subscriber", as_json: bool, doors: Sequence[str] = ()) -> None:
    record = _record(person) | ({"also": list(doors)} if doors else {})
    if as_json:
        print_json(record)
        return
    for name in ("topics", "categories"):
        record[name] = _weighted(record[name])
    for name in ("authors", "muted", *(["also"] if doors else [])):
        record[name] = ", ".join(record[name])
    print_fields((name.replace("_", " "), value) for name, value in record.items())


def _record(person: "Subscriber") -> dict[str, Any]:
    return {name: getattr(person, name) for name in COLUMNS}


def _weighted(pairs: list[Any]) -> str:
    return ", ".join(text if weight == 1 else f"{text} ^{weight:g}" for text, weight in pairs)


def _when(person: "Subscriber") -> str:
    if person.paused_until:
        return f"paused until {person.paused_until}"
    return f"{person.frequency} {person.send_at} {person.timezone}"
