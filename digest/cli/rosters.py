"""`digest subscribers import` and `export`: readers from a file and to one."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from digest.cli.completion import addresses
from digest.cli.terminal import (
    AsJson,
    DryRun,
    data_out,
    document,
    opened,
    print_json,
    print_table,
    progress,
    say,
    text_file,
)


def from_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV (.csv) or JSON lines.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add the people of a file, ours or a CSV export of listmonk or Mailchimp.

    Whoever ended a subscription or was erased stays out; whom the other program has as blocked or
    bounced gets no mail.
    """
    from digest import admission, roster

    with opened(context) as app, text_file(file, "r") as lines, progress("Rows") as advance:
        rows = roster.read_rows(lines, roster.kind_of(file.name))
        done = admission.import_rows(app, rows, dry_run=dry_run, progress=advance)
    if as_json:
        print_json(done)
        return
    added = "would be added" if dry_run else "added"
    say(f"{done.added} {added}, {done.known} known already, {len(done.refused)} refused.")
    if done.suppressed:
        get = "would get" if dry_run else "get"
        say(f"{done.suppressed} addresses {get} no mail from now on: `digest suppressions list`.")
    if done.lost_votes:
        say(f"{done.lost_votes} votes were on papers that are not here, and are left out.")
    if done.refused:
        print_table([">row", "why it was refused"], done.refused)


def to_file(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="CSV (.csv) or JSON lines.")
    ] = None,
    email: Annotated[
        str | None,
        typer.Option(
            metavar="EMAIL", help="All the data of this person, as JSON.", autocompletion=addresses
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """All subscribers with their votes, for `import`; without FILE to stdout as JSON lines."""
    from digest import dossier, roster, subscribers

    with opened(context) as app, app.db.read() as session, ExitStack() as stack:
        person = subscribers.find(session, email) if email else None  # before a file is begun
        out = stack.enter_context(text_file(file, "w")) if file else data_out()
        if person:
            out.write(document(dossier.all_about(app, session, person)) + "\n")
            count = 1
        elif as_json and file is None:
            print_json(list(roster.export_rows(session)))
            return
        else:
            kind = roster.kind_of(file.name) if file else "jsonl"
            count = roster.write_rows(roster.export_rows(session), out, kind)
    if file and as_json:
        print_json({"file": str(file), "subscribers": count})
    elif file:
        say(f"Wrote {count} to {file}.")
