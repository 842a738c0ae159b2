#!/bin/sh
# Drives a server with the AWS command line, unmodified: the version that its argument names,
# wherever in the path it is. Needs ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and an empty
# folder WORK.
set -eu
# What is set around the test is for other servers.
unset AWS_CA_BUNDLE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
export AWS_DEFAULT_REGION=us-east-1 AWS_CONFIG_FILE="$WORK/config" AWS_EC2_METADATA_DISABLED=true
cd "$WORK"
printf '[default]\ns3 =\n  addressing_style = path\n' > config
find_aws() {
    IFS=:
    for folder in $PATH; do
        if "$folder/aws" --version 2>&1 | grep -q "^aws-cli/$1\."; then echo "$folder/aws" && return; fi
    done
}
aws=$(find_aws "$1")
s3() { "$aws" --endpoint-url "$ENDPOINT" s3 "$@"; }
api() { "$aws" --endpoint-url "$ENDPOINT" s3api "$@"; }
bucket="awscli-$1-$$"

mkdir -p tree/sub
head -c 20000000 /dev/urandom > tree/large
head -c 1000 /dev/urandom > "tree/sub/small ü.bin"
: > tree/empty

s3 mb "s3://$bucket"
s3 cp tree/large "s3://$bucket/one" --only-show-errors
s3 cp "s3://$bucket/one" back --only-show-errors
cmp tree/large back
head -c 9000000 tree/large | s3 cp - "s3://$bucket/stdin"
s3 cp "s3://$bucket/stdin" - | cmp - "$(head -c 9000000 tree/large > half; echo half)"
s3 sync tree "s3://$bucket/tree" --only-show-errors
s3 sync tree "s3://$bucket/tree" | { ! grep .; }
s3 sync "s3://$bucket/tree" again --only-show-errors
diff -r tree again
s3 cp "s3://$bucket/one" "s3://$bucket/two" --only-show-errors
s3 mv "s3://$bucket/two" "s3://$bucket/three" --only-show-errors
s3 ls "s3://$bucket/" | grep -q three
s3 ls "s3://$bucket/" | { ! grep -q two; }
[ "$(s3 ls --recursive "s3://$bucket/" | wc -l)" -eq 6 ]
url=$(s3 presign "s3://$bucket/three" --expires-in 60)
curl -sf "$url" | cmp - tree/large
api put-object --bucket "$bucket" --key sum --body tree/large --checksum-algorithm SHA256 > put.json
api get-object --bucket "$bucket" --key sum --checksum-mode ENABLED back | grep -q ChecksumSHA256
cmp tree/large back
# The version 2 of Debian 12 cannot choose it here.
[ "$1" = 2 ] || for algorithm in CRC32 SHA1 SHA256; do
    s3 cp tree/large "s3://$bucket/sum" --checksum-algorithm "$algorithm" --only-show-errors
    s3 cp "s3://$bucket/sum" back --checksum-mode ENABLED --only-show-errors
    cmp tree/large back
done
# A bucket elsewhere, for a client that is set to its region and for one that is not.
s3 mb "s3://$bucket-abroad" --region eu-west-1
for region in eu-west-1 us-east-1 ap-south-1; do
    s3 cp tree/large "s3://$bucket-abroad/one" --region "$region" --only-show-errors
    s3 cp "s3://$bucket-abroad/one" back --region "$region" --only-show-errors
    cmp tree/large back
done
[ "$(aws --endpoint-url "$ENDPOINT" s3api get-bucket-location --bucket "$bucket-abroad" --output text)" = eu-west-1 ]
s3 rb "s3://$bucket-abroad" --force > /dev/null
rm tree/sub/*
s3 sync tree "s3://$bucket/tree" --delete --only-show-errors
s3 ls --recursive "s3://$bucket/tree/" | { ! grep -q small; }
s3 rm --recursive "s3://$bucket" --only-show-errors
s3 rb "s3://$bucket"
