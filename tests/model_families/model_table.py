"""The table of docs/reference/models.md, from what the package says of tiny models and templates.

PYTHONPATH=tests/model_families python tests/model_families/model_table.py    # prints it
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from template_tokenizers import tokenizer_of

from curio_ray.architectures import ALONE, REFUSED, REPEATED, weights_problem
from curio_ray.errors import TemplateError
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.base import Message, ReadingPrompt

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"

SERVED = (
    "GPT2LMHeadModel", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "GemmaForCausalLM",
    "LlamaForCausalLM", "MistralForCausalLM", "Olmo2ForCausalLM", "Phi3ForCausalLM",
    "PhiForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "SmolLM3ForCausalLM",
)  # fmt: skip
"""Served by vLLM on a CPU, and again with the weights that a learner sent."""

OFF = {"enable_thinking": False}
PROMPT = ReadingPrompt("Read this.", "Advisor", "Student", "Answer yes or no.", ("yes", "no"))
POLICY = [Message("system", "You advise."), Message("user", "Hello there.")]
PERSONA = [Message("system", "You like tea."), Message("assistant", "Hello."), POLICY[1]]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models: its architecture, and its chat template among the tests' fixtures."""

    name: str
    architecture: str
    template: str


FAMILIES = (
    Family("Gemma 2", "Gemma2ForCausalLM", "gemma2"),
    Family("Gemma 3, text", "Gemma3ForCausalLM", "gemma3"),
    Family("Gemma 3, with images", "Gemma3ForConditionalGeneration", "gemma3"),
    Family("Qwen 2.5", "Qwen2ForCausalLM", "qwen2_5"),
    Family("Qwen 3", "Qwen3ForCausalLM", "qwen3"),
    Family("Qwen 3, experts", "Qwen3MoeForCausalLM", "qwen3"),
    Family("Llama 2", "LlamaForCausalLM", "llama2"),
    Family("Llama 3", "LlamaForCausalLM", "llama3"),
    Family("Mistral", "MistralForCausalLM", "mistral"),
    Family("Mistral v0.3", "MistralForCausalLM", "mistral_v0_3"),
    Family("SmolLM2", "LlamaForCausalLM", "smollm2"),
    Family("SmolLM3", "SmolLM3ForCausalLM", "smollm3"),
    Family("Phi 3 and 4", "Phi3ForCausalLM", "phi"),
    Family("LFM2", "Lfm2ForCausalLM", "lfm2"),
    Family("gpt-oss", "GptOssForCausalLM", "gpt_oss"),
    Family("R1 distills of Qwen", "Qwen2ForCausalLM", "r1_distill"),
    Family("R1 distills of Llama", "LlamaForCausalLM", "r1_distill"),
)


def table() -> str:
    """The table in Markdown."""
    titles = ("family", "architecture", "policy", "frozen roles", "template", "served here")
    rows = [titles, ("---",) * len(titles), *(_row(family) for family in FAMILIES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(family: Family) -> tuple[str, ...]:
    template, usable = _template(family.template)
    served = "yes" if family.architecture in SERVED else "-"
    return (
        family.name, f"`{family.architecture}`", _policy(family.architecture),
        "yes" if usable else "with a template of your own", template, served,
    )  # fmt: skip


def _policy(architecture: str) -> str:
    if architecture in REFUSED:
        return f"no: it {REFUSED[architecture]}"
    if architecture in ALONE:
        return "with `learner.tokens_per_pack: 1`: it keeps state across positions"
    assert architecture in REPEATED
    if weights_problem(architecture, "shared_memory"):
        return "no: servers cannot take its experts' weights"
    return "yes"


def _template(name: str) -> tuple[str, bool]:
    """What to write for a template, and whether it can be used at all."""
    for values, words in (
        (None, "as it is"),
        (OFF, "`chat_template_kwargs: {enable_thinking: false}`"),
    ):
        try:
            chat = ChatFormat(tokenizer_of(name), name, values)
            for start in (POLICY, PERSONA):
                chat.verify(start, [("Do you?", "Yes."), ("Oh.", "No.")])
            ReadingFormat(chat, PROMPT)
        except TemplateError:
            continue
        return words, True
    return "`chat_template`: a file of your own", False


if __name__ == "__main__":
    sys.stdout.write(table())
