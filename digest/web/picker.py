"""The categories to tick in a form, by field, and the codes that are typed."""

from collections.abc import Mapping

from digest import categories, library, samples
from digest.app import App


def fields(app: App) -> dict[str, list[str]]:
    """The categories of the last days' papers, by field; all of arXiv's before the first came."""
    with app.db.read() as session:
        day = library.newest_day(session)
    return categories.by_field(samples.categories_in_use(app.db, day) if day else categories.NAMES)


def ticked(text: str, shown: Mapping[str, list[str]]) -> tuple[set[str], str]:
    """Of the form's lines, the categories to tick, and what else was typed."""
    listed = {code for codes in shown.values() for code in codes}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return listed.intersection(lines), ", ".join(line for line in lines if line not in listed)
