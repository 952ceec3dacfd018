"""`digest init`: the configuration, the database and the first feeds of a new installation."""

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from digest.app import open_app
from digest.errors import DigestError, InputError
from digest.feeds import ingest
from digest.settings import load

ARXIV = "https://rss.arxiv.org/rss/"
DAILY_PAPERS = "https://huggingface.co/api/daily_papers"

_CATEGORY = re.compile(r"[a-z]+(-[a-z]+)*(\.[A-Za-z]{2,}(-[a-z]+)*)?")


def set_up(path: Path | None, categories: Sequence[str]) -> tuple[Path, list[str]]:
    """Writes the configuration, never over an existing one; gives its place and the feeds added.

    Raises InputError where it exists, or for a category that cannot be one.
    """
    urls = first_feeds(categories)
    path = path or Path(os.environ.get("DIGEST_CONFIG") or "config.toml")
    _write(path, example().replace('\nsecret = ""', f'\nsecret = "{secrets.token_urlsafe(32)}"'))
    with open_app(load(path)) as app:
        for url in urls:
            ingest.add_feed(app, url)
    return path, urls


def first_feeds(categories: Sequence[str]) -> list[str]:
    """One arXiv feed of all the categories, and Hugging Face's daily papers; none for none."""
    for category in categories:
        if not _CATEGORY.fullmatch(category):
            raise InputError(
                f"{category!r} is not an arXiv category; expected a code such as cs.LG, hep-th or"
                " astro-ph.GA"
            )
    return [ARXIV + "+".join(dict.fromkeys(categories)), DAILY_PAPERS] if categories else []


def example() -> str:
    """config.example.toml, of the wheel or of the checkout."""
    package = Path(__file__).parent.parent
    places = (package / "config.example.toml", package.parent / "config.example.toml")
    return next(place for place in places if place.is_file()).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError(f"{path} is there already; `digest init` never writes over one") from error
    except OSError as error:
        raise DigestError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
