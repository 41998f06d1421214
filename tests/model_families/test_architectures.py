"""The lists of architectures say what the learner finds when it has loaded such a model."""

from pathlib import Path

import pytest
from tiny_models import OPTIONS, save_tiny_model

from curio_ray.architectures import ALONE, REFUSED, REPEATED, learner_problem
from curio_ray.errors import LearnerError
from curio_ray.learner.architecture import check_architecture
from curio_ray.learner.model_loading import build_reference_model

TRIED = sorted({*OPTIONS, "Gemma3ForConditionalGeneration"})


def problem_when_loaded(
    architecture: str, folder: Path, several: bool = True, precision: str = "float32"
) -> str | None:
    model = save_tiny_model(architecture, folder)
    try:
        policy = build_reference_model(model, precision, 0.7)
        check_architecture(policy, policy, several)
    except LearnerError as error:
        return str(error)
    return None


def test_every_architecture_of_the_lists_is_tried_and_is_in_one_of_them() -> None:
    assert sorted([*REPEATED, *ALONE, *REFUSED]) == TRIED


@pytest.mark.parametrize("architecture", TRIED)
def test_packs_are_refused_of_just_those_architectures_that_are_listed(
    architecture: str, tmp_path: Path
) -> None:
    found = problem_when_loaded(architecture, tmp_path)
    listed = learner_problem(architecture, tokens_per_pack=4096)
    assert listed is None if found is None else listed is not None and listed in found


@pytest.mark.parametrize("architecture", sorted([*REPEATED, *ALONE, "GptOssForCausalLM"]))
def test_rounding_in_bfloat16_changes_no_verdict(architecture: str, tmp_path: Path) -> None:
    found = problem_when_loaded(architecture, tmp_path, precision="bfloat16")
    assert (found is None) == (architecture in REPEATED)


@pytest.mark.parametrize("architecture", sorted(ALONE))
def test_with_a_pass_of_its_own_a_dialogue_of_a_hybrid_model_is_right(
    architecture: str, tmp_path: Path
) -> None:
    assert problem_when_loaded(architecture, tmp_path, several=False) is None
    assert learner_problem(architecture, tokens_per_pack=1) is None


@pytest.mark.parametrize("architecture", sorted(REFUSED))
def test_with_a_pass_of_its_own_a_refused_architecture_stays_refused(
    architecture: str, tmp_path: Path
) -> None:
    assert problem_when_loaded(architecture, tmp_path, several=False) is not None
    assert learner_problem(architecture, tokens_per_pack=1) is not None
