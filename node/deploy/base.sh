#!/bin/sh
# Makes a base image from packages of Debian, for machines that reach no registry of images: `sh node/deploy/base.sh NAME`.
#
# It holds what a program in C needs to run, and no shell: some 14 MB. Needs apt, dpkg, and Docker or Podman.
set -eu
name=${1:-beadmesh-base}
engine=${ENGINE:-docker}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir "$made/packages" "$made/root"
cd "$made/packages"
apt-get download -qq base-files libc6 libgcc-s1 netbase
for package in ./*.deb; do dpkg-deb --extract "$package" "$made/root"; done
cd "$made/root"
# Nothing here reads them; the licences in /usr/share/doc stay.
rm -rf usr/share/man usr/share/locale usr/share/lintian usr/share/i18n usr/lib/*/gconv
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' > etc/passwd
printf 'root:x:0:\nnonroot:x:65532:\n' > etc/group
printf 'hosts: files dns\n' > etc/nsswitch.conf
mkdir -p home/nonroot tmp
chown 65532:65532 home/nonroot
chmod 1777 tmp
tar --create --sort=name . | "$engine" import - "$name"
