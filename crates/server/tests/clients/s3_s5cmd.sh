#!/bin/sh
# Drives a server with s5cmd, unmodified, which is version 1 of the AWS SDK for Go. Needs ENDPOINT,
# AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and an empty folder WORK.
set -eu
# What is set around the test is for other servers.
unset AWS_CA_BUNDLE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
export AWS_REGION=us-east-1
cd "$WORK"
s3() { s5cmd --endpoint-url "$ENDPOINT" --log error "$@"; }
lines() { s5cmd --endpoint-url "$ENDPOINT" "$@" | wc -l; }
bucket="s3://s5cmd-$$"

mkdir -p tree/sub
head -c 20000000 /dev/urandom > tree/large
for n in $(seq 40); do echo "$n" > "tree/sub/$n"; done
echo odd > "tree/sub/small ü+&.bin"
: > tree/empty

s3 mb "$bucket"
s3 cp --part-size 5 tree/large "$bucket/one"
s3 cp --part-size 5 --concurrency 3 "$bucket/one" back
cmp tree/large back
s3 cat "$bucket/one" | cmp - tree/large
s3 pipe "$bucket/piped" < tree/large
s3 cat "$bucket/piped" | cmp - tree/large
[ "$(lines sync tree/ "$bucket/tree/")" -eq 43 ]
[ "$(lines sync --size-only tree/ "$bucket/tree/")" -eq 0 ]
s3 cp "$bucket/tree/*" again/
diff -r tree again
s3 cp "$bucket/one" "$bucket/two"
s3 mv "$bucket/two" "$bucket/three"
[ "$(lines ls "$bucket/*")" -eq 46 ]
s3 rm "$bucket/tree/sub/*"
[ "$(lines ls "$bucket/*")" -eq 5 ]
curl -sf "$(s3 presign --expire 60s "$bucket/three")" | cmp - tree/large
s3 rm "$bucket/*"
s3 rb "$bucket"
