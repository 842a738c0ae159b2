#!/bin/sh
# Drives a server with restic, unmodified. Needs ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and an empty folder WORK.
set -eu
# What is set around the test is for other servers.
unset AWS_CA_BUNDLE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
cd "$WORK"
export RESTIC_REPOSITORY="s3:$ENDPOINT/restic-$$" RESTIC_PASSWORD=restic RESTIC_CACHE_DIR="$WORK/cache"

mkdir -p tree/sub
head -c 30000000 /dev/urandom > tree/large
for n in $(seq 100); do echo "$n" > "tree/sub/$n"; done

restic init -q
restic backup -q tree
rm tree/sub/1*
echo more >> tree/large
restic backup -q tree
restic check -q --read-data
restic restore -q latest --target back
diff -r tree back/tree
restic forget -q --keep-last 1 --prune
restic check -q --read-data
[ "$(restic snapshots --json | tr ',' '\n' | grep -c '"short_id"')" -eq 1 ]
