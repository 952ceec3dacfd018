"""`digest bounces …` and `digest suppressions …`: mail that comes back, and who gets none."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digest.cli.completion import addresses
from digest.cli.terminal import (
    AsJson,
    DryRun,
    Yes,
    opened,
    print_fields,
    print_json,
    print_table,
    progress,
    say,
    sure,
)

if TYPE_CHECKING:
    from digest.models import Suppression

bounces = typer.Typer(help="Mail that comes back.", no_args_is_help=True)
suppressions = typer.Typer(help="Addresses that get no mail.", no_args_is_help=True)

Email = Annotated[
    str, typer.Argument(metavar="EMAIL", help="The address.", autocompletion=addresses)
]


@bounces.command("process")
def process(
    context: typer.Context,
    place: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MBOX_OR_MAILDIR]", help="Otherwise the mailbox of the section bounces."
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Read bounces and complaints: suppress what is dead, unsubscribe who complains."""
    from digest.mail import bounces

    with opened(context) as app, progress("Reading") as advance:
        done = bounces.process(app, place, dry_run=dry_run, progress=advance)
    if as_json:
        print_json(done)
    else:
        print_fields(asdict(done).items())


@bounces.command("webhook")
def webhook(context: typer.Context, as_json: AsJson = False) -> None:
    """The secret address at which a mail provider may report bounces and complaints."""
    from digest.mail import bounces

    with opened(context) as app:
        address = bounces.webhook(app)
    if as_json:
        print_json({"url": address})
    else:
        print(address)


@suppressions.command("list")
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """All addresses that get no mail, and why; of an erased one only a hash is left."""
    from digest.suppressions import listing

    with opened(context) as app, app.db.read() as session:
        rows = listing(session)
    if as_json:
        print_json([_record(row) for row in rows])
    elif not rows:
        say("Mail goes to every address: none is suppressed.")
    else:
        shown = [(r.email or "(erased)", r.reason, r.created_at, r.detail) for r in rows]
        print_table(["address", "reason", "since", "what was said"], shown)


@suppressions.command("add")
def add(
    context: typer.Context, email: Email, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Let no mail go to an address from now on."""
    from digest.suppressions import add

    with opened(context) as app:
        row = add(app, email, dry_run=dry_run)
    if as_json:
        print_json({"email": row.email or email, "suppressed": not dry_run})
    else:
        say(f"{email} {'would get' if dry_run else 'gets'} no mail from now on.")


@suppressions.command("remove")
def remove(
    context: typer.Context,
    email: Email,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let mail go to an address again, for instance once its mailbox is mended."""
    from digest.suppressions import remove

    with opened(context) as app:
        row = remove(app, email, dry_run=True)
        if not dry_run:
            if row.reason == "complaint":
                sure(f"{email} complained of a mail as spam. Let mail go there again?", yes)
            remove(app, email)
    if as_json:
        print_json({"email": email, "reason": row.reason, "removed": not dry_run})
    else:
        say(f"Mail {'would go' if dry_run else 'goes'} to {email} again.")


def _record(row: "Suppression") -> dict[str, object]:
    return {name: getattr(row, name) for name in ("email", "reason", "detail", "created_at")}
