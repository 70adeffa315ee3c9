"""docs/reference/settings.md is what the configuration classes say, and they say something of every setting."""

from pathlib import Path

from nightrank.pipeline.reference import missing, reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_every_setting_has_a_sentence() -> None:
    assert missing() == [], "write a docstring under each of these fields"


def test_the_page_is_what_the_classes_say() -> None:
    assert PAGE.read_text() == reference(), "run `nightrank config --reference > docs/reference/settings.md`"
