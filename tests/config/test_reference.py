"""docs/reference/configuration.md says what the code says."""

from pathlib import Path

import pytest
import yaml

from curio_ray.config import dump_config, load_config, parse_config
from curio_ray.config.reference import render_reference

ROOT = Path(__file__).parents[2]


def test_reference_is_up_to_date():
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert page == render_reference(), "renew it with: make docs"


def test_every_field_is_described():
    rows = [line for line in render_reference().splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_config_is_valid_and_survives_a_round_trip(path):
    config = load_config(path)
    assert parse_config(yaml.safe_load(dump_config(config))) == config
