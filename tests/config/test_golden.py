"""What an owner reads when a configuration is wrong: each golden/*.yaml gives its *.txt, word for word.

After a change of words: UPDATE_GOLDEN=1 scripts/test tests/config/test_golden.py, and read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from budgetd.config.load import load
from budgetd.config.problems import ConfigError

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yaml")))
def test_wrong_configurations_say_what_is_wrong(name, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_bytes((GOLDEN / f"{name}.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(Path("config.yaml"), {"HOME": str(tmp_path)})
    text = f"{caught.value}\n".replace(str(tmp_path), "/here")
    expected = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(text)
    assert text == expected.read_text()
    assert "AbCdEfGh" not in text
    assert "hunter2" not in text


def test_every_golden_text_belongs_to_a_configuration():
    assert {p.stem for p in GOLDEN.glob("*.txt")} == {p.stem for p in GOLDEN.glob("*.yaml")}
