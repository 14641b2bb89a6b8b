#!/usr/bin/env bash
# scripts/lint.sh: lint, format and types. Makes .venv first where it is missing or stale.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
ensure_venv dev
cd -- "$root"
"$venv/bin/ruff" check
"$venv/bin/ruff" format --check
if "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    "$venv/bin/mypy"
else
    echo "the types are not checked: numpy for Python 3.10 has older annotations" >&2
fi
