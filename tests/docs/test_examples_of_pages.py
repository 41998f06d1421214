"""Examples that a page shows whole are those of the files beside it."""

import re
import textwrap
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "extend"
SHOWN = {"losses.md": "masked_loss.py", "rewards.md": "surprise_reward.py"}


@pytest.mark.parametrize("page", SHOWN)
def test_a_page_shows_its_example_as_it_is(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (FOLDER / page).read_text(), re.DOTALL)
    example = (FOLDER / "examples" / SHOWN[page]).read_text()
    assert any(textwrap.dedent(block).strip() == example.strip() for block in blocks)
