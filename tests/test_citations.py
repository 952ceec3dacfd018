"""What people paste as papers they like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.citations import MOST, parse_citations
from digest.errors import InputError


def keys(text: str) -> list[str]:
    return [paper.keys[0] for paper in parse_citations(text).papers]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2511.01234", ["arxiv:2511.01234"]),
        ("https://arxiv.org/pdf/2511.01234v2", ["arxiv:2511.01234"]),
        ("arXiv:2511.01234 [cs.LG]", ["arxiv:2511.01234"]),
        ("2511.01234, 2511.01235 doi:10.1101/2025.01.01", None),
        ("math.GT/0309136\n\n2511.01234v3", ["arxiv:math/0309136", "arxiv:2511.01234"]),
        ("10.1002/(SICI)1097-0258;2-8", ["doi:10.1002/(sici)1097-0258;2-8"]),
        ("2511.01234 2511.01234v2", ["arxiv:2511.01234"]),
    ],
)
def test_ids_however_they_are_written(text: str, expected: list[str] | None) -> None:
    three = ["arxiv:2511.01234", "arxiv:2511.01235", "doi:10.1101/2025.01.01"]
    assert keys(text) == (three if expected is None else expected)
    assert not parse_citations(text).unread


def test_what_is_no_paper_is_said() -> None:
    read = parse_citations("the paper on maps\n2511.01234 and so on")
    assert keys("the paper on maps\n2511.01234 and so on") == ["arxiv:2511.01234"]
    assert read.unread == ("the paper on maps", "and", "so", "on")


BIBTEX = r"""
@string{venue = "Journal of Maps"}
@article{one, title = {Folding {\'e}tudes of $\alpha$ maps},
  author = {Writer, Bo and Ann Lee and others},
  eprint = "2511.01234v2", archivePrefix = {arXiv}, abstract = {Long
  and short.}, doi = {10.48550/arXiv.2511.01234}}
@article{two, title={As a search engine has it}, journal={arXiv preprint arXiv:2511.01235}}
@inproceedings{three, title={No id at all for this work}, author={Zoe Quill},
  journal=venue}
@article{three, title={The second of its name}}
@misc{four, url={\url{https://doi.org/10.1000/a_b}}}
@book{five, year=1999}
2511.09999
"""


def test_bibtex_as_people_have_it() -> None:
    read = parse_citations(BIBTEX)
    found = {paper.keys[0]: paper for paper in read.papers}
    first = found["arxiv:2511.01234"]
    assert first.title == "Folding études of α maps"
    assert first.authors == ("Bo Writer", "Ann Lee")
    assert first.abstract == "Long and short."
    assert {"arxiv:2511.01235", "doi:10.1000/a_b", "arxiv:2511.09999"} <= found.keys()
    titles = {paper.title for key, paper in found.items() if key.startswith("title:")}
    assert titles == {"No id at all for this work", "The second of its name"}
    assert read.unread == ("five",)


def test_a_broken_entry_does_not_take_the_others_with_it() -> None:
    read = parse_citations("@misc{bad, title = {never closed\n\n@misc{good, eprint={2511.01234}}")
    assert [paper.keys[0] for paper in read.papers] == ["arxiv:2511.01234"]
    assert len(read.unread) == 1


def test_the_same_title_has_the_same_key() -> None:
    one, other = (keys(f"@article{{x, title={{{t}}}}}") for t in ("A Long {Walk}", "a long walk"))
    assert one == other


def test_too_many_papers_are_refused() -> None:
    with pytest.raises(InputError, match=f"at most {MOST} papers"):
        parse_citations("\n".join(f"2511.{number:05}" for number in range(MOST + 1)))
    with pytest.raises(InputError, match=f"at most {MOST} papers"):
        parse_citations("@a{" * (3 * MOST))


@given(st.text(alphabet='@a{}=", \n\\#()5.', max_size=200))
def test_no_text_is_too_odd(text: str) -> None:
    for paper in parse_citations(text).papers:
        assert paper.keys
