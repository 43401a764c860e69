#!/usr/bin/env bash
# Install piaccel on Raspberry Pi OS, Debian or Ubuntu; upgrade it; take it away again. --help says how, docs/install.md why.
#
# What it makes, and all it ever removes:
#   PREFIX/venv.DATE          a virtual environment on the system's Python, with a note of how it was made
#   PREFIX/venv               a link to the one in use: an upgrade replaces it in one step
#   ~/.local/bin/piaccel      a link to the command; /usr/local/bin/piaccel with --system
# A new environment is filled and checked beside the old one. Whatever fails before the step, the old one stays as it was.
set -euo pipefail
umask 022
unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV # they would lead elsewhere

usage() {
    cat <<'END'
Usage: install.sh [OPTION]...

  --dry-run         print every command in order, run none
  --prefix DIR      where to; ~/.local/share/piaccel, with --system /opt/piaccel
  --system          for all users and for a service: run as root, the command goes to /usr/local/bin
  --extras LIST     what to add: runtimes (default), or of onnx,openvino,ncnn,run,serve,grpc,trace,...; "" for LiteRT alone
  --wheel FILE      install this file instead of the tree that the script lies in; alone, it takes the newest release
  --version X       install this release
  --offline DIR     take everything from the wheels in DIR; the network is not used
  --profile NAME    versions for "bookworm" (numpy<2, as its camera packages need) or "default"; found out when not given
  --python FILE     the system's Python; /usr/bin/python3
  --apt             install missing Debian packages with apt-get (through sudo)
  --upgrade         replace what is installed, with the same extras unless --extras is given
  --uninstall       remove what this script made; models and state stay
  --purge           with --uninstall: models, caches and state too
  --yes             do not ask
END
}

EXTRAS_KNOWN="onnx openvino ncnn runtimes mqtt gpio modbus opcua metrics track webhook serve grpc trace run"
NOTE=.made-by-piaccel-install

# --- how it speaks, and runs commands ---

fail() { # MESSAGE [WHAT TO DO]
    echo "install.sh: $1" >&2
    [ -z "${2:-}" ] || echo "  $2" >&2
    exit 1
}

show() {
    local word line="+"
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word=${word@Q}
        line+=" $word"
    done
    echo "$line"
}

run() {
    show "$@"
    $dry_run || "$@"
}

run_into() { # FILE COMMAND...: its output becomes the file
    local file=$1
    shift
    echo "$(show "$@") > $file"
    $dry_run || "$@" >"$file"
}

agree() { # QUESTION
    if $yes || $dry_run; then return; fi
    [ -t 0 ] || fail "nobody is there to answer: $1" "add --yes, or --dry-run to see what would be done"
    local answer
    read -r -p "$1 [y/N] " answer
    [[ $answer == [yY]* ]] || fail "nothing was changed"
}

# --- what is asked for ---

dry_run=false yes=false apt=false system=false upgrade=false uninstall=false purge=false
prefix="" extras="" extras_given=false wheel="" version="" offline="" profile="" python=/usr/bin/python3

while [ $# -gt 0 ]; do
    case $1 in
        --prefix | --extras | --wheel | --version | --offline | --profile | --python)
            [ $# -ge 2 ] || fail "$1 needs a value"
            case $1 in
                --prefix) prefix=$2 ;;
                --extras) extras=$2 extras_given=true ;;
                --wheel) wheel=$2 ;;
                --version) version=$2 ;;
                --offline) offline=$2 ;;
                --profile) profile=$2 ;;
                --python) python=$2 ;;
            esac
            shift
            ;;
        --dry-run) dry_run=true ;;
        --yes) yes=true ;;
        --apt) apt=true ;;
        --system) system=true ;;
        --upgrade) upgrade=true ;;
        --uninstall) uninstall=true ;;
        --purge) purge=true ;;
        -h | --help) usage && exit ;;
        *) fail "$1 is no option" "install.sh --help lists them" ;;
    esac
    shift
done
$upgrade && $uninstall && fail "--upgrade and --uninstall exclude each other"
$purge && ! $uninstall && fail "--purge goes with --uninstall"
[ -z "$wheel" ] || [ -z "$version" ] || fail "--wheel and --version exclude each other"
[ -z "$wheel" ] || [[ -f $wheel && $wheel == *.whl ]] || fail "$wheel is not a wheel" "give the path of a piaccel-*.whl"
[ -z "$offline" ] || [ -d "$offline" ] || fail "$offline is not a folder of wheels"
[[ $version =~ ^[0-9A-Za-z.+!]*$ ]] || fail "$version is not a version"

