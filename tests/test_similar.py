"""Papers like one share its telling words; where none do, nothing is said."""

from datetime import date

from conftest import GALAXIES, IMAGES, announce

from digest import similar
from digest.app import App
from digest.models import Paper

DAY = date(2026, 11, 18)
OTHERS = ["A proof about knots", "Soil water under oak trees", "The price of bread", "On whales"]


def alike(app: App, paper_id: int) -> list[str]:
    with app.db.read() as session:
        paper = session.get_one(Paper, paper_id)
    return [other.title for other in similar.like(app.db, paper)]


def test_papers_of_the_same_matter_are_alike_and_others_are_not(app: App) -> None:
    ids = announce(app, DAY, [*IMAGES, *GALAXIES, *OTHERS])
    like_the_first = alike(app, ids[0])
    assert 0 < len(like_the_first) <= similar.SHOWN
    assert set(like_the_first) <= set(IMAGES[1:])
    assert set(alike(app, ids[len(IMAGES)])) <= set(GALAXIES[1:])
    assert alike(app, ids[-1]) == []
    with app.db.write() as session:
        bare = session.get_one(Paper, ids[0])
        bare.title, bare.abstract = "?", ""
        session.add(bare)
    assert alike(app, ids[0]) == []
