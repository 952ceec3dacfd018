"""Every text can be read on its ground, in mails and pages, in light and dark: 4.5 to 1 at least,
and 3 to 1 for the edges of what can be pressed (WCAG 2.2)."""

import re

import pytest

from digest.app import templates

ENV = templates()
DARK = "@media (prefers-color-scheme: dark)"


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_mails_colours_can_be_read_in_light_and_dark():
    css = ENV.get_template("email/style.css").render()
    light, dark = css.split(DARK)
    for sheet in (light, dark):
        rules = re.findall(r"([^{}]+)\{([^{}]+)\}", sheet)
        grounds, inks = set(), set()
        for selector, body in rules:
            ground = re.search(r"background-color: (#\w{6})", body)
            ink = re.search(r"(?<![\w-])color: (#\w{6})", body)
            if any(name in selector for name in (".preheader", ".button", ".mark")):
                if ground and ink:
                    assert contrast(ground[1], ink[1]) >= 4.5, selector
                continue
            grounds |= {ground[1]} if ground else set()
            inks |= {ink[1]} if ink else set()
        assert grounds
        assert inks
        for ground in grounds:
            for ink in inks:
                assert contrast(ground, ink) >= 4.5, (ground, ink)


def web_colours(style="web/style.css"):
    """The names of the pages' colours, light and dark."""
    css = ENV.get_template(style).render()
    light, dark = css.split(DARK)[:2]
    found = [dict(re.findall(r"--([a-z0-9-]+): (#\w{6})", part)) for part in (light, dark)]
    assert found[0].keys() == found[1].keys()
    return found


@pytest.mark.parametrize("scheme", [0, 1])
def test_the_pages_colours_can_be_read_in_light_and_dark(scheme):
    colour = web_colours()[scheme]
    for ink in ("ink", "soft", "accent", "warn"):
        for ground in ("ground", "sheet", "band"):
            assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)
    assert contrast(colour["on-accent"], colour["accent"]) >= 4.5
    for ground in ("sheet", "band"):
        assert contrast(colour["edge"], colour[ground]) >= 3


@pytest.mark.parametrize("scheme", [0, 1])
def test_the_charts_colours_can_be_told_from_their_ground(scheme):
    colour = web_colours("stats/style.css")[scheme]
    for ink in ("ink", "soft", "accent"):
        for ground in ("ground", "sheet"):
            assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)
    for series in ("s0", "s1", "s2", "s3"):
        assert contrast(colour[series], colour["sheet"]) >= 3, series


def test_the_pages_name_their_colours_and_use_no_others():
    css = ENV.get_template("web/style.css").render()
    rules = re.sub(r":root \{[^}]*\}", "", css)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", rules)
