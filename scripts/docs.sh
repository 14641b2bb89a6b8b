#!/usr/bin/env bash
# scripts/docs.sh: builds the documentation into site/; a warning is an error. scripts/docs.sh serve: shows it while it is written,
# at http://127.0.0.1:8000. Makes .venv first where it is missing or stale.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
ensure_venv dev
cd -- "$root"
export NO_MKDOCS_2_WARNING=1 # a notice of the theme's authors about MkDocs 2
exec "$venv/bin/python" -m mkdocs "${1:-build}" "${@:2}"
