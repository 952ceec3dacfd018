"""`digest demo`: plays the first day, tells what it did, and serves the pages and the inbox."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from digest.cli.terminal import AsJson, print_json, print_table, progress, say

if TYPE_CHECKING:
    from digest.demo.stage import Morning, Stage


def demo(
    feed: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE_OR_URL", help="A feed instead of the sample papers."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of the pages; 0 for any [8000].")
    ] = None,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="End when the first day's mails are sent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The whole product with no configuration: sample papers, readers, and their mailboxes."""
    from digest import demo as product
    from digest import logs
    from digest.demo import pages

    logs.configure(verbose=False)
    with product.until_ended(), ExitStack() as stack:
        door = None if no_serve else stack.enter_context(product.door(port))
        number = door.getsockname()[1] if door else port or product.DEFAULT_PORT
        stage = stack.enter_context(product.staged(feed or [], number))
        with progress("Playing the first day") as advance:
            morning = stage.next_day(advance)
        if as_json:
            print_json(_summary(stage, morning, served=door is not None))
        else:
            _tell(stage, morning, served=door is not None)
        if door is not None:
            pages.serve(stage, door)


def _summary(stage: "Stage", morning: "Morning", *, served: bool) -> dict[str, object]:
    inbox = f"{stage.app.settings.web.base_url}/inbox" if served else None
    return {
        "day": morning.day,
        "papers": morning.papers,
        "mails": morning.mails,
        "days_to_come": len(stage.batches),
        "inbox": inbox,
    }


def _tell(stage: "Stage", morning: "Morning", *, served: bool) -> None:
    base = stage.app.settings.web.base_url
    say("")
    say(f"  {morning.day:%A}, {morning.day.day} {morning.day:%B %Y}", style="bold")
    feeds = "1 feed" if morning.sources == 1 else f"{morning.sources} feeds"
    if morning.mails:
        say(f"  {morning.papers} new papers read from {feeds}, ranked for each reader,")
        say(f"  and {morning.mails} digests handed to a mail server on this machine:")
        _print_mails(stage)
    else:
        say(f"  No new paper in {feeds}, as on a weekend or holiday: nobody gets a mail.")
    if not served:
        say("  Without --no-serve, an inbox would be open now to read them in.")
        return
    say(f"  Read them:  {base}/inbox", style="bold")
    say(f"  The pages:  {base}/")
    say("")
    say("  Vote on a paper, let the next day come, and see what has changed.")
    say("  All of this is throw-away; Ctrl-C ends it, and nothing stays behind.")
    say("")


def _print_mails(stage: "Stage") -> None:
    print_table(
        ["reader", "interested in", "at", "mail"],
        [
            (r.name, r.topics[0][0], f"{r.send_at} {r.timezone}", mail.message["Subject"])
            for r in stage.readers()
            for mail in stage.mailbox.of(r.email)[:1]
        ],
    )
