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

# Joins as a driver would: `ray list nodes` asks the dashboard, which is not there.
alive_nodes() { python -c 'import sys, ray
ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(sum(node["Alive"] for node in ray.nodes()))' "$1"; }
alive=0
for _ in $(seq 60); do
    alive=$(alive_nodes "$address:$port" 2>/dev/null || echo 0)
    [ "$alive" -eq "$SLURM_JOB_NUM_NODES" ] && break
    sleep 5
done
if [ "$alive" -ne "$SLURM_JOB_NUM_NODES" ]; then
    echo "$alive of $SLURM_JOB_NUM_NODES nodes have joined Ray" >&2
    exit 1
fi

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
