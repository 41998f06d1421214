"""`curio calibrate` reads what a run recorded and starts nothing."""

from pathlib import Path

import numpy as np

from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.run_folder.dialogues import write_dialogues

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"


def too_sure(number: int) -> Dialogue:
    """A user model that is always sure of the first type, and right three times of four."""
    sure = np.array([0.99, 0.01])
    turns = [Turn("policy", "?", [1], [0.0], [0]), Turn("user", "!", [1], belief=sure)]
    return Dialogue(f"{number}", User(f"user-{number}", int(number % 4 == 0), {}), [1], turns, sure)


def recorded_run(folder: Path) -> Path:
    run = folder / "run"
    run.mkdir()
    (run / "config.yaml").write_text(POCKET.read_text())
    write_dialogues(
        run / "dialogues" / "iteration-000001.parquet", [too_sure(n) for n in range(64)]
    )
    return run


def test_calibrating_tells_the_temperature_to_write(curio, tmp_path):
    ended = curio("calibrate", str(recorded_run(tmp_path)))
    assert ended.code == 0, ended.error
    _, _, temperature = ended.output.partition("roles.user_model.temperature: ")
    assert 3 < float(temperature.split()[0]) < 6
    assert ended.heavy_modules == []


def test_calibrating_a_run_without_dialogues_is_an_error(curio, tmp_path):
    run = recorded_run(tmp_path)
    (run / "dialogues" / "iteration-000001.parquet").unlink()
    ended = curio("calibrate", str(run))
    assert ended.code == 2
    assert "holds no dialogues; train the run first" in ended.error
