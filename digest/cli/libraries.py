"""`digest subscribers library`: a reader's own library as likes, and back."""

import os
from pathlib import Path
from typing import Annotated

import typer

from digest.cli.completion import Email
from digest.cli.terminal import AsJson, DryRun, opened, plain, print_json, progress, say

SHOWN = 20  # pieces that were not understood, on a terminal


def library(
    context: typer.Context,
    email: Email,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A .bib or .ris file, arxiv-sanity-lite's dict.db, or zotero:users/12345"
            " (its key in the environment, as ZOTERO_API_KEY).",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the liked papers to a .bib or .ris file."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the papers of a library somebody's likes, or write the likes to a file."""
    from digest import liked

    if (source is None) == (export is None):
        raise typer.BadParameter("expected either a SOURCE or --export FILE")
    with opened(context) as app:
        if export is not None:
            _export(liked.write_library(app, email, export), export, as_json)
            return
        key = os.environ.get("ZOTERO_API_KEY", "")
        with progress("Reading") as advance:
            named = liked.read_library(source or "", key=key, progress=advance)
        with progress("Papers") as advance:
            done = liked.add_library(app, email, named, dry_run=dry_run, progress=advance)
    new = done.papers - done.known
    if as_json:
        told = {"liked": new, "known": done.known, "down": done.down, "unread": done.unread}
        print_json(told | {"dry_run": dry_run})
        return
    become = "would become likes" if dry_run else "are likes now"
    stays = f" {done.down} voted down before stay so." if done.down else ""
    say(f"{new} papers {become}, {done.known} were before.{stays}")
    for piece in done.unread[:SHOWN]:
        typer.echo(f"Not understood as a paper: {plain(piece)}", err=True)
    if len(done.unread) > SHOWN:
        typer.echo(f"… and {len(done.unread) - SHOWN} more.", err=True)


def _export(count: int, file: Path, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(file), "papers": count})
    else:
        say(f"Wrote {count} papers to {file}.")
