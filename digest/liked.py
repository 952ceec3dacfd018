"""A reader's library becomes likes, and the likes a file for other programs."""

from collections.abc import Callable
from pathlib import Path

from digest import feedback, reading_lists, sanity, seeds, subscribers, zotero
from digest.app import App
from digest.citations import Citations, Cited
from digest.errors import DigestError, InputError
from digest.seeds import Planted

BLOCK = 100  # papers of one transaction, so that nobody waits long for the next
READERS = {".bib": reading_lists.read_bibtex, ".ris": reading_lists.read_ris}
WRITERS = {".bib": reading_lists.write_bibtex, ".ris": reading_lists.write_ris}

Progress = Callable[..., None]


def read_library(
    source: str, *, key: str = "", api: str = zotero.API, progress: Progress | None = None
) -> Citations:
    """The papers of a .bib or .ris file, of arxiv-sanity-lite's dict.db (`dict.db#NAME` where it
    has several readers), or of `zotero:users/12345`, for which `key` may be needed.

    Raises InputError for what is none of these.
    """
    if source.startswith("zotero:"):
        items = zotero.fetch_items(source[7:], key, api=api, progress=progress)
        return reading_lists.read_zotero(items)
    name, _, reader = source.partition("#")
    file = Path(name)
    if file.suffix.lower() == ".db":
        return sanity.read_tags(file, reader)
    read = READERS.get(Path(source).suffix.lower())
    if read is None:
        raise InputError(f"{source}: expected a .bib, .ris or .db file, or zotero:users/12345")
    return read(_text(Path(source)))


def add_library(
    app: App,
    email: str,
    named: Citations,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Planted:
    """Makes the papers the reader's likes, or only says what that would do. Where it stops in the
    middle, what was done stays, and a repetition does the rest."""
    with app.db.read() as session:
        person = subscribers.find(session, email).id or 0
    done = Planted(0, named.unread)
    for start in range(0, len(named.papers), BLOCK):
        part = Citations(named.papers[start : start + BLOCK])
        one = _foreseen(app, person, part) if dry_run else subscribers.like(app, person, part)
        done = done + one
        if progress is not None:
            progress(min(start + BLOCK, len(named.papers)), len(named.papers))
    return done


def write_library(app: App, email: str, file: Path) -> int:
    """Writes the papers that the reader likes, as the file's name ends; says how many."""
    write = WRITERS.get(file.suffix.lower())
    if write is None:
        raise InputError(f"{file}: expected a name that ends in .bib or .ris")
    with app.db.read() as session:
        person = subscribers.find(session, email)
        votes = feedback.votes(session, person.id or 0)
        papers = [_cited(vote) for vote in votes if vote.vote == "up"]
    try:
        file.write_text(write(papers), "utf-8")
    except OSError as error:
        raise DigestError(f"cannot write {file}: {error.strerror}") from error
    return len(papers)


def _foreseen(app: App, person: int, part: Citations) -> Planted:
    with app.db.read() as session:
        return seeds.foresee(session, person, part)


def _cited(vote: feedback.Voted) -> Cited:
    paper = vote.paper
    keys = [paper.key, *([f"doi:{paper.doi}"] if paper.doi else [])]
    if paper.url:
        keys.append(f"url:{paper.url}")
    return Cited(tuple(dict.fromkeys(keys)), paper.title, paper.abstract, tuple(paper.authors))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise DigestError(f"cannot open {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text: {error}") from error
