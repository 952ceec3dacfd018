from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.text import PLAIN, sentences, terms, words


def told(text: str) -> list[str]:
    return [term for term in terms(text) if not term.startswith(PLAIN)]


def test_words_keep_inner_hyphens_and_lose_tex() -> None:
    assert words(r"Schr\"odinger's vision-language \textit{Models} at 96.7\%") == [
        *("schrodinger", "s", "vision-language", "models", "at", "96", "7"),
    ]


def test_terms_hold_singulars_parts_and_pairs_but_no_stop_words() -> None:
    assert told("the vision-language models") == [
        *("vision-language", "vision", "language", "vision language"),
        *("models", "model", "vision-language models"),
    ]


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
