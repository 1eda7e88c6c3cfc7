#!/bin/sh
# Installs what the gateway is measured beside, by the ordinary clients of its makers:
# nginx by apt where it is missing, LiteLLM in a venv of its own, Portkey by npm.
#   BENCH_PEERS   where to; ~/.cache/gateway-bench
#   PEERS_PYTHON  for LiteLLM, which the newest Python may be too new for; python3.12 or python3
set -eu

peers=${BENCH_PEERS:-$HOME/.cache/gateway-bench}
mkdir -p "$peers/portkey"

command -v nginx >/dev/null || apt-get install -y -qq nginx-light

# A version manager's stand-in for python3.12 may exist without a Python behind it: run it to see.
if python3.12 -c '' 2>/dev/null; then newest=python3.12; else newest=python3; fi
python=${PEERS_PYTHON:-$newest}
if [ ! -x "$peers/litellm/bin/litellm" ]; then
    "$python" -m venv "$peers/litellm"
    "$peers/litellm/bin/pip" install --quiet --disable-pip-version-check 'litellm[proxy]==1.106.2'
fi

# With a later @hono/node-server Portkey 1.15.2 answers every stream with 500 "TypeError: immutable".
cat >"$peers/portkey/package.json" <<'JSON'
{
  "private": true,
  "dependencies": { "@portkey-ai/gateway": "1.15.2" },
  "overrides": { "@hono/node-server": "1.14.1" }
}
JSON
[ -d "$peers/portkey/node_modules/@portkey-ai/gateway" ] ||
    (cd "$peers/portkey" && npm install --no-audit --no-fund --silent)

# The prototypes are one folder, prototypes/, put here by hand: app.py and fastworker.py.
if [ -f "$peers/prototypes/app.py" ] && [ ! -x "$peers/prototypes/venv/bin/gunicorn" ]; then
    "${PYTHON:-python3}" -m venv "$peers/prototypes/venv"
    "$peers/prototypes/venv/bin/pip" install --quiet --disable-pip-version-check \
        -r "$(dirname "$0")/../requirements.txt" gunicorn_h1c
fi

# What tells where a call's time goes.
if [ ! -x "$peers/py-spy/bin/py-spy" ]; then
    "${PYTHON:-python3}" -m venv "$peers/py-spy"
    "$peers/py-spy/bin/pip" install --quiet --disable-pip-version-check py-spy
fi
