"""What a reader told us of himself, apart from votes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A few words, or a sentence, on what a reader is after."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Profile:
    """Topics and categories enter the model; authors and muted words only the selection."""

    topics: tuple[Topic, ...] = ()
    categories: tuple[tuple[str, float], ...] = ()
    authors: tuple[str, ...] = ()
    muted_words: tuple[str, ...] = ()
    muted_authors: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing here says what to rank high."""
        return not any(
            topic.weight > 0 and topic.text.strip() for topic in self.topics
        ) and not any(weight > 0 for _, weight in self.categories)
