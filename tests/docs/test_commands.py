"""docs/reference/commands.md says what the command line says."""

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def test_the_page_of_commands_is_up_to_date(tmp_path):
    made = tmp_path / "commands.md"
    docs = ["utils", "docs", "--name", "curio", "--title", "Commands", "--output", str(made)]
    typer = [sys.executable, "-m", "typer", "curio_ray.commands.main", *docs]
    subprocess.run(typer, check=True, capture_output=True)
    assert PAGE.read_text() == made.read_text(), "renew it with: make docs"