if [ "$(id -u)" = 0 ] && ! $system; then
    fail "running as root would install for root alone" "run it as yourself, or with --system for all users"
fi
if [ "$(id -u)" != 0 ] && $system && ! $dry_run; then
    fail "--system writes to folders of root" "put sudo in front"
fi
if $system; then
    prefix=${prefix:-/opt/piaccel} link=/usr/local/bin/piaccel
else
    prefix=${prefix:-$HOME/.local/share/piaccel} link=$HOME/.local/bin/piaccel
fi
prefix=$(realpath -m -- "$prefix")
[[ $prefix =~ ^[A-Za-z0-9_./@+-]+$ ]] || fail "$prefix: scripts and services cannot start from a path with such characters"

# --- what is there ---

current="" # the environment in use
if [ -e "$prefix/venv" ] || [ -L "$prefix/venv" ]; then
    current=$(readlink -f "$prefix/venv" || true)
    if ! [ -L "$prefix/venv" ] || ! [ -f "$current/$NOTE" ]; then
        fail "$prefix/venv was not made by this script" "choose another --prefix, or move it away"
    fi
fi
if [ -e "$link" ] || [ -L "$link" ]; then
    if [ "$(readlink "$link" || true)" != "$prefix/venv/bin/piaccel" ]; then
        if ! $uninstall; then
            fail "$link is there already, and not from $prefix" "remove or rename it first: ls -l $link"
        fi
        link=""
    fi
fi

noted() { sed -n "s/^$1=//p" "$current/$NOTE"; }

others() { # environments of this script that are not in use: of an upgrade, or of a power cut in one
    local folder
    for folder in "$prefix"/venv.*/; do
        folder=${folder%/}
        if [ -f "$folder/$NOTE" ] && [ "$folder" != "${1:-}" ]; then echo "$folder"; fi
    done
}

alone() { # two at a time would be in each other's way
    $dry_run && return
    exec 9<"$prefix"
    flock -n 9 || fail "another install.sh is at work in $prefix" "wait for it"
}

# --- take it away ---

if $uninstall; then
    if [ -z "$current" ] && [ -z "$(others)" ]; then
        fail "there is no piaccel in $prefix" "name the folder with --prefix; --system for /opt/piaccel"
    fi
    if grep -qsF "$prefix/venv" /etc/systemd/system/piaccel.service; then
        fail "the service runs from $prefix" "first: sudo $prefix/venv/bin/piaccel service remove --now"
    fi
    kept=("${XDG_CACHE_HOME:-$HOME/.cache}/piaccel" "${XDG_DATA_HOME:-$HOME/.local/share}/piaccel")
    if $system; then
        kept=(/var/cache/piaccel /var/lib/piaccel)
        if $purge && [ -e /var/lib/piaccel/tuning ]; then
            fail "/var/lib/piaccel/tuning knows what settings this board had before" \
                "first take them back: sudo $prefix/venv/bin/piaccel tune revert"
        fi
    fi
    alone
    question="Remove piaccel from $prefix?"
    if $purge; then question="Remove piaccel from $prefix, and all of ${kept[*]}?"; fi
    agree "$question"
    if [ -L "$link" ]; then run rm -- "$link"; fi
    if [ -n "$current" ]; then run rm -- "$prefix/venv"; fi
    others | while read -r folder; do run rm -rf -- "$folder"; done
    for folder in "${kept[@]}"; do
        [ -e "$folder" ] || continue
        if $purge; then
            run rm -rf -- "$folder"
        elif [ "$folder" != "$prefix" ]; then
            echo "kept: $folder"
        fi
    done
    if $dry_run || [ -d "$prefix" ]; then run rmdir --ignore-fail-on-non-empty -- "$prefix"; fi
    if ! $dry_run; then
        if [ -d "$prefix" ]; then echo "kept: $prefix has other files"; fi
        echo "piaccel is removed"
    fi
    exit
fi

if [ -n "$current" ] && ! $upgrade; then
    fail "piaccel is in $prefix already" "replace it with --upgrade, or remove it with --uninstall"
