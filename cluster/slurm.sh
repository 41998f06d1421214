#!/usr/bin/env bash
# A run on Slurm: a Ray head on the first node, a worker on each other one, then `curio train`.
#   sbatch --nodes 1 cluster/slurm.sh configs/education_gemma.yaml
#   sbatch --nodes 4 cluster/slurm.sh configs/education_32_gpus.yaml --set seed=1
# Submit from the checkout, on a file system that all nodes share; .venv holds the `gpu` extra.
#SBATCH --job-name=curio
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=8
#SBATCH --time=48:00:00
#SBATCH --signal=B:INT@600
#SBATCH --output=curio-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit this file with sbatch}"
# shellcheck source=/dev/null
source .venv/bin/activate

port=$((20000 + SLURM_JOB_ID % 20000))
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname --ip-address | awk '{print $1}')
# Without a token every user of the cluster could run code in this job.
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(openssl rand -hex 32)
export RAY_AUTH_MODE RAY_AUTH_TOKEN
ray_on() { srun --overlap --nodes="$1" --ntasks="$1" "${@:2}" & }

# Slurm ends both steps with the job, so none outlives it.
ray_on 1 --nodelist="$first" ray start --head --block --port="$port" \
    --node-ip-address="$address" --include-dashboard=false
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    ray_on $((SLURM_JOB_NUM_NODES - 1)) --exclude="$first" \
        ray start --block --address="$address:$port"
fi

alive_nodes() { ray list nodes --address "$address:$port" --filter state=ALIVE --format json |
    python -c 'import json, sys; print(len(json.load(sys.stdin)))'; }
for _ in $(seq 60); do
    [ "$(alive_nodes 2>/dev/null || echo 0)" -eq "$SLURM_JOB_NUM_NODES" ] && break
    sleep 5
done

# Ten minutes before its end Slurm interrupts: the run finishes its iteration and saves.
curio train "$@" --address "$address:$port" &
run=$!
trap 'kill -INT "$run"' INT
status=0
wait "$run" || status=$?
if kill -0 "$run" 2>/dev/null; then
    status=0
    wait "$run" || status=$?
fi
exit "$status"
