"""The commands about digests: vote, rank, preview, deliver, why, send-test, evaluate."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digest.cli.completion import Email, addresses
from digest.cli.terminal import (
    AsJson,
    Day,
    DryRun,
    as_usage,
    busy,
    opened,
    parse_day,
    print_fields,
    print_json,
    print_table,
    progress,
    say,
    written_to,
)

if TYPE_CHECKING:
    from digest.ranking.metrics import Estimate

ADDRESS = "Any address."


def vote(
    context: typer.Context,
    email: Email,
    paper_id: Annotated[str, typer.Argument(help="Such as arxiv:2512.01234.")],
    choice: Annotated[str, typer.Argument(metavar="up|down|none", help="What to record.")],
    as_json: AsJson = False,
) -> None:
    """Record feedback, as the links in the mail do."""
    from digest import feedback, subscribers

    with as_usage():
        feedback.check(choice)
    with opened(context) as app, app.db.write() as session:
        person = subscribers.find(session, email)
        paper = feedback.find_paper(session, paper_id)
        assert person.id is not None and paper.id is not None
        feedback.record(session, person.id, paper.id, choice, source="cli", now=app.now())
    if as_json:
        print_json({"email": person.email, "id": paper.key, "vote": choice})
    else:
        said = {"up": "thumbs up", "down": "thumbs down", "none": "no vote any more"}[choice]
        say(f"{person.email}: {said} for “{paper.title}”; the next digest takes it into account.")


def rank(
    context: typer.Context,
    email: Email,
    day: Day = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, from the best on.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The ranking of a day's papers, with scores and reasons."""
    from digest import picking

    wanted = parse_day(day)
    with opened(context) as app, busy("Ranking"):
        ranked = picking.rank(app, email, wanted, limit)
    if as_json:
        print_json(ranked)
    elif not ranked:
        say("No paper was announced in the week up to that day: `digest ingest` reads feeds.")
    else:
        rows = [
            (at, paper.score, paper.id, paper.title, "; ".join(paper.reasons))
            for at, paper in enumerate(ranked, 1)
        ]
        print_table([">#", ">score", "id", "title", "reasons"], rows)


def preview(
    context: typer.Context,
    email: Email,
    day: Day = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the HTML part.")] = None,
    text: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the text part.")] = None,
    eml: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the message.")] = None,
    as_json: AsJson = False,
) -> None:
    """Render a digest without sending it: into files, or as text to the terminal."""
    from digest import delivery

    wanted = parse_day(day)
    with opened(context) as app, busy("Ranking"):
        message = delivery.preview(app, email, wanted)
    written = {
        name: str(file)
        for name, file, content in (
            ("html", html, message.html.encode()),
            ("text", text, message.text.encode()),
            ("eml", eml, message.raw),
        )
        if file is not None and written_to(file, content)
    }
    if as_json:
        print_json({"subject": message.subject, "written": written})
    elif written:
        print_fields([("subject", message.subject), *written.items()])
    else:
        say(f"{message.subject}\n\n{message.text}")


def deliver(
    context: typer.Context,
    day: Day = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="EMAIL", help="To nobody else.", autocompletion=addresses),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Rank, render and send what is due; with --day that day's digest now, whatever the hour."""
    from digest import delivery

    wanted = parse_day(day)
    with opened(context) as app, progress("Delivering") as advance:
        done = delivery.deliver(app, wanted, only, dry_run=dry_run, progress=advance)
    if as_json:
        print_json(done)
    elif dry_run:
        say(f"Would send {done.sent}; {done.skipped} have nothing new to read.")
    else:
        parts = [f"Sent {done.sent}", f"{done.skipped} had nothing new to read"]
        parts += [f"{done.failed} failed"] if done.failed else []
        parts += [f"{done.in_doubt} in doubt, sent once more"] if done.in_doubt else []
        say("; ".join(parts) + ".")


def why(
    context: typer.Context,
    email: Email,
    day: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="A day in the subscriber's zone; else today."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What became of a day's digest, and why there was no mail."""
    from digest import outcomes

    wanted = parse_day(day)
    with opened(context) as app:
        told = outcomes.why(app, email, wanted)
    if as_json:
        print_json(told)
    else:
        say(f"{told.day}  {told.outcome}: {told.detail}")


def send_test(
    context: typer.Context,
    email: Annotated[str, typer.Argument(metavar="EMAIL", help=ADDRESS, autocompletion=addresses)],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send one small mail through the configured server, and show the server's answers."""
    from digest.mail import outbox

    with opened(context) as app, busy("Sending"):
        answers = outbox.send_test(app, email, dry_run=dry_run)
    if as_json:
        print_json({"email": email, "answers": answers, "sent": not dry_run})
    else:
        for answer in answers:
            say(answer)


def evaluate(
    context: typer.Context,
    profiles: Annotated[
        Path | None, typer.Argument(help="JSON lines: user, topics, likes, …")
    ] = None,
    papers: Annotated[Path | None, typer.Option(help="JSON lines (.gz and .xz too).")] = None,
    candidates: Annotated[Path | None, typer.Option(help="JSON lines: user, day[, ids].")] = None,
    qrels: Annotated[Path | None, typer.Option(help="JSON lines: user, day, relevant.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Where the rankings go.")] = None,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Measure on the votes recorded here, without files.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Offline evaluation: rank candidates for profiles, and measure against what is relevant."""
    if recorded:
        if any((profiles, papers, candidates, qrels, predictions)):
            raise typer.BadParameter("--recorded takes no files")
        _evaluate_recorded(context, as_json)
        return
    if profiles is None or papers is None:
        raise typer.BadParameter("expected PROFILES and --papers, or --recorded")
    from digest import evaluation
    from digest.settings import load

    solver = load(context.obj).ranking.solver
    with progress("Ranking") as advance:
        done = evaluation.evaluate(
            profiles, papers, candidates, qrels, predictions, solver=solver, progress=advance
        )
    if as_json:
        print_json(done)
        return
    rankings = f"{done.user_days} ranking{'s' * (done.user_days != 1)}"
    say(f"{rankings} for {done.users} user{'s' * (done.users != 1)}.")
    _print_metrics(done.metrics)


def _evaluate_recorded(context: typer.Context, as_json: bool) -> None:
    from digest import hindsight

    with opened(context) as app, progress("Ranking") as advance:
        done = hindsight.recorded(app, advance)
    if as_json:
        print_json(done)
        return
    if done.metrics:
        say(f"{done.user_days} digests of {done.users} readers, ranked anew.")
    _print_metrics(done.metrics)
    say(done.note)


def _print_metrics(metrics: "Mapping[str, Estimate]") -> None:
    if metrics:
        rows = [(name, e.mean, e.low, e.high) for name, e in metrics.items()]
        print_table(["metric", ">mean", ">95 % from", ">to"], rows)
