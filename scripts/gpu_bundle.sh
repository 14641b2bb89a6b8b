#!/usr/bin/env bash
# scripts/gpu_bundle.sh [FOLDER] [DATA]: makes the folder that gpu_check.sh needs on a machine without a network, .gpu/ by default:
# wheels of what a Python 3.12 with torch lacks, and Omniglot's archives from DATA. Under 40 MB.
set -euo pipefail
root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-$root/.gpu} data=${2:-${METACL_DATA:-$root/../shared/data}}
mkdir -p -- "$folder/wheels" "$folder/data/omniglot"
python=${PYTHON:-$( [[ -x $root/.venv/bin/python ]] && echo "$root/.venv/bin/python" || echo python3)}
# Pure Python, of any version; annotated-types and filelock are small and may be missing.
packages=(hydra-core==1.3.8 omegaconf==2.3.1 annotated-types filelock higher==0.2.1 torchopt==0.7.3 optree==0.20.0 graphviz==0.21
    pytest pytest-timeout iniconfig pluggy)
"$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any -d "$folder/wheels" "${packages[@]}"
"$python" -m pip wheel -q --no-deps -w "$folder/wheels" antlr4-python3-runtime==4.9.3 # has no wheel
find "$data" -maxdepth 3 -name 'images_*.zip' -exec cp -- {} "$folder/data/omniglot/" \;
size=$(du -sm -- "$folder" | cut -f1)
echo "written $folder, $size MB"
((size < 40)) || { echo "gpu_bundle.sh: more than 40 MB" >&2 && exit 1; }
