#!/bin/sh
# Installs, on Debian and its relatives, the real programs that the suite runs against.
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || ls $3 >/dev/null 2>&1 || missing="$missing $2"; }
need redis-server redis-server /usr/bin/redis-server
need initdb postgresql "/usr/lib/postgresql/*/bin/initdb"
need nginx nginx /usr/sbin/nginx
need faketime faketime /usr/bin/faketime
need chromium chromium /usr/bin/chromium
need curl curl /usr/bin/curl
need node nodejs /usr/bin/node
need npm npm /usr/bin/npm
need cc "gcc libc6-dev" /usr/bin/gcc
[ -z "$missing" ] && exit 0
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
export DEBIAN_FRONTEND=noninteractive
# Debian starts the services it installs; the suite starts its own.
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
