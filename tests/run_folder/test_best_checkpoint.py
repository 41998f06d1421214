"""The checkpoint that was best on held-out users, beside the newest ones."""

import os
import shutil

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from curio_ray.run_folder import RunFolder, find_checkpoint
from curio_ray.run_folder.existing_runs import resume_config, why_this_checkpoint


def save(run: RunFolder, *iterations: int) -> None:
    for iteration in iterations:
        with run.checkpoint(iteration) as folder:
            (folder / "weights").write_text(str(iteration))


@pytest.fixture
def run(tmp_path, config) -> RunFolder:
    return RunFolder.create(tmp_path / "run", config)


def test_the_best_checkpoint_stays_though_newer_ones_come(run):
    save(run, 20)
    run.mark_best(20)
    save(run, 40, 60, 80)
    assert sorted(os.listdir(run.path / "checkpoints")) == [
        "best", "iteration-000020", "iteration-000060", "iteration-000080",
    ]  # fmt: skip


def test_a_better_one_takes_its_place(run):
    save(run, 20)
    run.mark_best(20)
    save(run, 40, 60, 80)
    run.mark_best(80)
    assert run.best_checkpoint().name == "iteration-000080"
    assert not (run.path / "checkpoints" / "iteration-000020").exists()


def test_the_best_link_holds_a_whole_checkpoint(run):
    save(run, 20)
    run.mark_best(20)
    assert (run.path / "checkpoints" / "best" / "weights").read_text() == "20"


def test_the_link_still_leads_there_when_the_run_folder_was_moved(run, tmp_path):
    save(run, 20, 40)
    run.mark_best(20)
    run.close()
    moved = run.path.rename(tmp_path / "moved")
    assert find_checkpoint(moved) == moved / "checkpoints" / "iteration-000020"


def test_of_a_run_the_best_checkpoint_is_taken_and_it_is_said(run):
    save(run, 20, 40)
    run.mark_best(20)
    assert find_checkpoint(run.path).name == "iteration-000020"
    assert why_this_checkpoint(run.path) == (
        "the best on held-out users; the newest is iteration-000040"
    )


def test_where_none_was_marked_the_newest_is_taken_and_it_is_said(run):
    save(run, 20, 40)
    assert find_checkpoint(run.path).name == "iteration-000040"
    assert why_this_checkpoint(run.path) == "the newest"


def test_the_best_link_named_itself_is_the_checkpoint_that_it_leads_to(run):
    save(run, 20, 40)
    run.mark_best(20)
    found = find_checkpoint(run.path / "checkpoints" / "best")
    assert found == run.path / "checkpoints" / "iteration-000020"


def test_a_run_goes_on_from_its_newest_checkpoint(run):
    save(run, 20, 40)
    run.mark_best(20)
    assert run.latest_checkpoint().name == "iteration-000040"
    run.close()
    assert resume_config(run.path, ["training.iterations=60"]).training.iterations == 60


def test_a_link_to_a_checkpoint_that_is_gone_marks_none(run):
    save(run, 20, 40)
    run.mark_best(20)
    shutil.rmtree(run.path / "checkpoints" / "iteration-000020")
    assert run.best_checkpoint() is None
    assert find_checkpoint(run.path).name == "iteration-000040"


def test_figures_added_to_an_iteration_are_in_its_line(run):
    run.write_metrics(1, {"success": 0.1})
    run.write_metrics(2, {"success": 0.2})
    run.extend_metrics(2, {"held_out/success": 0.5, "held_out/success_interval": [0.4, 0.6]})
    assert run.metrics() == [
        {"iteration": 1, "success": 0.1},
        {
            "iteration": 2, "success": 0.2, "held_out/success": 0.5,
            "held_out/success_interval": [0.4, 0.6],
        },
    ]  # fmt: skip


def test_figures_are_added_to_the_last_iteration_only(run):
    run.write_metrics(1, {"success": 0.1})
    run.write_metrics(2, {"success": 0.2})
    with pytest.raises(ValueError, match="of iteration 2, not 1"):
        run.extend_metrics(1, {"held_out/success": 0.5})


def scalars(run: RunFolder, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    return [(event.step, round(event.value, 3)) for event in events.Scalars(name)]


def test_figures_added_after_a_resume_hide_none_of_the_iteration_in_tensorboard(run):
    run.write_metrics(1, {"success": 0.1})
    run.close()
    again = RunFolder.open(run.path)
    again.extend_metrics(1, {"held_out/success": 0.5})
    again.close()
    assert scalars(again, "success") == [(1, 0.1)]
    assert scalars(again, "held_out/success") == [(1, 0.5)]
