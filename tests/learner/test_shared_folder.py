"""Whether what ranks write reaches the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from curio_ray.errors import CheckpointError, PreflightError
from curio_ray.learner import shared_folder
from curio_ray.learner.shared_folder import FolderProbe, check_arrived, file_sizes, leave_mark


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_folder, "ARRIVAL_S", 0.3)


def test_a_folder_that_all_share_passes_and_is_left_as_it_was(tmp_path: Path) -> None:
    probe = FolderProbe(tmp_path / "run")
    probe.check([leave_mark(Path(probe.folder), rank, "node") for rank in range(3)])
    assert list((tmp_path / "run").iterdir()) == []


def test_a_rank_that_does_not_see_the_drivers_word_is_named_with_its_node(tmp_path: Path) -> None:
    probe = FolderProbe(tmp_path / "run")
    elsewhere = tmp_path / "other_machine"
    marks = [
        leave_mark(Path(probe.folder), 0, "10.0.0.1"),
        leave_mark(elsewhere / probe.folder.removeprefix("/"), 1, "10.0.0.2"),
    ]
    with pytest.raises(PreflightError, match=r"output: .*learner rank 1 \(10\.0\.0\.2\)"):
        probe.check(marks)
    assert not elsewhere.exists()


def test_a_mark_that_does_not_arrive_is_named(tmp_path: Path) -> None:
    probe = FolderProbe(tmp_path / "run")
    mark = leave_mark(Path(probe.folder), 0, "10.0.0.1")
    (Path(probe.folder) / mark.file).unlink()
    with pytest.raises(PreflightError, match=r"--output /shared/runs/NAME"):
        probe.check([mark])


def test_whole_files_have_arrived(tmp_path: Path) -> None:
    (tmp_path / "shard").write_bytes(b"12345")
    check_arrived(tmp_path, {"learner rank 0": file_sizes(tmp_path, [tmp_path / "shard"])})


@pytest.mark.parametrize("content", [None, b"123"])
def test_a_missing_or_short_file_is_named_with_its_rank(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "shard").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"shard: learner rank 1 has written 5 bytes"):
        check_arrived(tmp_path, {"learner rank 1": {"shard": 5}})
