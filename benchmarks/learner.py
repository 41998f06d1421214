"""The learner: packed dialogues against one padded sample per turn, and against a bare loop.

    python benchmarks/learner.py
    python benchmarks/learner.py --device cuda --shape 1b --precision bfloat16

Needs neither Ray nor vLLM. All ways train on the same dialogues with the same optimizer: what
differs is how dialogues become batches, and who drives the step. One thread on a CPU.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ratios import in_turn, report, summarise
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

from curio_ray.config.learner import LearnerConfig
from curio_ray.learner.deepspeed_setup import join_process_group
from curio_ray.learner.engine import LearnerEngine
from curio_ray.learner.losses import Counts, Objective
from curio_ray.learner.model_loading import DTYPES, build_policy
from curio_ray.learner.packing import pack_sequences, pack_tensors
from curio_ray.learner.sequences import TrainingSequence
from curio_ray.model_paths import locate_model

PEAK_OPERATIONS_PER_SECOND = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bfloat16, by data sheet."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The dialogues: tokens of the prompt, of an utterance and of a reply; policy turns."""

    dialogues: int
    prompt: int
    utterance: int
    reply: int
    turns: int


SHAPES = {"pocket": Shape(32, 40, 6, 8, 6), "1b": Shape(32, 250, 60, 40, 10)}


