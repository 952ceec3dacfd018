"""LaTeX, as titles, abstracts and names hold it, becomes text that a person reads. Pure.

pylatexenc does the work. The glue here decides what is TeX at all (a price, a URL and an `&` are
not), names the macros that pylatexenc drops, and sets sub- and superscripts in Unicode. Half of
the file is the table of those macros.
"""

import logging
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

from pylatexenc import latex2text, latexwalker, macrospec

from digest.papers import clean

LONGEST = 20_000  # characters; what is longer has its TeX marks removed, not translated
DEEPEST = 20  # nested braces; pylatexenc recurses

# It warns of every stray brace; a feed's typing errors are not the operator's concern.
logging.getLogger("pylatexenc").setLevel(logging.CRITICAL)

_RAISED = dict(
    zip(
        "0123456789+-−=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWβγδθφχ⊤′",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟᶿᵠᵡᵀ′",
        strict=True,
    )
)
_LOWERED = dict(
    zip(
        "0123456789+-−=()aehijklmnoprstuvxβγρφχ",
        "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
        strict=True,
    )
)
_AS_THEY_ARE = frozenset("*∗⋆★†‡°′″%") | {"th", "st", "nd", "rd", "TM", "™", "®", "©"}
_WORD = re.compile(r"[^\W\d_]{3}")
_ATOM = re.compile(r"\w+|.", re.DOTALL)


def superscript(text: str) -> str:
    """`text` raised: in Unicode's own letters where they exist, else with a caret."""
    text = text.strip().replace("∘", "°").replace("◦", "°")
    if text in _AS_THEY_ARE or set(text) <= set("*∗′"):
        return text
    return _shifted(text, _RAISED, "^")


def subscript(text: str) -> str:
    """`text` lowered: in Unicode's own letters where they exist, else with an underscore."""
    return _shifted(text.strip(), _LOWERED, "_")


def _shifted(text: str, table: dict[str, str], mark: str) -> str:
    if not text:
        return ""
    if not _WORD.search(text) and all(letter in table for letter in text):
        return "".join(table[letter] for letter in text)
    return f"{mark}{text}" if _ATOM.fullmatch(text) else f"{mark}({text})"


# What pylatexenc does not know, or renders so that search and screen readers stumble.

_SAME = (
    "texttt textsf textmd textup textnormal textlf textin mathrm mathbf mathit mathsf mathtt"
    " mathcal mathscr mathnormal mathfrak boldsymbol bm pmb operatorname mbox hbox fbox text"
    " underline uline overline widehat widetilde uppercase lowercase hl ul st textquote enquote"
    " ensuremath url path nolinkurl textrm overrightarrow mathop mathbin mathrel mathord"
)
_DROPPED = (
    "cite citep citet citealp citealt citeauthor citeyear parencite textcite autocite ref eqref"
    " cref Cref autoref label vspace hspace thanks ding phantom hphantom vphantom footnotemark"
    " bibliography input include includegraphics vskip hskip definecolor color mkern mskip title"
    " author date maketitle"
)
_NOTHING = (
    "em bf it tt sf sc rm sl bfseries itshape ttfamily scshape sffamily rmfamily cal frak mit"
    " tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge centering"
    " displaystyle textstyle scriptstyle limits nolimits left right middle big Big bigg Bigg bigl"
    " bigr Bigl Bigr biggl biggr Biggl Biggr xspace protect noindent newline newblock relax"
    " boldmath unboldmath selectfont par noalign hline allowbreak nobreak smallskip medskip"
    " bigskip nonumber notag"
)
_TEXT = {
    "deg": "°",
    "degree": "°",
    "textdegree": "°",
    "celsius": "°C",
    "eg": "e.g.",
    "ie": "i.e.",
    "etc": "etc.",
    "etal": "et al.",
    "wrt": "w.r.t.",
    "vs": "vs.",
    "percent": "%",
    "textpercent": "%",
    "textmu": "µ",
    "textregistered": "®",
    "circledR": "®",
    "textcopyright": "©",
    "texttrademark": "™",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textunderscore": "_",
    "textbar": "|",
    "textless": "<",
    "textgreater": ">",
    "textdollar": "$",
    "textbullet": "•",
    "textellipsis": "…",
    "textendash": "–",
    "textemdash": "—",
    "textpertenthousand": "‱",
    "textperthousand": "‰",
    "texttimes": "×",
    "item": " • ",
    "slash": "/",
    "checkmark": "✓",
    "mid": " | ",
    "colon": ":",
    "lVert": "‖",
    "rVert": "‖",
    "lvert": "|",
    "rvert": "|",
    "top": "⊤",
    "hbar": "ℏ",
    "space": " ",
    "quad": " ",
    "qquad": " ",
    ",": " ",
    ";": " ",
    ":": " ",
    ">": " ",
    " ": " ",
    "\\": " ",
    "!": "",
    "-": "",
    "/": "",
    "@": "",
    "(": "(",
    ")": ")",
    "[": "[",
    "]": "]",
}