fi
if $upgrade; then
    [ -n "$current" ] || fail "there is no piaccel in $prefix to upgrade" "leave --upgrade out, or name it with --prefix"
    $extras_given || extras=$(noted extras)
    profile=${profile:-$(noted profile)}
elif ! $extras_given; then
    extras=runtimes
fi

# --- is this a machine for it? ---

bits=$(getconf LONG_BIT)
machine=$(uname -m)
[ "$bits" = 64 ] || fail "this system has $bits bits: the runtimes have wheels for 64 only (kernel: $machine)" \
    "write the 64-bit Raspberry Pi OS to the card; a 64-bit kernel below 32-bit programs is not enough"
case $machine in
    aarch64 | x86_64) ;;
    *) fail "there are no wheels of the runtimes for $machine" "piaccel needs aarch64 or x86_64" ;;
esac

asked='import os, sys
conda = os.path.isdir(os.path.join(sys.base_prefix, "conda-meta"))
print(*sys.version_info[:2], sys.base_prefix, "conda" if conda else "venv" if sys.prefix != sys.base_prefix else "plain")'
answered=$("$python" -I -c "$asked" 2>/dev/null) || fail "$python does not run" "sudo apt-get install python3"
read -r major minor home kind <<<"$answered"
if [ "$kind" != plain ] || [ "$home" != /usr ]; then
    case $home/$kind in
        */.pyenv/*) kind="pyenv's" ;;
        */conda) kind="conda's" ;;
        */venv) kind="a virtual environment's" ;;
        *) kind="built apart, in $home" ;;
    esac
    fail "$python is not the system's Python but $kind: it cannot see apt's camera packages (python3-picamera2, libcamera)" \
        "leave --python out: /usr/bin/python3 is taken"
fi
if [ "$major" -lt 3 ] || { [ "$major" = 3 ] && [ "$minor" -lt 11 ]; }; then
    fail "Python $major.$minor is too old: piaccel needs 3.11 or newer" "Raspberry Pi OS Bookworm has 3.11, Trixie 3.13"
fi

if [ -z "$profile" ]; then
    profile=default
    if grep -qs '^VERSION_CODENAME=bookworm$' /etc/os-release; then profile=bookworm; fi
fi
[[ $profile =~ ^(default|bookworm)$ ]] || fail "there is no profile $profile" "choose default or bookworm"

