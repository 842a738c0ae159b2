#!/bin/sh
# Drives a server with s3cmd, unmodified. Needs ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and an empty folder WORK.
set -eu
# What is set around the test is for other servers.
unset AWS_CA_BUNDLE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
cd "$WORK"
host=${ENDPOINT#http://}
s3() {
    s3cmd --config=/dev/null --access_key="$AWS_ACCESS_KEY_ID" --secret_key="$AWS_SECRET_ACCESS_KEY" --host="$host" \
        --host-bucket="$host" --no-ssl --no-progress "$@"
}
bucket="s3://s3cmd-$$"

mkdir -p tree/sub
head -c 20000000 /dev/urandom > tree/large
echo small > "tree/sub/small ü.txt"
: > tree/empty

s3 mb "$bucket"
s3 put tree/large "$bucket/one" --multipart-chunk-size-mb=5
s3 get "$bucket/one" back
cmp tree/large back
s3 sync tree/ "$bucket/tree/"
s3 sync "$bucket/tree/" again/
diff -r tree again
s3 cp "$bucket/one" "$bucket/two"
s3 mv "$bucket/two" "$bucket/three"
s3 modify --add-header=Cache-Control:no-store "$bucket/three"
s3 info "$bucket/three" > /dev/null
[ "$(s3 ls --recursive "$bucket/" | wc -l)" -eq 5 ]
s3 ls "$bucket/" | grep -q DIR
curl -sf "$(s3 signurl "$bucket/three" +60)" | cmp - tree/large
s3 del --recursive --force "$bucket/"
s3 rb "$bucket"
