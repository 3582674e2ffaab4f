#!/usr/bin/env bash
# Makes the benchmark's virtual environment, bench/peers/.venv; does nothing when it is up to date.
# PyTorch's package brings its GPU libraries along: about 7 GB in all, of which the benchmark uses the CPU part only.
set -euo pipefail
cd "$(dirname "$0")"

stamp=.venv/requirements.installed
if cmp -s requirements.txt "$stamp"; then
  exit 0
fi
"${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
cp requirements.txt "$stamp"
.venv/bin/python -c 'import jax, keras, sklearn, torch; print("peers are ready in bench/peers/.venv")' 2>/dev/null
