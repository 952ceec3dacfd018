"""When two records that share no id are one work: title and first author, with care. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from digest.papers import fingerprint

# Shorter titles ("Editorial", "Reply to Smith et al.") are given to many works.
LETTERS = 30
WORDS = 4
# Whose DOIs are of preprints, so that the journal's DOI of the same work is another one: bioRxiv
# and medRxiv (two), arXiv, Research Square, PsyArXiv and sisters, ChemRxiv, Preprints.org, SSRN.
PREPRINTS = (
    "10.1101/", "10.64898/", "10.48550/", "10.21203/", "10.31234/", "10.31219/", "10.26434/",
    "10.20944/", "10.2139/ssrn",
)  # fmt: skip


def mark(title: str, authors: Sequence[str]) -> str | None:
    """What two records of one work have in common though no id does; None where the title is too
    short to tell works apart."""
    letters = sum(map(str.isalnum, title))
    if letters < LETTERS or len(title.split()) < WORDS:
        return None
    return fingerprint(title, authors)


def same_work(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records (`key`, `doi`, `authors`, `abstract`) of equal mark are of one work.

    Not where each has an id of the same kind and these differ, but for a preprint's DOI beside a
    journal's; not where the other authors do not agree; and two addresses of one site are one
    work only with the same abstract, since a column bears its title every week.
    """
    if _contradict(one, other):
        return False
    if (site := _site(one)) and site == _site(other):
        return bool(one["abstract"]) and one["abstract"] == other["abstract"]
    return _authors_agree(one, other)


def _contradict(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    ids, others = _arxiv(one), _arxiv(other)
    if ids and others and ids != others:
        return True
    doi, another = _doi(one), _doi(other)
    if not doi or not another or doi == another:
        return False
    return doi.startswith(PREPRINTS) == another.startswith(PREPRINTS)


def _arxiv(record: Mapping[str, Any]) -> str:
    return str(record["key"]) if record["key"].startswith("arxiv:") else ""


def _doi(record: Mapping[str, Any]) -> str:
    key = str(record["key"])
    return key.removeprefix("doi:") if key.startswith("doi:") else record["doi"] or ""


def _authors_agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """At least half of the shorter list's surnames are in the longer one."""
    ours, theirs = _surnames(one["authors"]), _surnames(other["authors"])
    fewer = min(len(ours), len(theirs))
    return fewer > 0 and 2 * len(ours & theirs) >= fewer


def _surnames(authors: Sequence[str]) -> set[str]:
    return {fingerprint("", [name]) for name in authors if name.split()}


def _site(record: Mapping[str, Any]) -> str:
    key = str(record["key"])
    return urlsplit(key.removeprefix("url:")).netloc if key.startswith("url:") else ""
