"""`digest init`: the configuration, the database and the first feeds of a new installation."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from digest.app import open_app
from digest.categories import meant
from digest.errors import DigestError, InputError
from digest.feeds import ingest
from digest.settings import load

ARXIV = "https://rss.arxiv.org/rss/"
DAILY_PAPERS = "https://huggingface.co/api/daily_papers"


def set_up(path: Path | None, categories: Sequence[str]) -> tuple[Path, list[str]]:
    """Writes the configuration, never over an existing one; gives its place and the feeds added.

    Raises InputError where it exists, or for a category that arXiv does not have.
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
    codes = [_spelt(category) for category in categories]
    return [ARXIV + "+".join(dict.fromkeys(codes)), DAILY_PAPERS] if codes else []


def _spelt(category: str) -> str:
    """The category as arXiv spells it."""
    near = meant(category)
    if near is not None and near.casefold() == category.casefold():
        return near
    guess = f"did you mean {near}?" if near else "expected one code, such as cs.LG or hep-th."
    raise InputError(
        f"arXiv has no category {category!r}: {guess} All are at"
        f" https://arxiv.org/category_taxonomy; a new one comes by `digest feeds add {ARXIV}CODE`"
    )


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
