# shellcheck shell=bash
# Sourced by the commands beside it. `ensure_venv run` or `ensure_venv dev` leaves a complete .venv in the checkout: the
# package, editable, with what it needs; `dev` adds the tools of development. It returns at once where that is done already.
#
#   .venv/ready-run, ready-dev   what .venv was made from (checkout's place, pyproject.toml); written last
#   .venv/unfinished             there while .venv is being changed: found later, an earlier set-up was cut short

root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
PYTHON_RANGE='(3, 10) <= sys.version_info[:2] < (3, 14)' # requires-python of pyproject.toml

ensure_venv() { # run | dev
    ! _ready "$1" || return 0
    local python
    python=$(_find_python)
    exec 9<>"${BASH_SOURCE[0]}" # the lock is on this file, and is kept by a pip that outlives us
    _lock "$python"
    if ! _ready "$1"; then
        _set_up "$1" "$python" >&2
        _ready "$1" || _die ".venv was set up and still cannot import metacl_run. Remove $venv and try again."
    fi
    exec 9>&-
}

_ready() { # run | dev
    [[ ! -e $venv/unfinished && -r $venv/ready-$1 && $(<"$venv/ready-$1") == "$(_source)" ]] &&
        "$venv/bin/python" -I -c 'import metacl_run' 2>/dev/null
}

_source() {
    printf '%s\n' "$root" "$(<"$root/pyproject.toml")"
}

_find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10 python; do
        if "$candidate" -c "import sys, venv, ensurepip; sys.exit(not $PYTHON_RANGE)" >/dev/null 2>&1; then
            command -v -- "$candidate"
            return
        fi
        [[ $candidate != "${PYTHON:-}" ]] || _die "PYTHON=$PYTHON is not a Python 3.10 to 3.13 with venv and pip"
    done
    _die "needs Python 3.10 to 3.13 with venv and pip (on Debian and Ubuntu: apt-get install python3-venv)." \
        "PYTHON=/path/to/python says where it is."
}

_lock() { # python
    "$1" -c '
import fcntl, sys
try:
    try:
        fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("metacl-run: waiting for another process that sets up .venv", file=sys.stderr, flush=True)
        fcntl.flock(9, fcntl.LOCK_EX)
except OSError as error:
    print(f"metacl-run: no file locks here ({error}); do not start two set-ups at once", file=sys.stderr)
' || exit
}

_set_up() { # run | dev, python
    trap 'exit 130' INT TERM # leaving `unfinished`, whatever pip makes of the signal
    printf "metacl-run: setting up %s (a few minutes, once)\n" "$venv" >&2
    if [[ -e $venv/unfinished ]] || ! _usable; then
        rm -rf -- "${venv:?}/bin" # first, so that nothing works in a .venv that is removed by half
        rm -rf -- "$venv"
        mkdir -- "$venv"
        : >"$venv/unfinished"
        "$2" -m venv -- "$venv"
    fi
    : >"$venv/unfinished"
    rm -f -- "$venv/ready-run" "$venv/ready-dev"

    echo "metacl-run: installing torch" >&2
    # torch first and alone: whichever build pip is offered for this machine stays, and the rest has to fit to it.
    _pip install "$(_requirement torch)"
    "$venv/bin/python" -I -c 'from importlib.metadata import version; print("torch==" + version("torch"))' \
        >"$venv/constraints.txt"
    local with=()
    if [[ $1 == dev ]]; then
        _pip install --upgrade 'pip>=25.1' # knows dependency groups
        with=(--group "$root/pyproject.toml:dev")
    fi
    echo "metacl-run: installing what else it needs" >&2
    _pip install --constraint "$venv/constraints.txt" --editable "$root" "${with[@]+"${with[@]}"}"

    _source >"$venv/ready-run"
    [[ $1 != dev ]] || _source >"$venv/ready-dev"
    rm -- "$venv/unfinished"
    trap - INT TERM
}

_pip() { # arguments
    local status=0
    "$venv/bin/python" -m pip --quiet --no-input --disable-pip-version-check "$@" || status=$?
    ((status != 0)) || return 0
    # Without a network, say: pip has changed nothing, and the next attempt goes on from here. Only a killed pip leaves pieces.
    ((status >= 128)) || rm -f -- "$venv/unfinished"
    _die "setting up $venv failed, see above"
}

_usable() {
    "$venv/bin/python" -I -c "import sys, pip; sys.exit(not $PYTHON_RANGE)" 2>/dev/null
}

_requirement() { # name: its line in pyproject.toml, without quotes
    sed -n "s/^ *\"\($1[<>=][^\"]*\)\",.*/\1/p" "$root/pyproject.toml"
}

_die() {
    printf 'metacl-run: %s\n' "$*" >&2
    exit 1
}
