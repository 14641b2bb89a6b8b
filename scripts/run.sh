#!/usr/bin/env bash
# scripts/run.sh [overrides]: metacl-run from this checkout, in the caller's folder. Makes .venv first where it is missing or stale.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
ensure_venv run
exec "$venv/bin/metacl-run" "$@"
