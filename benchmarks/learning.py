"""Does the intrinsic reward pay? Trains the pocket run with and without it over several seeds.

    python benchmarks/learning.py --seeds 3

Runs that are already there are not repeated. Prints success on held-out users and writes
`learning.json` beside the runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

REWARDS = ("diff_acc", "mtrlhf")


def train(config: str, output: Path, reward: str, seed: int) -> dict:
    """One run's summary; a finished run is read, an unfinished one resumed."""
    run = output / f"{reward}-{seed}"
    summary = run / "summary.json"
    if not summary.exists():
        command = [sys.executable, "-m", "curio_ray", "train"]
        if any((run / "checkpoints").glob("iteration-*")):
            command += ["--resume", str(run)]
        else:
            command += [config, "--output", str(run), "--set-aside", "--set", f"seed={seed}"]
            command += ["--set", f"rewards.intrinsic.name={reward}"]
        subprocess.run(command, check=True)
    return json.loads(summary.read_text())


def main() -> None:
    """Train every reward with every seed and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/pocket.yaml")
    parser.add_argument("--output", type=Path, default=Path("runs/learning"))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    results = [
        train(arguments.config, arguments.output, reward, seed)
        for seed in range(arguments.seeds)
        for reward in REWARDS
    ]
    (arguments.output / "learning.json").write_text(json.dumps(results, indent=2))
    print(f"{'reward':10} {'seed':>4} {'dialogues':>9} {'success':>15} {'belief':>15} {'time':>7}")
    for row in results:
        print(
            f"{row['intrinsic']:10} {row['seed']:4} {row['dialogues']:9} "
            f"{row['success_before']:6.3f} → {row['success_after']:6.3f} "
            f"{row['belief_before']:6.3f} → {row['belief_after']:6.3f} "
            f"{row['seconds_total']:6.0f}s"
        )
    for reward in REWARDS:
        rows = [row for row in results if row["intrinsic"] == reward]
        rise = mean(row["success_after"] - row["success_before"] for row in rows)
        final = mean(row["success_after"] for row in rows)
        print(f"{reward}: success {final:.3f} in the mean, {100 * rise:+.1f} points")


if __name__ == "__main__":
    main()
