#!/usr/bin/env bash
# scripts/smoke.sh: tries the metacl-run that is installed, in a folder of its own, in about half a minute on data made on the spot:
# a run of every protocol, a sweep of two jobs, the index, a comparison.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"
export METACL_RUNS=$folder/runs

metacl-run --version
metacl-run algo=maml data.num_tasks=2 model.channels=4 protocol.updates_per_task=4 protocol.eval_episodes=4 progress=plain
metacl-run algo=oml model.channels=4 protocol.updates=4 'protocol.schedule=[2,5]' protocol.orders=2 'protocol.rates=[0.01]' \
    progress=plain
metacl-run algo=continual_maml model.channels=4 protocol.steps=10 algo.pretrain_updates=4 progress=plain
metacl-run -m algo=sgd,er data.num_tasks=2 data.train_per_task=40 data.test_per_task=60 progress=plain
metacl-run index
metacl-report runs >report.txt

for file in runs/index.html report/report.html; do
    [[ -s $file ]] || { echo "smoke test: $file is missing" >&2; exit 1; }
done
runs=(runs/*/*/*/report.html)
((${#runs[@]} == 5)) || { echo "smoke test: ${#runs[@]} of 5 runs have a report" >&2; exit 1; }
echo "smoke test: all of it works"