for extra in ${extras//,/ }; do
    [[ " $EXTRAS_KNOWN " == *" $extra "* ]] || fail "$extra is no extra of piaccel" "choose from: $EXTRAS_KNOWN"
done

# MB on the disk while it installs: the aarch64 wheels and what they unpack to, by du, rounded up (docs/install.md).
declare -A size=([onnx]=140 [openvino]=140 [ncnn]=40 [runtimes]=300 [opcua]=50 [serve]=60 [grpc]=40 [trace]=20 [run]=140)
need=340
for extra in ${extras//,/ }; do need=$((need + ${size[$extra]:-20})); done
there=$prefix
while ! [ -d "$there" ]; do there=$(dirname "$there"); done
free=$(df --output=avail -BM "$there" | tail -n 1 | tr -dc 0-9)
if [ "$free" -lt "$need" ]; then
    fail "$free MB are free in $there, $need MB are needed" "make room, choose fewer --extras, or another --prefix"
fi
if ! $dry_run && ! [ -w "$there" ]; then fail "$there cannot be written" "choose another --prefix"; fi

# --- make the new environment beside the old one ---

new=$prefix/venv.$(date +%Y%m%d-%H%M%S)
what=piaccel${extras:+[$extras]}
tree=$(dirname -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")")
if [ -n "$wheel" ]; then
    what=$(realpath -- "$wheel")${extras:+[$extras]}
elif [ -n "$version" ]; then
    what+="==$version"
elif [ -z "$offline" ] && grep -qs '^name = "piaccel"' "$tree/pyproject.toml"; then
    what=$tree${extras:+[$extras]}
fi
echo "$what goes to $prefix: Python $major.$minor of the system, profile $profile, $need MB needed, $free MB free"
if [ -n "$current" ]; then echo "it replaces $current as soon as it answers"; fi

if ! "$python" -I -c 'import ensurepip, venv' 2>/dev/null; then
    $apt || fail "python3-venv is not installed" "sudo apt-get install python3-venv, or add --apt"
    sudo=(sudo)
    if $system; then sudo=(); fi
    agree "Install python3-venv with apt-get?"
    run "${sudo[@]}" apt-get install -y --no-install-recommends python3-venv
fi
agree "Go on?"

point() { # FOLDER: the link is replaced by a rename, so that there is always one
    run ln -sfn -- "$(basename "$1")" "$prefix/venv.new"
    run mv -T -- "$prefix/venv.new" "$prefix/venv"
}

finished=false began=false
made_prefix=false
clean_up() {
    local status=$?
    if $finished || ! $began; then return; fi
    if [ "$(readlink "$prefix/venv" || true)" = "$(basename "$new")" ]; then
        if [ -n "$current" ]; then point "$current"; else rm -- "$prefix/venv"; fi
    fi
    rm -rf -- "$new" "$prefix/venv.new"
    if $made_prefix; then rmdir --ignore-fail-on-non-empty -- "$prefix"; fi
    echo "install.sh: it failed; $([ -z "$current" ] && echo "nothing was installed" || echo "the old one is as it was")" >&2
    exit "$((status ? status : 1))"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if ! [ -d "$prefix" ]; then
    run mkdir -p -- "$prefix"
    made_prefix=true
fi
alone
others "$current" | while read -r folder; do run rm -rf -- "$folder"; done
$dry_run || began=true
run mkdir -- "$new"
run_into "$new/$NOTE" printf '%s\n' "extras=$extras" "profile=$profile"
run "$python" -m venv --system-site-packages "$new"
run mkdir -- "$new/tmp" # /tmp may lie in memory, and the wheels are large

pip=("$new/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --no-input --only-binary :all:)
pip+=(--ignore-installed) # what apt installs or removes later must not matter
lock=$tree/requirements/$profile.txt
if [ -n "$offline" ]; then
    pip+=(--no-index --find-links "$(realpath -- "$offline")")
elif [ -f "$lock" ]; then # the versions that piaccel was tested with, where its repository lies around this script
    run_into "$new/constraints.txt" sed -n 's/^\([a-z0-9].*==.*[^ ]\) *\\$/\1/p' "$(realpath -- "$lock")"
    pip+=(--constraint "$new/constraints.txt")
fi
pip+=("$what")
if [ "$profile" = bookworm ]; then pip+=('numpy<2'); fi
run env "TMPDIR=$new/tmp" "${pip[@]}" || fail "pip could not install it: see above" "is the network there? --offline DIR needs none"
run rm -rf -- "$new/tmp"
# Started through the link, so that a service finds it after the next upgrade too.
run find "$new/bin" -type f -exec sed -i "s|$new|$prefix/venv|g" '{}' +

# --- does it answer? ---

run "$new/bin/python" -m piaccel backends || fail "the new one does not run: piaccel backends failed"
if dpkg-query -W -f '${Status}' python3-picamera2 2>/dev/null | grep -q ' installed$'; then
    run "$new/bin/python" -c 'import picamera2' || fail "with it the system's camera package cannot be imported" "run again with --profile bookworm"
fi
run_into "$new/doctor.json" "$new/bin/python" -m piaccel doctor --json || [ $? = 1 ] || fail "piaccel doctor failed" # 1: it found something
run "$new/bin/python" -m json.tool "$new/doctor.json" /dev/null || fail "piaccel doctor gave no report"

# --- the step ---

run sync -f "$new"
point "$new"
run "$prefix/venv/bin/piaccel" --version || fail "the new one does not start from its place"
finished=true
run mkdir -p -- "$(dirname "$link")"
run ln -sfn -- "$prefix/venv/bin/piaccel" "$link"
others "$new" | while read -r folder; do run rm -rf -- "$folder"; done
if $dry_run; then
    if [ -n "$current" ]; then run rm -rf -- "$current"; fi
    exit
fi

echo "piaccel is installed: $link"
case ":$PATH:" in
    *":$(dirname "$link"):"*) ;;
    *) echo "$(dirname "$link") is not in PATH yet: log in again, or call it by its path" ;;
esac
if grep -qsF "$prefix/venv" /etc/systemd/system/piaccel.service; then
    echo "the service still runs the old one: sudo systemctl restart piaccel"
fi
echo "next: piaccel doctor"
