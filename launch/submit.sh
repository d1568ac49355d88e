#!/usr/bin/env bash
# Submits one SLURM job per data set; see --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<TEXT
Submit one SLURM job per data set: launch/submit.sh [OPTIONS] [-- ARGUMENTS OF fedlayers]

  --datasets=A,B      data sets, names of conf/dataset (default: all that need no further setting)
  --env-name=NAME     conda environment to activate in the job
  --env-path=FOLDER   environment by its folder: conda's or a virtual environment (default: .venv of the
                      checkout if it is there, else what is active now)
  --dir=FOLDER        project folder: jobs run there, results/ and logs/ are below it (default: the checkout)
  --time=D-HH:MM:SS   time limit (default 2-00:00:00); a run that needs longer is queued again and continues
  --memory=SIZE       memory per job (default 60G)
  --cpus=N            CPUs per job (default 6)
  --gpus=N            GPUs per job (default 0)
  --partition=NAME    partition, and --account=NAME, --qos=NAME (default: those in conf/local/slurm.yaml, else SLURM's)
  --dry-run           print the jobs instead of submitting them
  --help              show this

Logs: <dir>/logs/outputs/<DATASET>_analytics.txt and <dir>/logs/errors/<DATASET>_analytics.txt; each run keeps its own
in log.txt of its run folder. Arguments after -- go to every run, such as: -- rounds=50 seed=1
or, as a sweep whose runs share one job: -- -m seed=0,1,2
TEXT
}

fail() { echo "submit.sh: $1; see --help" >&2; exit 2; }

# setting NAME: a value of conf/local/slurm.yaml, the file that also serves hydra/launcher=slurm.
setting() {
  local file="$root/conf/local/slurm.yaml"
  if [ -f "$file" ]; then sed -nE "s/^$1: *['\"]?([^'\"#]*[^'\"# ])['\"]? *(#.*)?$/\1/p" "$file" | head -n 1; fi
}

datasets="" env_name="" env_path="" dir="$root" time="2-00:00:00" memory="60G" cpus=6 gpus=0 dry=""
partition=$(setting partition) account=$(setting account) qos=$(setting qos)
while [ $# -gt 0 ]; do
  case "$1" in
    --datasets=*) datasets="${1#*=}" ;;
    --env-name=*) env_name="${1#*=}" ;;
    --env-path=*) env_path="${1#*=}" ;;
    --dir=*) dir="${1#*=}" ;;
    --time=*) time="${1#*=}" ;;
    --memory=*) memory="${1#*=}" ;;
    --cpus=*) cpus="${1#*=}" ;;
    --gpus=*) gpus="${1#*=}" ;;
    --partition=*) partition="${1#*=}" ;;
    --account=*) account="${1#*=}" ;;
    --qos=*) qos="${1#*=}" ;;
    --dry-run) dry=1 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; break ;;
    *) fail "unknown option '$1' (arguments of fedlayers come after --)" ;;
  esac
  shift
done

# Names in the order of their bytes, whatever the language of the machine.
known=$(LC_ALL=C && cd "$root/conf/dataset" && printf '%s\n' *.yaml | sed 's/\.yaml$//')
[ -n "$datasets" ] || datasets=$(grep -vx hub <<<"$known" | paste -sd,)
for dataset in ${datasets//,/ }; do
  grep -qx -- "$dataset" <<<"$known" || fail "unknown data set '$dataset'; known: $(paste -sd' ' <<<"$known")"
done
[[ "$cpus" =~ ^[1-9][0-9]*$ ]] || fail "--cpus must be 1 or more, got '$cpus'"
[[ "$gpus" =~ ^[0-9]+$ ]] || fail "--gpus must be 0 or more, got '$gpus'"
[ -d "$dir" ] || fail "--dir must be an existing folder, got '$dir'"
dir=$(cd "$dir" && pwd)
[ -z "$env_name" ] || [ -z "$env_path" ] || fail "--env-name and --env-path name one environment: give one of them"
[ -n "$dry" ] || command -v sbatch >/dev/null || fail "there is no sbatch here: submit from the cluster's login node"
if [ -z "$env_name$env_path" ] && [ -d "$root/.venv" ]; then env_path="$root/.venv"; fi

activation="true"
if [ -n "$env_name" ]; then
  activation="source \"\$(conda info --base)/etc/profile.d/conda.sh\" && conda activate $(printf %q "$env_name")"
elif [ -n "$env_path" ]; then
  [ -d "$env_path" ] || fail "--env-path must be an existing folder, got '$env_path'"
  env_path=$(cd "$env_path" && pwd)
  if [ -f "$env_path/bin/activate" ]; then
    activation="source $(printf %q "$env_path/bin/activate")"
  else
    activation="source \"\$(conda info --base)/etc/profile.d/conda.sh\" && conda activate $(printf %q "$env_path")"
  fi
fi

job() {
  local dataset=$1
  shift
  cat <<TEXT
#!/usr/bin/env bash
#SBATCH --job-name=fedlayers-$dataset
#SBATCH --chdir=$dir
#SBATCH --output=$dir/logs/outputs/${dataset}_analytics.txt
#SBATCH --error=$dir/logs/errors/${dataset}_analytics.txt
#SBATCH --open-mode=append
#SBATCH --time=$time
#SBATCH --mem=$memory
#SBATCH --cpus-per-task=$cpus
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
TEXT
  if [ "$gpus" -gt 0 ]; then echo "#SBATCH --gpus-per-node=$gpus"; fi
  if [ -n "$partition" ]; then echo "#SBATCH --partition=$partition"; fi
  if [ -n "$account" ]; then echo "#SBATCH --account=$account"; fi
  if [ -n "$qos" ]; then echo "#SBATCH --qos=$qos"; fi
  cat <<TEXT

$activation
export PYTHONUNBUFFERED=1 PYTHONPATH=$(printf %q "$root")\${PYTHONPATH:+:\$PYTHONPATH}

# Two minutes before its time ends the run stops after its last complete round, and the job is queued again.
again=""
trap 'again=1; kill -TERM "\$run"' USR1
python -m fedlayers +dataset=$dataset$(printf ' %q' "$@") &
run=\$!
status=0
wait "\$run" || status=\$?
if [ -n "\$again" ]; then
  status=0
  wait "\$run" || status=\$?
  if [ "\$status" -eq 143 ]; then scontrol requeue "\$SLURM_JOB_ID"; fi
fi
exit "\$status"
TEXT
}

for dataset in ${datasets//,/ }; do
  script=$(job "$dataset" "$@" | sed -E 's/ +$//')
  if [ -n "$dry" ]; then
    printf '# ---- %s\n%s\n' "$dataset" "$script"
  else
    mkdir -p "$dir/logs/outputs" "$dir/logs/errors"
    echo "$dataset: $(sbatch <<<"$script"), log $dir/logs/outputs/${dataset}_analytics.txt"
  fi
done
