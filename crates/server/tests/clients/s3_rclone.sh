#!/bin/sh
# Drives a server with rclone, unmodified. Needs ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and an empty folder WORK.
set -eu
# What is set around the test is for other servers.
unset AWS_CA_BUNDLE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
cd "$WORK"
export RCLONE_CONFIG="$WORK/rclone.conf"
cat > rclone.conf <<CONF
[t]
type = s3
provider = Other
endpoint = $ENDPOINT
access_key_id = $AWS_ACCESS_KEY_ID
secret_access_key = $AWS_SECRET_ACCESS_KEY
CONF
bucket="t:rclone-$$"

mkdir -p tree/sub/deep
head -c 30000000 /dev/urandom > tree/large
head -c 1000 /dev/urandom > "tree/sub/small ü+&.bin"
: > tree/sub/deep/empty
for n in $(seq 50); do echo "$n" > "tree/sub/deep/$n"; done

rclone mkdir "$bucket"
rclone copy tree "$bucket/tree" --s3-upload-cutoff 10M --s3-chunk-size 5M
rclone check tree "$bucket/tree" --download
rclone check tree "$bucket/tree"
rclone sync tree "$bucket/tree" --checksum --dry-run 2>&1 | { ! grep -q NOTICE:.*Skipped; }
echo changed > tree/sub/deep/7
rm tree/sub/deep/8
rclone sync tree "$bucket/tree" --checksum
rclone check tree "$bucket/tree" --download
rclone sync "$bucket/tree" again
diff -r tree again
rclone copy "$bucket/tree" "$bucket/copy"
rclone check "$bucket/tree" "$bucket/copy"
rclone moveto "$bucket/copy/large" "$bucket/moved"
rclone cat "$bucket/moved" | cmp - tree/large
rclone cat "$bucket/moved" --offset 1000 --count 50 | cmp - "$(tail -c +1001 tree/large | head -c 50 > piece; echo piece)"
[ "$(rclone size "$bucket/tree" --json | sed 's/.*"count":\([0-9]*\).*/\1/')" -eq 52 ]
# What macOS calls the icon of a folder: its name ends with a carriage return.
mkdir icons
icon=$(printf 'Icon\rx'); icon=${icon%x}
echo icon > "icons/$icon"
rclone sync icons "$bucket/icons"
rclone sync icons "$bucket/icons" -v 2>&1 | { ! grep -E "Copied|Deleted"; }
rclone sync "$bucket/icons" icons-again
diff -r icons icons-again
rclone check icons "$bucket/icons" --download
# Names that XML cannot carry: rclone must ask for an encoding, or it gets no list.
mkdir odd
echo 1 > "odd/$(printf 'a\001b')"
echo 2 > "odd/$(printf 'c\357\277\276')"
echo 3 > odd/100%25
rclone copy odd "$bucket/odd"
rclone lsf "$bucket/odd" --retries 1 2>&1 | grep -q encoding-type=url
encoded=--s3-list-url-encode=true
rclone sync odd "$bucket/odd" $encoded -v 2>&1 | { ! grep -E "Copied|Deleted"; }
rclone sync "$bucket/odd" odd-again $encoded
diff -r odd odd-again
rclone touch "$bucket/tree/large"
rclone rcat "$bucket/stream" < tree/large
rclone cat "$bucket/stream" | cmp - tree/large
rclone purge "$bucket" $encoded
