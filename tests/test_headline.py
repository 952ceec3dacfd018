"""Subject and preheader: what is inside, in the reader's own words, short enough for a list."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from digest.mail.headline import SUBJECT, in_words, preheader, subject

DAY = in_words(date(2026, 11, 18))
TITLES = ["Lanterns in the fog", "Tides of glass", "Moth and moon", "Quiet rivers", "Hollow hills"]
QUANT, RLHF, SPARSE = "quantization", "RLHF", "sparse attention"


def test_topics_are_counted_the_most_frequent_first():
    topics = [RLHF, QUANT, QUANT, RLHF, QUANT]
    assert subject(TITLES, topics, DAY) == "3 on quantization, 2 on RLHF: Lanterns in the fog"


def test_one_topic_stands_alone_and_one_paper_has_no_number():
    assert subject(TITLES[:2], [QUANT, None], DAY) == "1 on quantization: Lanterns in the fog"
    assert subject(TITLES[:1], [QUANT], DAY) == "On quantization: Lanterns in the fog"


def test_without_topics_the_papers_speak():
    assert subject(TITLES[:1], [None], DAY) == "Lanterns in the fog"
    assert subject(TITLES[:2], [None] * 2, DAY) == "Lanterns in the fog + 1 more paper"
    assert subject(["On the long road " * 20, *TITLES], [None] * 6, DAY).endswith(
        "… + 5 more papers"
    )
    assert "Nothing new" in subject([], [], DAY)


def test_a_long_topic_ends_before_a_word_that_leads_on():
    topic = "diffusion models for image and video generation in the wild"
    assert subject(TITLES[:2], [topic] * 2, DAY).startswith(
        "2 on diffusion models for image and video…: L"
    )
    both = subject(TITLES[:2], [topic, QUANT], DAY)
    assert both.startswith("1 on diffusion models for image…, 1 on quantization: Lanterns")


def test_the_preheader_goes_on_where_the_subject_ends():
    topics = [QUANT, RLHF, SPARSE, QUANT, RLHF]
    assert preheader(TITLES, topics, "5 of 90") == (
        "Also: 1 on sparse attention; Tides of glass; Moth and moon; Quiet rivers"
    )
    assert preheader(TITLES[:1], [QUANT], "1 of 90 new papers") == "1 of 90 new papers"


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=400)


@given(st.lists(st.tuples(words, st.none() | words), min_size=1, max_size=6))
def test_no_subject_is_longer_than_a_list_shows(papers):
    titles, topics = [title for title, _ in papers], [topic for _, topic in papers]
    made = subject(titles, topics, DAY)
    assert len(made) <= SUBJECT
    assert "\n" not in made
