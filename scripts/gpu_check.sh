#!/usr/bin/env bash
# scripts/gpu_check.sh [--minutes 10] [--device cuda] [--out DIR]: proves and measures the path on CUDA in one go, on a machine with
# one card and no network. Needs Python 3.10 to 3.13 with torch; what else it needs comes with the folder of gpu_bundle.sh, if that
# is beside the checkout as .gpu/. Writes a JSON file after every item, and page.md at the end: results/gpu/ is its place.
set -uo pipefail
root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
minutes=10 device=cuda out=${OUT:-$root/gpu-check} quick=()
while (($#)); do
    case $1 in
    --minutes) minutes=$2 ;;
    --device) device=$2 ;;
    --out) out=$2 ;;
    --quick) quick=(--quick) && shift && continue ;; # smallest sizes: a dry run
    *) echo "gpu_check.sh: $1: there is no such option. It has --minutes, --device, --out, --quick" >&2 && exit 1 ;;
    esac
    shift 2 || exit 1
done
mkdir -p -- "$out"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
export PYTHONUNBUFFERED=1 METACL_CACHE=$work/cache METACL_RUNS=$work/runs METACL_DATA=${METACL_DATA:-$root/.gpu/data}
python=${PYTHON:-$( [[ -x $root/.venv/bin/python ]] && echo "$root/.venv/bin/python" || echo python3)}
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
if [[ -d $root/.gpu/wheels ]]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$root"/.gpu/wheels/*.whl || exit 1
    export PYTHONPATH=$PYTHONPATH:$work/site
fi
ends=$(($(date +%s) + $(awk "BEGIN { printf \"%d\", $minutes * 60 }") - 10))

step() { # seconds name command...
    local left=$((ends - $(date +%s))) limit=$1 name=$2
    shift 2
    ((left > 3)) || { echo "=== $name: no time left" && return; }
    ((limit < left)) || limit=$left
    echo "=== $name, at most $limit s"
    timeout -k 5 "$limit" "$@"
    echo "--- $name: exit status $?"
}
check() { # seconds name: a module of gpu_checks
    step "$1" "$2" "$python" "$root/scripts/gpu_check.py" "$2" --device "$device" --out "$out/$2.json" ${quick[@]+"${quick[@]}"}
}

cd -- "$root" || exit 1
{
    check 30 floors
    [[ $device != cuda || ${#quick[@]} -gt 0 ]] ||
        step 90 tests "$python" -m pytest -q -m gpu -p no:cacheprovider --continue-on-collection-errors -o addopts= -W default tests/inner tests/kernels tests/simulators tests/runtime
    check 150 engines
    check 60 convolutions
    check 40 norms
    check 60 perceptrons
    [[ ${#quick[@]} -gt 0 || ! -d $METACL_DATA ]] ||
        step 90 main-job "$python" -m metacl_run algo=maml data=split_omniglot "gpu=$device" data.download=false progress=plain
    check 90 scale
    check 150 learners
    [[ ${#quick[@]} -gt 0 ]] || step 120 benchmark "$python" scripts/benchmark.py --device "$device" --repeats 3
} 2>&1 | tee "$out/log.txt"
"$python" "$root/scripts/gpu_check.py" page --device "$device" --out "$out/page.md"
