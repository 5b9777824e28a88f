#!/bin/sh
# Make the virtual environment with a Python, or say what is wrong with that Python.
# Usage: make_venv.sh PYTHON FOLDER
set -eu
python=$1 venv=$2

fail() {
    echo "$1" >&2
    exit 1
}

[ -n "$python" ] || fail "Satchel needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python"
command -v "$python" >/dev/null || fail "PYTHON=$python: there is no such program"
version=$("$python" -c 'import sys; print("Python %d.%d" % sys.version_info[:2])' 2>/dev/null) || version=
case $version in
"Python "*) ;;
*) fail "PYTHON=$python does not run as a Python" ;;
esac
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "PYTHON=$python is $version: Satchel needs Python 3.11 or newer"

if [ -e "$venv/made" ]; then
    build='import sys; print(sys.base_prefix, sys.version)'
    [ "$("$python" -c "$build")" = "$("$venv/bin/python" -c "$build")" ] ||
        fail "$venv was made with another Python than $python: run make clean first"
    exit
fi
"$python" -c 'import ensurepip, venv' ||
    fail "This Python cannot make virtual environments (on Debian: apt-get install python3-venv)"
echo "Making $venv with $version ..."
"$python" -m venv --clear "$venv" # what an earlier try left there goes
touch "$venv/made"
