from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.text import sentences, tells, variants, words


def test_words_keep_inner_hyphens_and_lose_tex() -> None:
    assert words(r"Schr\"odinger's vision-language \textit{Models} at 96.7\%") == [
        *("schrodinger", "s", "vision-language", "models", "at", "96", "7"),
    ]


def test_stop_words_and_letters_tell_nothing() -> None:
    assert [word for word in words("The s of a state-of-the-art") if tells(word)] == [
        "state-of-the-art"
    ]


def test_words_bring_their_singular_and_their_parts() -> None:
    assert variants("model") == []
    assert variants("models") == [("model",)]
    assert variants("vision-languages") == [("vision",), ("language",), ("vision", "languages")]
    assert variants("state-of-the-art") == [("state",), ("art",), ("state", "art")]


def test_sentences_are_not_cut_at_abbreviations() -> None:
    text = "We follow Smith et al. Closely related, e.g. BERT, is left out. Does it help? Yes."
    assert sentences(text) == [
        "We follow Smith et al. Closely related, e.g. BERT, is left out.",
        "Does it help?",
        "Yes.",
    ]


@given(st.text())
def test_sentences_lose_nothing(text: str) -> None:
    assert " ".join(sentences(text)) == " ".join(text.split())
