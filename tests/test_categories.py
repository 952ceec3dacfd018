"""Categories by name: the known ones once each, the unknown ones as they are."""

from digest.categories import NAMES, name, names


def test_a_known_code_has_its_name_and_another_stays() -> None:
    assert name("cs.LG") == "Machine Learning"
    assert name("Neuroscience") == "Neuroscience"
    assert name("cs.lg") == "cs.lg"


def test_two_codes_of_one_name_are_named_once() -> None:
    assert names(["cs.IT", "math.IT", "eess.SP"]) == ["Information Theory", "Signal Processing"]
    assert names(["cs.CV", "cs.LG", "cs.AI", "cs.RO"], 2) == [name("cs.CV"), name("cs.LG")]


def test_no_name_is_as_good_as_none() -> None:
    assert len(NAMES) > 150
    for code, text in NAMES.items():
        assert text != code
        assert text == text.strip()
