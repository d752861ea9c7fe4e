#!/usr/bin/env bash
# Installs what the tests of this module use, where it is missing:
#
#	bash setup.sh           # for the faults
#	bash setup.sh kernels   # for the kernels as well
#
# It needs root and Debian; without, the tests skip what they can't have.
set -euo pipefail
export PATH=$PATH:/sbin:/usr/sbin

packages=()
want() { # want PROGRAM PACKAGE
	command -v "$1" >/dev/null || packages+=("$2")
}
want strace strace
want setpriv util-linux
want fsfreeze util-linux
want losetup mount
want xz xz-utils
want mkfs.ext4 e2fsprogs
want mkfs.btrfs btrfs-progs
want ip iproute2
want nft nftables
want fusermount3 fuse3
if [ "${1:-}" = kernels ]; then
	want qemu-system-x86_64 qemu-system-x86
	want qemu-system-aarch64 qemu-system-arm
fi
[ ${#packages[@]} -gt 0 ] || exit 0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
(apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}") >"$log" 2>&1 || {
	cat "$log"
	echo "can't install ${packages[*]}"
	exit 1
}
