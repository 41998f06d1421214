"""The learning-rate schedule."""


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Share of the full learning rate at an optimizer step counted from 0: linear, then 1."""
    return min(1.0, (step + 1) / (warmup_steps + 1))
