"""Each test that the threat model names is there."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODEL = HERE.parent / "docs" / "security.md"


def all_tests() -> set[str]:
    return {
        node.name
        for file in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.slow
def test_each_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", MODEL.read_text("utf-8")))
    assert len(named) > 40
    assert named <= all_tests()


def test_each_threat_has_an_answer_and_a_test() -> None:
    rows = [line for line in MODEL.read_text("utf-8").splitlines() if line.startswith("| ")]
    threats = [row.strip("| ").split(" | ") for row in rows if not row.startswith("| threat")]
    assert len(threats) > 25
    for threat in threats:
        assert len(threat) == 3, threat
        assert "`test_" in threat[2], threat


def test_how_to_report_is_written_down() -> None:
    text = (HERE.parent / "SECURITY.md").read_text("utf-8")
    assert "private" in text and "@" not in text
