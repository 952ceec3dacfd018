"""LaTeX becomes readable; plain text stays as it is; nothing makes it fail."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.latex import readable

TEX = [
    (r"an $\mathcal{O}(n \log n)$ bound", "an O(n log n) bound"),
    (r"96.7\% of cases", "96.7% of cases"),
    (r"Schr\"odinger, M{\"o}bius, Andr\'e, \L{}ukasz", "Schrödinger, Möbius, André, Łukasz"),
    (r"Erd\H{o}s, \v{S}imon, Fran\c{c}ois, \'{\i}", "Erdős, Šimon, François, í"),
    (r"\textit{best} \texttt{snake_case} and \emph{so $x_i$ on}", "best snake_case and so xᵢ on"),
    (r"$10^{-3}$, $x_{i+1}$, $x_{max}$, $W^\top$", "10⁻³, xᵢ₊₁, x_max, Wᵀ"),
    (r"$\mathbb{R}^d$, $\ell_2$, $90^\circ$, CO$_2$, 5$^{th}$", "ℝᵈ, ℓ₂, 90°, CO₂, 5th"),
    (r"$x_{i,j}$ and $e^{a b}$", "x_(i,j) and e^(a b)"),
    (
        r"$\alpha$-stable, $\sim$100, 4.64$\times$ and 5.02 $\times$",
        "α-stable, ∼100, 4.64× and 5.02 ×",
    ),
    (r"$\frac{x+1}{2}$, $\sqrt{n}$, $\sqrt{n+1}$", "(x+1)/2, √n, √(n+1)"),
    (r"see Fig.~1 and~\cite{a}", "see Fig. 1 and"),
    ("``so called'' and `single' -- and---on", "“so called” and ‘single’ – and—on"),
    (r"\href{https://e.org/~a_b%20c}{our page}", "our page"),
    (r"\url{https://e.org/~a_b%20c}", "https://e.org/~a_b%20c"),
    (r"$$E=mc^2$$ and \(x_i\) and \[y^2\]", "E=mc² and xᵢ and y²"),
    (r"{\em The} \textbf{100\% of $k$}", "The 100% of k"),
    (r"\ours{} beats \method by \hl{far}", "ours beats method by far"),
    (r"\begin{itemize} \item one \item two \end{itemize}", "• one • two"),
    (r"\$5 \& \#1", "$5 & #1"),
    (r"$f'(x)$, $\{a, b\}$, $p < 0.05$", "f'(x), {a, b}, p < 0.05"),
    (r"$\textbf{$\boldsymbol{\infty}$Bench}$", "∞Bench"),
]

PLAIN = [
    "R&D at AT&T, ~100 items, ~5 %, 50% of it",
    "it costs $5",
    "from $5 to $10, or $1.5 billion in 2024 and $2 billion later",
    "snake_case, a^b, x_i, {a, b}, #1, --flag, don't",
    "https://e.org/~user/a_b?x=1&y=50%25#top",
    "a < b and c > d",
    "O(n^2) 中文 naïve Ωμέγα",
]


@pytest.mark.parametrize(("tex", "text"), TEX)
def test_tex_becomes_text(tex: str, text: str) -> None:
    assert readable(tex) == text


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_comes_through(text: str) -> None:
    assert readable(text) == text
    assert readable(rf"{text} with \emph{{more}}").startswith(text)


def test_unseen_characters_go_and_accents_are_composed() -> None:
    assert readable("a\u200bb\x00\u202ec\n  d e\u0301") == "abc d é"


@pytest.mark.parametrize(
    "unit",
    [
        "{",
        "}",
        "$",
        "\\",
        r"\frac",
        r"\textbf{a",
        "$x^",
        r"\(",
        r"\begin{",
        "``",
        r"\c ",
        "$$a",
        r"$\sqrt[",
        "{$}\\",
        r"\verb|",
    ],
)
def test_broken_tex_gives_text(unit: str) -> None:
    assert "a word" in readable(unit * 40 + " a word")
    assert isinstance(readable(unit * 5000), str)


@given(st.lists(st.sampled_from([*"{}$\\^_%&~`'[] abÉ\n\u202e", r"\frac", r"\emph{", "$x$"])))
def test_any_mixture_gives_clean_text(parts: list[str]) -> None:
    text = readable("".join(parts))
    assert text == " ".join(unicodedata.normalize("NFC", text).split())
    assert "\u202e" not in text


@given(st.text(alphabet=st.characters(categories=["L", "N"], include_characters=" ,.;:()&%~")))
def test_without_marks_only_white_space_changes(text: str) -> None:
    assert readable(text) == " ".join(unicodedata.normalize("NFC", text).split())
