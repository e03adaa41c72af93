#!/busybox sh
# First process of an emulated guest, in the kernel's initial file system. Mounts the host's / read-only, lays a
# file system in memory over it, and goes on there.
. /settings

fail() {
    echo "guest: $*"
    /busybox poweroff -f
}

while read -r module; do
    /busybox insmod "/modules/$module" || fail "cannot load $module"
done < /order
/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /lower || fail "no root"
/busybox mount -t tmpfs -o size=80% memory /memory || fail "no file system in memory"
/busybox mkdir /memory/upper /memory/work
/busybox mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work root /root ||
    fail "no overlay"
exec /busybox switch_root /root "$busybox" sh "$run/init.sh"
