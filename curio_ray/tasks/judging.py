"""What a judge is asked about single turns and about two dialogues, in the words of any task."""

from __future__ import annotations

from curio_ray.tasks.base import ComparisonPrompt, ReadingPrompt

_NO_YES = ("No", "Yes")
_LABELS = ("A", "B")
_QUALITY = {
    "informative": "Does the {policy}'s last turn tell the {user} something that is of use?",
    "engaging": "Does the {policy}'s last turn invite the {user} to take part?",
    "respectful": "Does the {policy}'s last turn respect what the {user} has said so far?",
}


def quality_prompts(policy_name: str, user_name: str) -> dict[str, ReadingPrompt]:
    """The terms informative, engaging and respectful, each about the policy's last turn.

    All begin with the same words, so that a server reads a transcript once for all of them.
    """
    policy, user = policy_name.lower(), user_name.lower()
    instruction = f"Judge how the {policy} talks with the {user}.\nThe conversation:"
    prompts = {}
    for name, template in _QUALITY.items():
        question = template.format(policy=policy, user=user)
        prompts[name] = ReadingPrompt(
            instruction=instruction,
            policy_name=policy_name,
            user_name=user_name,
            question=f"{question} Answer with one word: No or Yes.",
            labels=_NO_YES,
        )
    return prompts


def comparison_prompts(
    policy_name: str, user_name: str, about_user: str, about_quality: str
) -> dict[str, ComparisonPrompt]:
    """The criteria personalisation and quality.

    Args:
        policy_name: the policy's name in the transcripts.
        user_name: the user's.
        about_user: a sentence on what fits this user, told for personalisation only.
        about_quality: a sentence on what is good for every user, told for quality only.
    """
    policy, user = policy_name.lower(), user_name.lower()

    def prompt(told: str, question: str) -> ComparisonPrompt:
        return ComparisonPrompt(
            instruction=f"Compare two conversations of a {policy} with the same {user}. {told}",
            headings=("Conversation A:", "Conversation B:"),
            policy_name=policy_name,
            user_name=user_name,
            question=f"{question} Answer with one letter: A or B.",
            labels=_LABELS,
        )

    return {
        "personalisation": prompt(
            about_user, f"In which conversation does the {policy} suit this {user} better?"
        ),
        "quality": prompt(about_quality, f"In which conversation does the {policy} do better?"),
    }
