"""Batches collected ahead of their turn: order, bound, and what a checkpoint knows of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from curio_ray.config import load_config
from curio_ray.dialogue import Dialogue
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.batches import TrainingBatches
from curio_ray.rollout.runner import LocalRunners, RolloutBatch

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
SIZE = 4
SEVERAL = 5


class CountingRunners(LocalRunners):
    """Knows how many dialogues it was asked for."""

    asked = 0

    def collect(self, assignments: Sequence[Assignment], options: RolloutOptions) -> RolloutBatch:
        self.asked += len(assignments)
        return super().collect(assignments, options)


@pytest.fixture(scope="module")
def runners(rollouts) -> Iterator[CountingRunners]:
    local = CountingRunners(rollouts.config, rollouts.task)
    local.connect(rollouts.servers.handles())
    yield local
    local.close()


@pytest.fixture
def make_batches(rollouts) -> Iterator[Callable[[int], TrainingBatches]]:
    made = []

    def make(max_staleness: int) -> TrainingBatches:
        sizes = (
            f"training.dialogues_per_iteration={SIZE}",
            f"training.max_staleness={max_staleness}",
        )
        config = load_config(POCKET, sizes)
        users = rollouts.task.users("train")
        made.append(TrainingBatches(config, users, rollouts.options()))
        return made[-1]

    yield make
    for each in made:
        each.close()


def numbers(dialogues: list[Dialogue]) -> list[int]:
    return [int(each.id.split("-")[1]) for each in dialogues]


def test_batches_collected_ahead_come_in_the_order_in_which_users_are_drawn(make_batches, runners):
    batches = make_batches(2)
    drawn = [numbers(batches.next(runners, SEVERAL)[0].dialogues) for _ in range(3)]
    assert drawn == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_what_was_collected_ahead_counts_as_not_drawn_in_a_checkpoint(make_batches, runners):
    batches = make_batches(1)
    batches.next(runners, SEVERAL)
    batches.settle()
    assert batches.state()["started"] == SIZE


@pytest.mark.parametrize(("max_staleness", "wanted"), [(0, SEVERAL), (3, 1)])
def test_no_batch_is_begun_beyond_the_bound_and_those_wanted(
    make_batches, runners, max_staleness, wanted
):
    before = runners.asked
    batches = make_batches(max_staleness)
    batches.next(runners, wanted)
    batches.settle()
    assert runners.asked - before == SIZE


def test_a_restored_stream_draws_again_what_was_collected_ahead(make_batches, runners):
    before, after = make_batches(1), make_batches(1)
    before.next(runners, SEVERAL)
    after.restore(before.state())
    told = [each.next(runners, 1)[0].dialogues for each in (before, after)]
    assert numbers(told[0]) == numbers(told[1])
    assert [each.user for each in told[0]] == [each.user for each in told[1]]
