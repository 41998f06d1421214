"""The model card: what the pocket models are and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from string import Template

from curio_ray.pocket.evaluate_changing_world import ChangingFigures
from curio_ray.pocket.evaluate_policy import PolicyFigures
from curio_ray.pocket.evaluate_world import BeliefFigures, WorldFigures

_CARD = Template(
    """# Pocket models

Three Llama models of $parameters parameters each (4 layers, 128 wide, float32, a word-level
tokenizer of $words words), made by `curio pocket build --seed $seed`. They exist to watch the
algorithm work on two CPU cores. They know nothing outside the pocket world
(`docs/understand/pocket_world.md`).

## `world`: the simulated user, the user model and the reward model

One frozen model plays three roles, told apart by the prompt. It learned from dialogues drawn from
all personas, whose replies, posteriors and verdicts were computed exactly. Figures on the
$users held-out users of the exercise task, seed $task_seed:

| what | share |
|---|---|
| replies true to the persona, word for word, greedy, 8 random questions a user | $true_answers |
| replies as the rule has them to odd utterances (word salad, small talk, false claims) | $odd |
| right verdicts of the reward model, half of them on wrong recommendations | $judgements |

The user model's belief against the exact Bayesian posterior, by how many of the five relevant
attributes the user told (with up to three background answers, and something odd now and then).
KL is the mean KL(posterior, belief) in nats; *alone* is the belief of a user model that hears the
user's words alone (`roles.user_model.hears: user_words`):

| relevant answers | KL | KL, alone | accuracy | accuracy, alone | accuracy of the posterior |
|---|---|---|---|---|---|
$beliefs

Expected calibration error of the likeliest type, ten bins: $calibration.

## `changing_world`: the same roles, with users who change

`world`, trained further on dialogues in which the persona of the prompt contradicts earlier
replies, and on transcripts in which the latest answer counts. After a change to a persona with
another ideal exercise, with questions that the former persona had answered:

| what | `world` | `changing_world` |
|---|---|---|
| replies true to the persona where the opening states the context | $old_stated | $new_stated |
| replies true to the new persona, greedy | $old_after | $new_after |
| the same where the user states the change of context first | $old_announced | $new_announced |
| belief: total variation from the posterior of the latest answers | $old_distance | $new_distance |

On users who do not change:

| what | `world` | `changing_world` |
|---|---|---|
| replies true to the persona | $true_answers | $new_true_answers |
| replies as the rule has them to odd utterances | $odd | $new_odd |
| right verdicts of the reward model | $judgements | $new_judgements |
| mean KL(posterior, belief), nats, 0 to 5 relevant answers | $divergences | $new_divergences |
| the same, the user's words alone | $alone | $new_alone |

## `policy`: the start of training

Half of its demonstrations ask about random attributes and recommend a best guess; the other half
teach the recommendation alone, at every level of knowledge. On the same users, sampled at
temperature 1 with five questions:

| what | value |
|---|---|
| success | $success |
| success of always recommending one strategy | $majority |
| share of questions that are relevant (chance: 0.25) | $relevant |
| probability of the ideal recommendation when all five relevant answers are in | $told |

## Limits

The user is rigid: it answers the first attribute named in an utterance, thanks for a
recommendation and says "what ?" to all else. Utterances of more than 12 words and dialogues of
more than 9 turns were not trained on. All text is lower-case, words and marks set apart by spaces.
"""
)


def model_card(
    world: WorldFigures,
    changing_world: WorldFigures,
    changes: tuple[ChangingFigures, ...],
    policy: PolicyFigures,
    parameters: int,
    words: int,
    users: int,
    majority: float,
    seed: int,
    task_seed: int,
) -> str:
    """The card in Markdown; `changes` are the figures of `world` and of `changing_world`."""
    before, after = changes
    rows = [
        f"| {whole.relevant_answers} | {whole.divergence:.4f} | {alone.divergence:.4f} "
        f"| {whole.accuracy:.3f} | {alone.accuracy:.3f} | {whole.best_accuracy:.3f} |"
        for whole, alone in zip(world.beliefs, world.user_words_beliefs, strict=True)
    ]
    return _CARD.substitute(
        parameters=f"{parameters / 1e6:.2f} million",
        words=words,
        seed=seed,
        users=users,
        task_seed=task_seed,
        true_answers=f"{world.true_answers:.4f}",
        odd=f"{world.right_odd_replies:.4f}",
        judgements=f"{world.right_judgements:.4f}",
        beliefs="\n".join(rows),
        old_stated=f"{before.stated_answers:.4f}",
        new_stated=f"{after.stated_answers:.4f}",
        old_after=f"{before.true_answers:.4f}",
        new_after=f"{after.true_answers:.4f}",
        old_announced=f"{before.announced_answers:.4f}",
        new_announced=f"{after.announced_answers:.4f}",
        old_distance=f"{before.belief_distance:.4f}",
        new_distance=f"{after.belief_distance:.4f}",
        new_true_answers=f"{changing_world.true_answers:.4f}",
        new_odd=f"{changing_world.right_odd_replies:.4f}",
        new_judgements=f"{changing_world.right_judgements:.4f}",
        divergences=_mean_divergence(world.beliefs),
        new_divergences=_mean_divergence(changing_world.beliefs),
        alone=_mean_divergence(world.user_words_beliefs),
        new_alone=_mean_divergence(changing_world.user_words_beliefs),
        calibration=f"{world.calibration_error:.4f}",
        success=f"{policy.success:.3f}",
        majority=f"{majority:.3f}",
        relevant=f"{policy.relevant_questions:.3f}",
        told=f"{policy.success_when_told:.3f}",
    )


def _mean_divergence(beliefs: Sequence[BeliefFigures]) -> str:
    return f"{mean(level.divergence for level in beliefs):.4f}"
