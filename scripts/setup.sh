#!/usr/bin/env bash
# Makes .venv with everything in settings.ini, at the versions in constraints.txt. Run by make.
set -euo pipefail
cd "$(dirname "$0")/.."

python=
for o in python3.11 python3 python; do
  if "$o" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$o; break; fi
done
[ -n "$python" ] || { echo "mvrep needs Python 3.11 or newer: found none as python3.11, python3 or python on the PATH." >&2; exit 1; }

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  rm -rf .venv
  "$python" -m venv .venv || { echo "No virtual environment could be made. On Debian: apt-get install python3-venv" >&2; exit 1; }
fi

# uv does in seconds what takes pip minutes, but does not read pip's PIP_FIND_LINKS
if [ -n "${PIP_FIND_LINKS:-}" ]; then export UV_FIND_LINKS="$PIP_FIND_LINKS"; fi
echo "Installing mvrep and its tools into .venv ($("$python" --version), a few minutes the first time)"
.venv/bin/python -m pip install -q --disable-pip-version-check uv || true
# editable_mode: a script beside a folder that is called mvrep finds the package, not the folder
.venv/bin/python -m uv pip install -q -p .venv -C editable_mode=compat -c constraints.txt -e '.[dev,train,explore,app]' ||
  { echo "uv could not; trying pip"; .venv/bin/python -m pip install -q --disable-pip-version-check --config-settings editable_mode=compat -c constraints.txt -e '.[dev,train,explore,app]'; }
# compiled once, here: where Python is told to write no bytecode, every process would compile all that it imports again
.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true # some files in there are for other Pythons
touch .venv/.stamp
