#!/bin/bash
# A run of firerl on the machines of one Slurm job, which goes on by itself when the job is started again:
#
#   sbatch slurm.sh env=Humanoid run_dir=$HOME/runs/humanoid
#
# run_dir lies where the job's first machine can reach it each time; see "Run folders elsewhere" in cluster.md.
#SBATCH --job-name=firerl
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail

nodes=${SLURM_JOB_NUM_NODES:-1}
cpus=${SLURM_CPUS_PER_TASK:-1}
port=$((20000 + SLURM_JOB_ID % 10000)) # another one for each job on the same machine
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
export RAY_USAGE_STATS_ENABLED=0
# Only who has this job's own token may use its cluster; srun takes it along (Ray 2.52 and later ask for it).
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
  ray start --head --node-ip-address="$ip" --port="$port" --num-cpus="$cpus" --include-dashboard=false --block &
until ray status --address="$ip:$port" > /dev/null 2>&1; do
  kill -0 $! # it lives, or the job ends here
  sleep 1
done
if [ "$nodes" -gt 1 ]; then
  srun --overlap --nodes=$((nodes - 1)) --ntasks=$((nodes - 1)) --exclude="$head" \
    ray start --address="$ip:$port" --num-cpus="$cpus" --block &
fi

# Machines that join later are used from the next generation on.
python -m firerl.launch "$@" engine=ray engine.address="$ip:$port" resume=auto &
run=$!
trap 'kill -TERM $run' TERM # two minutes before the job's time is up: it saves nothing anew, the last ready is there
code=0
while kill -0 "$run" 2> /dev/null; do
  code=0
  wait "$run" || code=$? # a signal ends this wait, not the run
done
kill $(jobs -p) 2> /dev/null || true
if [ "$code" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