def _fraction(over: str, under: str) -> str:
    return "/".join(part if _ATOM.fullmatch(part) else f"({part})" for part in (over, under))


def _root(degree: str, radicand: str) -> str:
    sign = {"3": "∛", "4": "∜"}.get(degree, superscript(degree) + "√")
    return sign + (radicand if _ATOM.fullmatch(radicand) else f"({radicand})")


def _code_point(text: str) -> str:
    try:
        return chr(int(text.lstrip("x"), 16 if text.startswith("x") else 10))
    except (ValueError, OverflowError):
        return ""


_WITH_ARGUMENTS: dict[str, tuple[str, Callable[..., str]]] = {
    "textsuperscript": ("{", superscript),
    "textsubscript": ("{", subscript),
    "frac": ("{{", _fraction),
    "dfrac": ("{{", _fraction),
    "tfrac": ("{{", _fraction),
    "nicefrac": ("{{", _fraction),
    "sfrac": ("{{", _fraction),
    "sqrt": ("[{", _root),
    "footnote": ("[{", lambda _mark, text: f" ({text.strip()})"),
    "href": ("{{", lambda _url, text: text),
    "hyperlink": ("{{", lambda _target, text: text),
    "hyperref": ("[{", lambda _target, text: text),
    "textcolor": ("[{{", lambda _model, _colour, text: text),
    "colorbox": ("[{{", lambda _model, _colour, text: text),
    "texorpdfstring": ("{{", lambda _tex, text: text),
    "unicode": ("{", _code_point),
    "replaced": ("{{", lambda new, _old: new),
    "deleted": ("{", lambda _old: ""),
    "gls": ("{", str),
}


def _renderer(render: Callable[..., str]) -> Callable[..., str]:
    def rendered(node: Any, l2tobj: Any) -> str:
        count = len(node.nodeargd.argnlist) if node.nodeargd else 0
        return render(*(l2tobj.node_arg_to_text(node, place) for place in range(count)))

    return rendered


def _macros() -> dict[str, tuple[str, Callable[..., str]]]:
    macros = dict(_WITH_ARGUMENTS)
    macros |= dict.fromkeys(_SAME.split(), ("{", str))
    macros |= {name: ("*[{", lambda *_: "") for name in _DROPPED.split()}
    macros |= {name: ("", lambda: "") for name in _NOTHING.split()}
    macros |= {name: ("", lambda text=text: text) for name, text in _TEXT.items()}
    return macros


@cache
def _contexts() -> tuple[Any, Any, frozenset[str]]:
    """How to parse, how to write, and the names of all macros that the writer knows."""
    macros = _macros()
    shifts = {"^": superscript, "_": subscript}
    parsing = latexwalker.get_default_latex_context_db()
    parsing.add_context_category(
        "digest",
        macros=[macrospec.MacroSpec(name, args) for name, (args, _) in macros.items()],
        specials=[
            macrospec.SpecialsSpec(sign, args_parser=macrospec.MacroStandardArgsParser("{"))
            for sign in shifts
        ],
        prepend=True,
    )
    writing = latex2text.get_default_latex_context_db()
    writing.add_context_category(
        "digest",
        macros=[
            latex2text.MacroTextSpec(name, simplify_repl=_renderer(render))
            for name, (_, render) in macros.items()
        ],
        specials=[
            latex2text.SpecialsTextSpec(sign, simplify_repl=_renderer(render))
            for sign, render in shifts.items()
        ],
        prepend=True,
    )
    known = {spec.macroname for spec in writing.iter_macro_specs()}
    return parsing, latex2text.LatexNodes2Text(latex_context=writing), frozenset(known)


_SIGNS = "$%&#_^~`'-["

# Characters that mean something to TeX, and themselves in prose: set aside, and put back.
_ASIDE = str.maketrans({sign: chr(0xE000 + at) for at, sign in enumerate(_SIGNS)})
_BACK = str.maketrans({chr(0xE000 + at): sign for at, sign in enumerate(_SIGNS)})
_ACCENTS = {"^": "\ue0f0", "~": "\ue0f1"}
_NO_PRIVATE = dict.fromkeys(range(0xE000, 0xE100))

