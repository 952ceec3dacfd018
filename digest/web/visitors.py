"""Who asks, and how often one visitor may: in the memory of the one process that shows pages."""

from collections.abc import Iterator
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.types import Scope

MOST_VISITORS = 50_000
EXEMPT = ("/one-click/", "/bounces/")  # machines of mail providers, which speak for many people
LETTERS = ("/subscribe", "/link")
PREVIEWS = ("/preview",)


class Rate:
    """So many events in so many seconds, which come back evenly (the generic cell rate algorithm
    of ATM's traffic management): one number a visitor says how much is used up."""

    def __init__(self, events: int, seconds: float) -> None:
        self.each = seconds / events
        self.room = seconds
        self._full_until: dict[str, float] = {}

    def wait(self, visitor: str, now: float) -> float:
        """Seconds until another event may be; 0: now."""
        used = min(self._full_until.get(visitor, now), now + self.room)  # clocks are set back
        return max(0.0, used + self.each - self.room - now)

    def count(self, visitor: str, now: float) -> None:
        used = self._full_until.get(visitor, now)
        self._full_until[visitor] = min(max(used, now), now + self.room) + self.each
        if len(self._full_until) > MOST_VISITORS:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Those who have all their room again; in a flood, the half that came first too."""
        left = {who: until for who, until in self._full_until.items() if until > now}
        if len(left) > MOST_VISITORS // 2:
            left = dict(list(left.items())[-MOST_VISITORS // 2 :])
        self._full_until = left


class Limits:
    """What one visitor may ask for. A house full of readers shares an address, so all but guessing
    and letters is generous."""

    def __init__(self) -> None:
        self.all = Rate(1200, 60)
        self.previews = Rate(120, 60)
        self.letters = Rate(20, 600)
        self.guesses = Rate(30, 600)

    def wait(self, visitor: str, method: str, path: str, *, token: bool, now: datetime) -> int:
        """Counts the request and gives 0, or the seconds to wait where it is one too many. Who has
        guessed too much at links (`token`) opens none for a while."""
        if path.startswith(EXEMPT):
            return 0
        at, longest = now.timestamp(), 0.0
        rates = list(self._rates(method, path))
        for rate in [*rates, *([self.guesses] if token else [])]:
            longest = max(longest, rate.wait(visitor, at))
        if not longest:
            for rate in rates:
                rate.count(visitor, at)
        return -int(-longest // 1)

    def guessed(self, visitor: str, now: datetime) -> None:
        """A link or password that never was good."""
        self.guesses.count(visitor, now.timestamp())

    def _rates(self, method: str, path: str) -> Iterator[Rate]:
        yield self.all
        if path.startswith(PREVIEWS):
            yield self.previews
        if method == "POST" and path in LETTERS:
            yield self.letters


def visitor_of(scope: Scope) -> str:
    """The address that a request comes from; of IPv6 the network that one household has."""
    try:
        address = ip_address(scope["client"][0].partition("%")[0])
    except (ValueError, TypeError):  # a socket without addresses
        return "-"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)
