#!/usr/bin/env bash
# Makes .venv with everything in settings.ini, as requirements.lock pins it. Run by make.
set -euo pipefail
cd "$(dirname "$0")/.."

python=
for name in python3.11 python3 python; do
  if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$name; break; fi
done
if [ -z "$python" ]; then
  echo "mvrep needs Python 3.11 or later: python3.11, python3 and python on the PATH are not, or are missing." >&2
  exit 1
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  rm -rf .venv
  if ! "$python" -m venv .venv; then
    echo "The virtual environment .venv could not be made. On Debian: apt-get install python3-venv" >&2
    exit 1
  fi
fi

# uv installs in seconds what takes pip minutes, but does not read pip's PIP_FIND_LINKS
if [ -n "${PIP_FIND_LINKS:-}" ]; then export UV_FIND_LINKS="$PIP_FIND_LINKS"; fi
echo "Installing mvrep and its tools into .venv ($("$python" --version), a few minutes the first time)"
.venv/bin/python -m pip install -q --disable-pip-version-check uv || true

install() {
  .venv/bin/python -m uv pip install -q -p .venv "$@" && return
  echo "uv failed; trying pip" >&2
  .venv/bin/python -m pip install -q --disable-pip-version-check "$@"
}

# The lock holds the files of every package for one version of Python. It lacks torch and torchvision, whose builds for
# CPU come from other indexes: a folder that PIP_FIND_LINKS names, or PyTorch's index with UV_TORCH_BACKEND=cpu.
if [ "$(uname)" = Linux ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  (unset UV_TORCH_BACKEND; install --require-hashes --no-deps -r requirements.lock)
  install -c constraints.txt torch torchvision
  # editable_mode: a script beside a folder that is called mvrep finds the package, not the folder
  install --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
else
  echo "requirements.lock is for Linux with Python 3.11: installing the versions in constraints.txt without hashes"
  install -c constraints.txt --config-settings editable_mode=compat \
    -e '.[dev,train,pretrain,onnx,shots,download,text,ray,explore,app]'
fi

# Compiled once: where Python is told to write no bytecode, every process would compile all that it imports again
.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true # some files are for other versions of Python
touch .venv/.stamp