_ESCAPED = re.compile(r"\\([$%&#_])")
_MATH = re.compile(
    r"\\\((?P<round>.{1,600}?)\\\)|\\\[(?P<square>.{1,600}?)\\\]"
    r"|\$\$(?P<double>[^$]{1,600})\$\$|\$(?P<single>[^$]{1,600})\$(?P<digit>\d?)"
)
_TEX_INSIDE = re.compile(r"[\\^_{}]")
_TWO_WORDS = re.compile(r"[^\W\d_]{2,}[,.;]?\s+[^\W\d_]{2,}")
_TIE = re.compile(r"(?<=[^\W\d_.)\]}])~(?=[\w\\$(\[])|(?<=[^\W\d_]\.)~(?=[\w\\$(\[])")
_PLAIN_TIE = re.compile(r"(?<=[a-z]\.)~(?=[\d\[(])")
_LITERAL = re.compile(r"[$%&#~]|[_^](?!\{)|(?<!\\)['`]|--+")
_LITERAL_IN_MATH = re.compile(r"[%&#]|(?<!\\)['`]")
_ACCENT_ARGUMENT = re.compile(r"\\[\^~]")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s{0,3}\{[^{}]{0,40}\}(?:\[[^\]]{0,40}\])?")
_MACRO = re.compile(r"\\(\\|[A-Za-z]+)\*?(\{\}|(?=\s?\{))?")
# An optional argument that holds another, or no end, costs pylatexenc exponential time.
_OPEN_OPTION = re.compile(r"\[(?![^\[\]{}$\\]{0,60}\])")
_TOKEN = re.compile(r"\$[^$]*\$|\\.|[{}]|\s+")
_OPEN_MACRO = re.compile(r"\\(?:[A-Za-z]+|[^\\ ,;:!])$")
_LONGEST_MACRO, _LONGEST_CHAIN = 40, 200
_TEX_MARK = re.compile(r"[\\${}^_]")
_PLAIN_SET = re.compile(r"[^\\${}^_]*\{[^\\${}^_,]+,[^\\${}^_]*\}[^\\${}^_]*")
_NESTED_MATH = re.compile(r"(\$\\[A-Za-z]+\{)\$([^$]{1,80})\$([^$]{0,80}\}\$)")
_LEFTOVER = re.compile(r"\\([A-Za-z]+|.)?", re.DOTALL)
_UNSET = re.compile(r"[$]|[_^]\{")
_DOUBLE_QUOTED = re.compile(r"``(.{1,400}?)(?:''|\")")
_SINGLE_QUOTED = re.compile(r"(?<![\w`])`([^`'\s][^`']{0,80})'(?!\w)")
_EN_DASH = re.compile(r"(?<=\w)--(?=\w)|(?<=\s)--(?=\s)")


def readable(text: str) -> str:
    r"""`text` without TeX: `$\mathcal{O}(n^2)$` becomes `O(n²)`, `Schr\"odinger` Schrödinger.

    Plain text comes through as it is. Also drops control, zero-width and direction characters,
    composes accents (NFC) and collapses white space. Never fails; takes time linear in `text`.
    """
    text = clean(text)
    if not text.isascii():
        text = " ".join(text.translate(_NO_PRIVATE).split())
    if len(text) > LONGEST:
        return clean(_bare(text))
    text = _quotes(text)
    if "\\" not in text and "$" not in text and "_{" not in text and "^{" not in text:
        return clean(_PLAIN_TIE.sub(" ", text)) if "~" in text else text
    marked = _marked(text)
    if "\\" not in marked and not _UNSET.search(marked):
        return clean(marked.translate(_BACK))
    return clean(_translated(marked).translate(_BACK))


def _quotes(text: str) -> str:
    # looking for the sign first is many times faster than the pattern, and most texts have none
    if "`" in text:
        text = _DOUBLE_QUOTED.sub("“\\1”", text)
        text = _SINGLE_QUOTED.sub("‘\\1’", text)
    return _EN_DASH.sub("–", text.replace("---", "—")) if "--" in text else text


