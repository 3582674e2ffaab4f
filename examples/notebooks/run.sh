#!/usr/bin/env bash
# Runs the notebooks for real: the packed package and tslab in an empty folder, every cell through Jupyter.
#   examples/notebooks/run.sh [--write] [folder]    --write: keep the outputs in the repository
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
write=; if [ "${1:-}" = --write ]; then write=1; shift; fi
python=${JUPYTER_PYTHON:-/usr/bin/python3}
if ! "$python" -c 'import nbconvert, nbclient' 2>/dev/null; then
  echo 'notebooks: skipped, no Jupyter here (Debian: apt-get install python3-notebook jupyter-nbconvert python3-nbclient)'
  exit 0
fi
if [ -n "${1:-}" ]; then work=$1; mkdir -p "$work"; else work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; fi

(cd "$here/../.." && npm pack --silent --pack-destination "$work" >/dev/null)
cp "$here"/*.ipynb "$work"
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ./weightzoo-*.tgz tslab@1.0.22
export PATH="$work/node_modules/.bin:$PATH" JUPYTER_PATH="$work/jupyter/share/jupyter"
tslab install --python="$python" --prefix="$work/jupyter" >/dev/null
for notebook in *.ipynb; do
  echo "notebooks: $notebook"
  "$python" -m nbconvert --to notebook --execute --inplace --log-level=WARN \
    --ExecutePreprocessor.timeout=600 "$notebook"
done
if [ -n "$write" ]; then cp ./*.ipynb "$here"; fi
echo "notebooks: all $(ls ./*.ipynb | wc -l) ran"
