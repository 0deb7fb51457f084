#!/usr/bin/env bash
# deb_test.sh BUILD SOURCE: makes the Debian package, looks at its metadata, installs it into a
# system of its own with dpkg, builds the consumer project against it there, and removes it again.
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "the package: $*" >&2; exit 1; }

export DEBFULLNAME="A. Packager" DEBEMAIL=packager@here.example
(cd "$build" && cpack -G DEB -B "$work/packages") >"$work/cpack.log" 2>&1 ||
  { cat "$work/cpack.log" >&2; exit 1; }
deb=$(find "$work/packages" -maxdepth 1 -name '*.deb')
version=$(sed -n 's/^project(Stillframe VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")
architecture=$(dpkg --print-architecture)
[ "$(basename "$deb")" = "stillframe_${version}_$architecture.deb" ] || fail "named $(basename "$deb")"

field() { dpkg-deb -f "$deb" "$1"; }
[ "$(field Package)" = stillframe ] || fail "Package: $(field Package)"
[ "$(field Version)" = "$version" ] || fail "Version: $(field Version)"
[ "$(field Architecture)" = "$architecture" ] || fail "Architecture: $(field Architecture)"
[ "$(field Section)" = devel ] || fail "Section: $(field Section)"
[ "$(field Priority)" = optional ] || fail "Priority: $(field Priority)"
[ "$(field Maintainer)" = "A. Packager <packager@here.example>" ] ||
  fail "Maintainer: $(field Maintainer)"
[[ $(field Installed-Size) =~ ^[0-9]+$ ]] || fail "Installed-Size: $(field Installed-Size)"
[ "$(field Recommends)" = libdw1 ] || fail "Recommends: $(field Recommends)"
# What the server and the command line load, with versions; nothing of the toolchain.
for library in libc6 libcurl4 libdw1 libelf1 libprotobuf32 libsqlite3-0 libssl3 libstdc++6 libzstd1 \
  zlib1g; do
  [[ ", $(field Depends)," == *", $library"[\ ,]* ]] ||
    fail "does not depend on $library: $(field Depends)"
done
[[ "$(field Depends)" != *-dev* ]] || fail "depends on development packages: $(field Depends)"
description=$(field Description)
[ "$(wc -l <<<"$description")" -ge 4 ] || fail "has no long description"
[ "$(head -1 <<<"$description" | wc -c)" -le 80 ] || fail "has too long a synopsis"
grep -q '^libstillframe 0 stillframe' <(dpkg-deb -I "$deb" shlibs) || fail "has no shlibs file"
for script in postinst postrm; do
  grep -q ldconfig <(dpkg-deb -I "$deb" $script) || fail "$script does not call ldconfig"
done

listing=$(dpkg-deb -c "$deb")
lib=usr/lib
for path in usr/bin/stillframe usr/bin/stillframe-server "$lib/libstillframe.so.$version" \
  "$lib/libstillframe.a" "$lib/pkgconfig/stillframe.pc" "$lib/pkgconfig/stillframe-static.pc" \
  "$lib/cmake/Stillframe/StillframeConfig.cmake" usr/include/stillframe/stillframe.h \
  usr/include/stillframe/trace.h usr/share/doc/stillframe/copyright; do
  grep -qE " \./$path( ->|$)" <<<"$listing" || fail "lacks $path"
done
odd=$(awk '$1 !~ /^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--|lrwxrwxrwx)$/ || $2 != "root/root"' <<<"$listing")
[ -z "$odd" ] || fail "odd permissions or owners: $odd"

# Laid out as it is, at another place.
dpkg-deb -x "$deb" "$work/extracted"
for file in usr/bin/stillframe usr/bin/stillframe-server "$lib/libstillframe.so.$version"; do
  ! readelf -SW "$work/extracted/$file" | grep -q '\.debug_info' || fail "$file is not stripped"
  ! readelf -dW "$work/extracted/$file" | grep -qE 'RPATH|RUNPATH' || fail "$file has a run path"
done
! grep -rlF "$build" "$work/extracted/usr/lib" "$work/extracted/usr/include" ||
  fail "names the folder that it was built in"
! grep -rlF "$source" "$work/extracted/$lib/cmake" "$work/extracted/$lib/pkgconfig" ||
  fail "names the folder of its sources"
"$source/tests/package/check_tree.sh" "$work/extracted/usr" "$source" "$work/consumer"

# dpkg itself, with a database and a tree of its own (--force-depends: that database is empty).
root=$work/root
mkdir -p "$root" "$work/admin"/{info,updates,triggers}
touch "$work/admin/status" "$work/admin/available"
dpkg_here() {
  dpkg --log="$work/dpkg.log" --admindir="$work/admin" --instdir="$root" --force-depends \
    --force-not-root --force-script-chrootless "$@" >>"$work/dpkg.out" 2>&1 ||
    { cat "$work/dpkg.out" >&2; fail "dpkg $* failed"; }
}
dpkg_here -i "$deb"
dpkg-query --admindir="$work/admin" -W -f '${db:Status-Abbrev}' stillframe | grep -q '^ii' ||
  fail "is not installed"
"$root/usr/bin/stillframe" --help >/dev/null
dpkg_here --purge stillframe
left=$(find "$root" -mindepth 1)
[ -z "$left" ] || fail "leaves behind: $left"
echo "$(basename "$deb"): $(du -k "$deb" | cut -f1) KiB, Depends: $(field Depends)"
