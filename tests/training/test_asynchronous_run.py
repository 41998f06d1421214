"""Dialogues held while the learner works: how old their tokens may be, and that none is lost."""

import pytest
from short_runs import InterruptedRun

from curio_ray.dialogue import Dialogue
from curio_ray.run_folder import RunFolder

pytestmark = pytest.mark.slow

ITERATIONS = 3


@pytest.fixture(scope="module")
def asynchronous(tmp_path_factory: pytest.TempPathFactory) -> InterruptedRun:
    """A run one batch ahead, interrupted and resumed."""
    path = tmp_path_factory.mktemp("runs") / "asynchronous"
    return InterruptedRun(path, "training.max_staleness=1", iterations=ITERATIONS)


@pytest.fixture(scope="module")
def iterations(asynchronous: InterruptedRun) -> list[tuple[dict, list[Dialogue]]]:
    folder = RunFolder.open(asynchronous.path)
    lines = [line for line in folder.metrics() if line["iteration"]]
    found = [(line, folder.read_dialogues(line["iteration"])) for line in lines]
    folder.close()
    return found


def test_no_token_is_older_than_the_bound_when_it_is_learned_from(iterations):
    for line, dialogues in iterations:
        turns = [turn for each in dialogues for turn in each.policy_turns]
        versions = {version for turn in turns for version in turn.weight_versions}
        assert versions <= {line["iteration"] - 2, line["iteration"] - 1}


def test_dialogues_are_held_while_the_learner_works(iterations):
    assert max(line["staleness"] for line, _ in iterations) > 0


def test_every_user_drawn_is_learned_from_once_also_after_an_interrupt(iterations):
    numbers = [int(each.id.split("-")[1]) for _, dialogues in iterations for each in dialogues]
    assert numbers == list(range(len(numbers)))


def test_tokens_sampled_after_an_update_in_mid_dialogue_agree_with_the_learner(iterations):
    differences = [line.get("log_prob_difference_max", 0.0) for line, _ in iterations]
    assert max(differences) < 1e-4


def test_an_interrupt_in_mid_collection_leaves_no_process_behind(asynchronous):
    assert asynchronous.left_behind == []


def test_a_resumed_asynchronous_run_ends_well(asynchronous):
    assert asynchronous.resumed.returncode == 0, asynchronous.resumed.stderr