def _marked(text: str) -> str:
    """The text with everything that is not TeX set aside, and math between single dollars."""
    text = _ESCAPED.sub(lambda found: found[1].translate(_ASIDE), text)
    text = _NESTED_MATH.sub(r"\1\2\3", text)
    parts, at = [], 0
    while found := _MATH.search(text, at):
        content = _math_content(found)
        if content is None:  # a price, or a dollar without its partner
            parts.append(_prose(text[at : found.start() + 1]))
            at = found.start() + 1
            continue
        parts += [_prose(text[at : found.start()]), f"${_balanced(_calm(content))}$"]
        at = found.end() - len(found["digit"] or "")
    parts.append(_prose(text[at:]))
    return "".join(parts)


def _math_content(found: re.Match[str]) -> str | None:
    content = found["round"] or found["square"] or found["double"]
    if content is not None:
        return content
    content = found["single"]
    if _TEX_INSIDE.search(content):
        return None if re.match(r"\d[\d.,]*[kKMB]?\s[^\\^_{}]*$", content) else content
    touching = content == content.strip() and not found["digit"]
    short = len(content.strip()) <= 12 and not re.match(r"\s*\d[\d.,]*\s", content)
    if (touching or short) and not _TWO_WORDS.search(content):
        return content
    return None


def _calm(content: str) -> str:
    content = content.replace("~", " ").replace("$", "")
    return _LITERAL_IN_MATH.sub(lambda found: found[0].translate(_ASIDE), content)


def _prose(text: str) -> str:
    text = _TIE.sub(" ", text)
    kept = _ACCENT_ARGUMENT.sub(lambda found: f"\\{_ACCENTS[found[0][1]]}", text)
    kept = _LITERAL.sub(lambda found: found[0].translate(_ASIDE), kept)
    return kept.replace(_ACCENTS["^"], "^").replace(_ACCENTS["~"], "~")


def _balanced(text: str) -> str:
    """The text less every brace without a partner."""
    opened: list[int] = []
    stray: set[int] = set()
    for at, sign in enumerate(text):
        if sign not in "{}" or (at and text[at - 1] == "\\"):
            continue
        if sign == "{":
            opened.append(at)
        elif opened:
            opened.pop()
        else:
            stray.add(at)
    stray.update(opened)
    return "".join(sign for at, sign in enumerate(text) if at not in stray) if stray else text


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in text:
        depth += (sign == "{") - (sign == "}")
        deepest = max(deepest, depth)
    return deepest


def _translated(marked: str) -> str:
    """TeX's fragments translated one by one: pylatexenc is slow, and most words are no TeX."""
    known = _contexts()[2]
    source = _ENVIRONMENT.sub(" ", marked)
    source = _OPEN_OPTION.sub("[".translate(_ASIDE), source)
    source = _balanced(_MACRO.sub(lambda found: _known(found, known), source))
    return "".join(map(_fragment, _fragments(source)))


def _fragments(source: str) -> Iterator[str]:
    """`source` in pieces that can be translated alone: words, or groups of them in braces.

    A macro at a word's end takes the next word with it, since that may be its argument.
    """
    start = depth = 0
    for token in _TOKEN.finditer(source):
        sign = token[0]
        if sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
        elif sign.isspace() and not depth and not _awaits_more(source, start, token.start()):
            yield source[start : token.end()]
            start = token.end()
    yield source[start:]


def _awaits_more(source: str, start: int, end: int) -> bool:
    near = max(start, end - _LONGEST_MACRO)
    return end - start < _LONGEST_CHAIN and _OPEN_MACRO.search(source, near, end) is not None


@lru_cache(maxsize=8192)
def _fragment(source: str) -> str:
    if not _TEX_MARK.search(source) or _PLAIN_SET.fullmatch(source):
        return source
    if _depth(source) > DEEPEST:
        return _bare(source)
    parsing, writer, _ = _contexts()
    word = source.rstrip()
    walker = latexwalker.LatexWalker(word, latex_context=parsing, tolerant_parsing=True)
    try:
        text: str = writer.nodelist_to_text(walker.get_latex_nodes()[0])
    except (  # what pylatexenc raises on broken input is not one family
        latexwalker.LatexWalkerError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ):
        return _bare(source)
    text = _LEFTOVER.sub(lambda found: found[1] or "", text)
    return text + source[len(word) :]


def _known(found: re.Match[str], known: frozenset[str]) -> str:
    """An author's own macro: its argument where it has one, else its name as a word."""
    if found[1] in known:
        return found[0]  # and its star, which pylatexenc reads
    return found[1] if found[2] is None or found[2] else ""


def _bare(text: str) -> str:
    """The last resort: the same text with TeX's marks taken away."""
    return re.sub(r"[{}$]", "", _LEFTOVER.sub(lambda found: found[1] or "", text))
