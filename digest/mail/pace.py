"""How fast messages may follow each other: as configured, and slower while the server asks so."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds


class Pace:
    """The turns of all connections together. Moments are seconds of one steady clock."""

    def __init__(self, per_minute: int) -> None:
        """`per_minute` messages at most, evenly; 0: as many as the server takes."""
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._pause = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next message may go."""
        return max(0.0, self._next - now)

    def take(self, now: float) -> None:
        """A message goes now."""
        self._next = max(self._next, now + self._gap)

    def refused(self, now: float) -> None:
        """The server takes nothing from us just now: each time in a row, twice as long a pause."""
        self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
        self._next = max(self._next, now + self._pause)

    def accepted(self) -> None:
        self._pause = 0.0
