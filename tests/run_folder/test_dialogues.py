"""Dialogues on disk."""

from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq

from curio_ray.run_folder import RunFolder


def test_dialogues_come_back_equal(tmp_path, config, dialogues):
    run = RunFolder.create(tmp_path / "run", config)
    run.write_dialogues(12, dialogues)
    for read, written in zip(run.read_dialogues(12), dialogues, strict=True):
        np.testing.assert_equal(asdict(read), asdict(written))


def test_dialogues_are_one_parquet_row_each(tmp_path, config, dialogues):
    path = RunFolder.create(tmp_path / "run", config).write_dialogues(12, dialogues)
    assert path == tmp_path / "run" / "dialogues" / "iteration-000012.parquet"
    assert pq.read_metadata(path).num_rows == len(dialogues)