def made_dialogues(shape: Shape, vocabulary: int) -> list[TrainingSequence]:
    """Dialogues of random tokens; lengths vary by a half around the shape's."""
    generator = np.random.default_rng(0)

    def length(mean: int) -> int:
        return int(generator.integers(mean // 2, mean + mean // 2 + 1))

    sequences = []
    for _ in range(shape.dialogues):
        mask = [False] * length(shape.prompt)
        for turn in range(shape.turns):
            mask += [True] * max(1, length(shape.utterance))
            mask += [False] * (length(shape.reply) if turn + 1 < shape.turns else 0)
        action = np.array(mask)
        starts = np.flatnonzero(action & ~np.concatenate([[False], action[:-1]]))
        sequences.append(
            TrainingSequence(
                token_ids=generator.integers(0, vocabulary, len(mask)).astype(np.int32),
                action_mask=action,
                behaviour_log_probs=np.where(action, -3, 0).astype(np.float32),
                value_positions=starts - 1,
                advantages=np.where(action, 0.1, 0).astype(np.float32),
                value_targets=np.full(len(starts), 0.1, np.float32),
            )
        )
    return sequences


class Float32AdamW:
    """AdamW as the learner has it: on float32 copies where the weights are bfloat16."""

    def __init__(self, model: torch.nn.Module, config: LearnerConfig) -> None:
        self._weights = list(model.parameters())
        self._copies = [weight.detach().float() for weight in self._weights]
        self._optimizer = torch.optim.AdamW(self._copies, lr=config.learning_rate, fused=True)

    def step(self) -> None:
        """Step from the weights' gradients, and forget these."""
        for weight, copy in zip(self._weights, self._copies, strict=True):
            copy.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        self._optimizer.step()
        self._optimizer.zero_grad()
        for weight, copy in zip(self._weights, self._copies, strict=True):
            if weight.dtype != copy.dtype:
                weight.data.copy_(copy)


def packed_learner(model: str, config: LearnerConfig, dialogues: Any) -> Callable[[], None]:
    """The project's learner, one update."""
    engine = LearnerEngine(model, config, 1.0, seed=0, learns_value=False)

    def step() -> None:
        engine.update(dialogues)

    return step


def bare_loop(model: str, config: LearnerConfig, dialogues: Any) -> Callable[[], None]:
    """The same packs, model and loss in a plain PyTorch loop."""
    device = torch.device("cuda" if config.gpus_per_rank else "cpu")
    network = build_policy(model, config, 1.0, seed=0).to(device)
    optimizer = Float32AdamW(network, config)
    lengths = [len(each) for each in dialogues]
    objective, counts = Objective(config), Counts.of(dialogues)

    def step() -> None:
        for pack in pack_sequences(lengths, 1, config.tokens_per_pack)[0]:
            tensors = pack_tensors([dialogues[index] for index in pack], device)
            log_probs, _ = network(tensors)
            objective(tensors, log_probs, None, counts, kl_coefficient=0.0)[0].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
        optimizer.step()

    return step


def padded_samples(model: str, config: LearnerConfig, dialogues: Any) -> Callable[[], None]:
    """One sample per turn with its whole history, padded to the longest, logits of every token."""
    device = torch.device("cuda" if config.gpus_per_rank else "cpu")
    network = AutoModelForCausalLM.from_pretrained(
        model, dtype=DTYPES[config.precision], attn_implementation="sdpa"
    ).to(device)
    optimizer = Float32AdamW(network, config)
    samples = [
        (each.token_ids[:end], start + 1)
        for each in dialogues
        for start, end in _turns(each.action_mask, each.value_positions)
    ]
    tokens = sum(each.policy_tokens for each in dialogues)
    longest = max(len(ids) for ids, _ in samples)
    size = max(1, config.tokens_per_pack // longest)

    def step() -> None:
        for first in range(0, len(samples), size):
            batch = samples[first : first + size]
            width = max(len(ids) for ids, _ in batch)
            ids = torch.zeros(len(batch), width, dtype=torch.long)
            mask, action = torch.zeros_like(ids), torch.zeros_like(ids)
            for row, (sample, start) in enumerate(batch):
                ids[row, : len(sample)] = torch.from_numpy(sample.astype(np.int64))
                mask[row, : len(sample)] = 1
                action[row, start : len(sample)] = 1
            ids, mask, action = (each.to(device) for each in (ids, mask, action))
            logits = network(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
            log_probs = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            ratios = (log_probs.detach() + 3).exp().clamp(max=config.loss.importance_ratio_cap)
            loss = -(ratios * 0.1 * log_probs * action[:, 1:]).sum() / tokens
            loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
        optimizer.step()

    return step


def _turns(action_mask: np.ndarray, value_positions: np.ndarray) -> list[tuple[int, int]]:
    ends = np.flatnonzero(action_mask & ~np.append(action_mask[1:], False)) + 1
    return list(zip(value_positions.tolist(), ends.tolist(), strict=True))


WAYS = {"packed": packed_learner, "bare": bare_loop, "padded": padded_samples}


def seconds(step: Callable[[], None], steps: int) -> float:
    """Wall time of some steps."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory(way: str, arguments: Sequence[str]) -> float:
    """GiB that one way takes, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments, "--memory-of", way],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak_of_process() -> float:
    """GiB that this process has held at most; getrusage would count its parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def measured_memory(step: Callable[[], None], before: float, cuda: bool) -> float:
    """GiB at the peak of two steps, over what the process had before its model."""
    step()
    step()
    if cuda:
        return float(torch.cuda.max_memory_allocated()) / 2**30
    return peak_of_process() - before


def random_model(folder: Path, precision: str, device: str) -> str:
    """A model of 1.2 billion random weights in the shape of the Llama family."""
    config = LlamaConfig(
        vocab_size=128_256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
    )
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[precision])
    model.save_pretrained(folder)
    return str(folder)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="pocket")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--model", default=None, help="a folder; by default that of the shape")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--memory-of", choices=tuple(WAYS), default=None)
    return parser.parse_args(arguments)


def prepare(options: argparse.Namespace) -> tuple[LearnerConfig, list[TrainingSequence]]:
    """Process group, config and dialogues."""
    torch.set_num_threads(1)
    cuda = options.device == "cuda"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    join_process_group(0, 1, "127.0.0.1", port, "nccl" if cuda else "gloo", 60)
    config = LearnerConfig(
        kl_coefficient=0,
        precision=options.precision,
        zero_stage=1 if options.precision == "bfloat16" else 0,
        gpus_per_rank=int(cuda),
        tokens_per_pack=16_384 if options.shape == "1b" else 4096,
    )
    vocabulary = AutoConfig.from_pretrained(options.model).vocab_size
    return config, made_dialogues(SHAPES[options.shape], vocabulary)


def main(options: argparse.Namespace) -> None:
    """Measure and print."""
    config, dialogues = prepare(options)
    cuda = options.device == "cuda"
    if options.memory_of is not None:
        before = peak_of_process()
        step = WAYS[options.memory_of](options.model, config, dialogues)
        print(json.dumps(measured_memory(step, before, cuda)))
        return
    given = [f"--{name}={getattr(options, name)}" for name in ("device", "shape", "precision")]
    given.append(f"--model={options.model}")
    memory = {way: peak_memory(way, given) for way in ("packed", "padded")}
    packed_step = packed_learner(options.model, config, dialogues)

    def against(way: str) -> list[tuple[float, float]]:
        # each way's model goes before the next one's comes
        step = WAYS[way](options.model, config, dialogues)
        packed_step()
        step()
        return in_turn(lambda: seconds(packed_step, 1), lambda: seconds(step, 1), options.rounds)

    against_padded, against_bare = against("padded"), against("bare")
    packed, padded = zip(*against_padded, strict=True)
    best = {"packed": min(packed), "padded": min(padded)}
    device = torch.cuda.get_device_name() if cuda else "CPU"
    print_speeds(device, best, memory, needed_operations(options.model, dialogues), dialogues)
    name = "learner_gpu" if cuda else "learner"
    report(
        [
            summarise(f"{name}_packed_to_padded", [b / a for a, b in against_padded], 3.0),
            summarise(f"{name}_packed_to_bare_loop", [b / a for a, b in against_bare], 0.9),
            summarise(f"{name}_memory", [memory["packed"] / memory["padded"]], 1.0, "lower"),
        ],
        options.output,
    )


def print_speeds(
    device: str,
    seconds_of: dict[str, float],
    memory: dict[str, float],
    needed: float,
    dialogues: Sequence[TrainingSequence],
) -> None:
    """Tokens a second and memory of each way, and the share of the GPU's peak where it is known."""
    peak = next((value for gpu, value in PEAK_OPERATIONS_PER_SECOND.items() if gpu in device), None)
    table = Table("", "policy tokens/s", "tokens/s", "needed operations/s", "peak GiB")
    for way, elapsed in seconds_of.items():
        share = "" if peak is None else f" ({needed / elapsed / peak:.1%} of the data sheet's)"
        table.add_row(
            way,
            f"{sum(each.policy_tokens for each in dialogues) / elapsed:,.0f}",
            f"{sum(len(each) for each in dialogues) / elapsed:,.0f}",
            f"{needed / elapsed:.3g}{share}",
            f"{memory[way]:.2f}",
        )
    Console(width=120).print(f"{device}, best round:", table)


def needed_operations(model: str, dialogues: Sequence[TrainingSequence]) -> float:
    """What a step needs at least: six operations per weight and token, and causal attention.

    The output head is needed for the policy's tokens alone, the embedding for none.
    """
    config = AutoConfig.from_pretrained(model)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    head = config.vocab_size * config.hidden_size
    layers = sum(p.numel() for p in network.base_model.parameters()) - head
    attention = 6 * config.num_hidden_layers * config.hidden_size
    return sum(
        6 * (layers * len(each) + head * each.policy_tokens) + attention * len(each) ** 2
        for each in dialogues
    )


if __name__ == "__main__":
    chosen = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.model is None and chosen.shape == "1b":
            chosen.model = random_model(Path(scratch), chosen.precision, chosen.device)
        chosen.model = chosen.model or str(locate_model("pocket:policy"))
        main(chosen)
