# Sourced by the other scripts: finds a Python, and makes .venv ready. Bash 3.2 (macOS) is enough.
# Expects $root, the checkout. Everything that can go wrong is said in one line on stderr.

venv="$root/.venv"

# A virtual environment is complete in itself: what the caller's shell adds to Python would only disturb it.
unset PYTHONHOME PYTHONPATH __PYVENV_LAUNCHER__

fail() {
    printf 'budgetd: %s\n' "$1" >&2
    exit 1
}

# Sets $python to the first one that is new enough and can make a virtual environment. Each candidate is run,
# because a name on PATH proves nothing (version managers leave stand-ins there).
find_python() {
    local name path version too_old="" no_venv=""
    for name in python3.13 python3.12 python3.11 python3.14 python3; do
        path=$(command -v "$name") || continue
        version=$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if ! "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            too_old="$path is $version"
        elif ! "$path" -c 'import venv; from ensurepip import version' 2>/dev/null; then
            no_venv="${no_venv:-$path}"
        else
            python="$path"
            return
        fi
    done
    if [ -n "$no_venv" ]; then
        fail "$no_venv has no venv module; on Debian and Ubuntu: apt-get install python3-venv"
    fi
    fail "needs Python 3.11 or newer, found ${too_old:-none}; Debian: apt-get install python3 python3-venv, macOS: brew install python@3.13"
}

# venv_ready run|test: the environment holds this very lock, and its Python is still the one it was made with.
venv_ready() {
    local made_with
    cmp -s "$root/requirements/$1.txt" "$venv/.lock-$1" || return 1
    { read -r made_with <"$venv/.made-with"; } 2>/dev/null || return 1
    "$venv/bin/python" -ISc 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' \
        "$made_with" 2>/dev/null
}

# ensure_venv run|test: returns at once, without network, when there is nothing to do.
ensure_venv() {
    venv_ready "$1" && return
    find_python
    "$python" -I "$root/scripts/_venv.py" "$1" || exit $?
}
