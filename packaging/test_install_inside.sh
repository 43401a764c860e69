#!/usr/bin/env bash
# What test_install.sh does inside of the root: a user's way from a clean system to an upgrade and back to a clean system.
set -euo pipefail
release=$1
install=/piaccel/packaging/install.sh
wheel=$(echo /piaccel/dist/piaccel-*.whl)
export PIP_CERT=/piaccel/certificates.crt

step() { echo "== $release: $*"; }
wrong() { echo "WRONG: $*" && exit 1; }
as_user() { setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/home/pi PATH="/home/pi/.local/bin:$PATH" "$@"; }
refused() { # WORDS COMMAND...: it fails and says so
    local words=$1 said
    shift
    if said=$("$@" 2>&1); then wrong "not refused: $*"; fi
    grep -qF "$words" <<<"$said" || wrong "it should say '$words': $said"
    echo "refused as it should be: $words"
}

step "$(uname -m), Debian $(cat /etc/debian_version), Python $(python3 -c 'import platform; print(platform.python_version())')"
[ "$(uname -m)" = aarch64 ] || wrong "not arm64"
id pi >/dev/null 2>&1 || useradd --create-home --uid 1000 pi

step "refusals"
refused "as root" bash $install --yes --wheel "$wheel"
refused "apt-get install python3-venv" as_user bash $install --yes --wheel "$wheel"
[ ! -e /home/pi/.local ] || wrong "a refusal left something behind"

step "packages of the system: python3-venv through --apt, then a pip that finds no wheel"
apt-get -qq update
mkdir -p /nothing
refused "nothing was installed" bash $install --system --apt --yes --offline /nothing
[ ! -e /opt/piaccel ] || wrong "a failure left something behind"
dpkg-query -W python3-venv
# Stands in for the camera's packages, which Debian does not have: compiled for the numpy of the system.
apt-get -qq install -y --no-install-recommends python3-bottleneck >/dev/null
python3 -c 'import numpy; print("numpy of the system:", numpy.__version__)'

step "install for a user"
as_user bash $install --dry-run --wheel "$wheel" >/tmp/dry-run
[ ! -e /home/pi/.local ] || wrong "the dry run made something"
as_user bash $install --yes --wheel "$wheel"
as_user piaccel --version
echo "MB: $(du -sm /home/pi/.local/share/piaccel | cut -f1)"
python=/home/pi/.local/share/piaccel/venv/bin/python
as_user $python -c '
import sys, numpy, bottleneck
print("numpy", numpy.__version__, "bottleneck", bottleneck.__version__, "of", bottleneck.__file__)
assert bottleneck.__file__.startswith("/usr/lib/python3/dist-packages/"), "not the package of the system"
assert bottleneck.nanmean(numpy.array([1.0, float("nan"), 3.0])) == 2.0
assert (int(numpy.__version__.split(".")[0]) < 2) == (sys.argv[1] == "bookworm"), "numpy of the other release"
' "$release"
as_user piaccel predict /piaccel/demo/bundle /piaccel/demo/images/gear_chipped.jpg --backend litert --top 1
as_user piaccel backends
refused "already" as_user bash $install --yes --wheel "$wheel"

step "an upgrade that fails leaves the old one"
before=$(readlink /home/pi/.local/share/piaccel/venv)
refused "the old one is as it was" as_user bash $install --upgrade --yes --offline /nothing
[ "$(readlink /home/pi/.local/share/piaccel/venv)" = "$before" ] || wrong "another environment"
[ "$(find /home/pi/.local/share/piaccel -maxdepth 1 -name 'venv.*' | wc -l)" = 1 ] || wrong "a failure left something behind"
as_user piaccel --version

step "an upgrade"
as_user bash $install --upgrade --yes --wheel "$wheel" --extras run
as_user piaccel --version
[ "$(readlink /home/pi/.local/share/piaccel/venv)" != "$before" ] || wrong "the same environment"
[ ! -e "/home/pi/.local/share/piaccel/$before" ] || wrong "the old one is still there"
echo "MB: $(du -sm /home/pi/.local/share/piaccel | cut -f1)"

step "uninstall"
as_user touch /home/pi/.local/share/piaccel/mine /home/pi/.local/bin/other
as_user bash $install --uninstall --yes
[ "$(cd /home/pi && find .local -type f -o -type l | sort | tr '\n' ' ')" = ".local/bin/other .local/share/piaccel/mine " ] ||
    wrong "left: $(find /home/pi/.local)"
