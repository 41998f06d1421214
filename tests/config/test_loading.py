"""What a loaded config holds."""

from pathlib import Path

from curio_ray.config import load_config

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"


def test_a_model_folder_becomes_absolute_while_other_names_stay(tmp_path, monkeypatch):
    (tmp_path / "models" / "p").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = load_config(POCKET, ["servers.policy.model=models/p"])
    assert config.servers["policy"].model == str((tmp_path / "models" / "p").resolve())
    assert config.servers["frozen"].model == "pocket:world"


def test_a_tasks_files_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(POCKET, ["task.options={files: [data/rows.json, /srv/rows.json]}"])
    assert config.task.options["files"] == [str(tmp_path / "data" / "rows.json"), "/srv/rows.json"]
