#!/usr/bin/env bash
# Try install.sh in a clean arm64 Debian, made by debootstrap and run under qemu-user:
#
#   sudo packaging/test_install.sh bookworm        or trixie; what `make test-install` calls
#
# MIRROR  Debian's archive; without it, the one this machine's apt uses
# PYTHON  has pip and hatchling, for the wheel of this tree; python3 when not given
# WORK    where the root is made; build/install. KEEP=1 leaves it there
#
# It needs root, debootstrap, qemu-user-static and about 3 GB. The emulator is registered in a user namespace of its own
# (Linux 6.7): nothing changes for this machine. What is emulated has the processor of a Pi 4, seen in /proc/cpuinfo too.
set -euo pipefail
release=${1:?bookworm or trixie}
here=$(realpath -- "$(dirname -- "${BASH_SOURCE[0]}")/..")
qemu=/usr/bin/qemu-aarch64-static

if [ "${2:-}" = inside ]; then # the namespace
    root=$3
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    echo ":qemu-aarch64:M::$magic:$mask:$qemu:F" >/proc/sys/fs/binfmt_misc/register
    if [ -d "$root/debootstrap" ]; then
        echo "== unpack and configure $release"
        # "lxc": the devices are there already, and here none can be made
        container=lxc chroot "$root" /debootstrap/debootstrap --second-stage >"$root/second-stage.log" ||
            { tail "$root/second-stage.log"; exit 1; }
    fi
    mount -t proc proc "$root/proc"
    mount --bind "$root/cpuinfo" "$root/proc/cpuinfo"
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 QEMU_CPU=cortex-a72 DEBIAN_FRONTEND=noninteractive \
        ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} chroot "$root" /bin/bash /try.sh "$release"
fi

[ "$(id -u)" = 0 ] || { echo "run it as root: it makes a root"; exit 1; }
for tool in debootstrap "$qemu" unshare; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install debootstrap qemu-user-static util-linux"; exit 1; }
done
# shellcheck disable=SC2016 # apt expands it
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)}
: "${MIRROR:?names no archive, and apt has no source of Debian}"
python=${PYTHON:-python3}
work=$(realpath -m -- "${WORK:-$here/build/install}")
root=$work/$release
mkdir -p "$work"
scratch=$(mktemp -d)
clean_up() {
    rm -rf -- "$scratch"
    [ -n "${KEEP:-}" ] || rm -rf -- "$root"
}
trap clean_up EXIT

if ! [ -f "$root/downloaded" ]; then
    echo "== download $release from Debian's archive"
    rm -rf -- "$root"
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3,ca-certificates "$release" "$root" "$MIRROR" >"$scratch/log" ||
        { tail "$scratch/log"; exit 1; }
    touch "$root/downloaded"
fi
node() { [ -e "$root/dev/$1" ] || mknod -m 666 "$root/dev/$1" c "$2" "$3"; }
mkdir -p "$root/dev"
node null 1 3 && node zero 1 5 && node full 1 7 && node random 1 8 && node urandom 1 9 && node tty 5 0 && node console 5 1 && node ptmx 5 2

echo "== put this tree in"
rm -rf -- "$root/piaccel"
mkdir -p "$root/piaccel/dist"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$root/piaccel/dist" "$here"
cp -r "$here/packaging" "$here/requirements" "$here/demo" "$root/piaccel/"
mkdir -p "$root/etc/ssl/certs"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/piaccel/certificates.crt"
for core in 0 1 2 3; do # without an ARM one onnxruntime dies on import
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n' "$core"
    printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n'
done >"$root/cpuinfo"
cp "$here/packaging/test_install_inside.sh" "$root/try.sh"
PIP_INDEX_URL=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || true)}
export PIP_INDEX_URL

# The namespace waits until its users are mapped, which only its parent may do.
mkfifo "$scratch/ready" "$scratch/go"
began=$SECONDS
# shellcheck disable=SC2016 # bash -c expands it
unshare --user --mount --pid --fork --kill-child bash -c 'echo >"$1/ready"; read -r <"$1/go"; shift; exec "$@"' _ \
    "$scratch" bash "$here/packaging/test_install.sh" "$release" inside "$root" &
child=$!
read -r <"$scratch/ready"
echo '0 0 65536' >"/proc/$child/uid_map"
echo '0 0 65536' >"/proc/$child/gid_map"
echo >"$scratch/go"
wait "$child"
echo "== $release: all of it passed, in $((SECONDS - began)) s"
