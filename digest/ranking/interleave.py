"""Two rankings shown as one, so that readers' votes say which they prefer."""

import random
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, TypeVar

Item = TypeVar("Item")
Team = Literal["ranking", "challenger"]


def team_draft(
    ranking: Sequence[Item],
    challenger: Sequence[Item],
    count: int,
    *,
    seed: str,
    key: Callable[[Item], Hashable] = lambda item: item,
) -> list[tuple[Item, Team | None]]:
    """At most `count` items, each with the team that picked it.

    The team with fewer picks (with as many: by a coin drawn from `seed`) picks the best of its
    list that is not there yet. Once a list is used up the other's rest follows without a team.
    Equal items have equal `key`s.
    Team-draft interleaving: Radlinski, Kurup and Joachims, How does clickthrough data reflect
    retrieval quality?, CIKM 2008.
    """
    coin = random.Random(seed)  # noqa: S311
    left: dict[Team, list[Item]] = {
        "ranking": list(reversed(ranking)),
        "challenger": list(reversed(challenger)),
    }
    picked: dict[Team, int] = {"ranking": 0, "challenger": 0}
    taken: set[Hashable] = set()
    drafted: list[tuple[Item, Team | None]] = []
    while len(drafted) < count:
        for items in left.values():
            while items and key(items[-1]) in taken:
                items.pop()
        ready: list[Team] = [team for team, items in left.items() if items]
        if not ready:
            break
        # The coin falls each time, so that the same seed gives the same draft.
        toss: Team = coin.choice(("ranking", "challenger"))
        fewer = min(picked, key=lambda team: (picked[team], team != toss))
        team = fewer if len(ready) == 2 else ready[0]
        item = left[team].pop()
        taken.add(key(item))
        picked[team] += 1
        drafted.append((item, team if len(ready) == 2 else None))
    return drafted
