#!/usr/bin/env bash
# scripts/test.sh [pytest arguments]: the tests, on all cores. Paths are relative to the checkout. Makes .venv first where it is
# missing or stale. Slow tests are left out: scripts/test.sh -m slow
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
ensure_venv dev
cd -- "$root"
# One thread a worker: the workers are what uses the cores.
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
workers=$("$venv/bin/python" -c '
import os
print(min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))')
exec "$venv/bin/python" -m pytest -n "$workers" --dist worksteal "$@"
