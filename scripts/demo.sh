#!/usr/bin/env bash
# The tour, in a temporary folder, with every command shown before it runs. VBOX_RS_HOME is temporary too, unless set.
set -euo pipefail

cd "$(dirname "$0")/.."
scripts/setup.sh build run box
cargo build --release --locked
PATH=$PWD/target/release:$PATH
box=$(scripts/box.sh "$PWD/target/release/vbox-rs")

tour=$(mktemp -d)
export VBOX_RS_HOME=${VBOX_RS_HOME:-$tour/home}
mkdir "$tour/project"
cd "$tour/project"
clean_up() {
    local status=$?
    trap - EXIT INT TERM
    if [[ -e Vagrantfile ]]; then vbox-rs destroy -f >/dev/null 2>&1 || true; fi
    cd / && rm -rf "$tour"
    exit "$status"
}
trap clean_up EXIT INT TERM

run() {
    printf '\n$ %s\n' "${*@Q}" | tr -d "'"
    "$@" </dev/null
}

run vbox-rs box add --name debian/bookworm64 "$box"
run vbox-rs init debian/bookworm64
printf '\n(a small web server and a port to it are added to the Vagrantfile)\n'
cat >>Vagrantfile <<'TOML'

[[forwarded_port]]
guest = 80

[[provision]]
name = "web"
type = "shell"
run = "always"
inline = """
mkdir -p /srv/www
echo 'Hello from the guest' >/srv/www/index.html
systemd-run --quiet --unit=web busybox httpd -f -p 80 -h /srv/www
"""
TOML
run vbox-rs up
run vbox-rs ssh -c 'uname -sr; id -un'
port=$(vbox-rs port --guest 80)
run curl -fsS --retry 5 --retry-all-errors --retry-delay 1 "http://127.0.0.1:$port/"
run vbox-rs halt
run vbox-rs up
run curl -fsS --retry 5 --retry-all-errors --retry-delay 1 "http://127.0.0.1:$(vbox-rs port --guest 80)/"
run vbox-rs timings
run vbox-rs destroy -f
printf '\nThat was the tour.\n'
