"""Drives a server with boto3, unmodified. Needs ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

Every function whose name begins with `check_` is one property; each has a bucket of its own.
"""

import base64
import concurrent.futures
import datetime
import hashlib
import http.client
import io
import os
import random
import socket
import sys
import time
import traceback
import urllib.parse
import urllib.request
import zlib

import boto3
import botocore
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ENDPOINT = os.environ["ENDPOINT"]
ACCESS, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
MIB = 1 << 20
PART = 5 * MIB


def client(access=ACCESS, secret=SECRET, **config):
    config.setdefault("retries", {"max_attempts": 1})
    settings = Config(signature_version="s3v4", s3={"addressing_style": "path"}, **config)
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=settings,
    )


s3 = client()


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def refused(code, call, *args, **kwargs):
    """The call must be refused with this code (or one of these); the error is returned."""
    codes = (code,) if isinstance(code, str) else code
    try:
        call(*args, **kwargs)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found in codes, f"expected {codes}, found {found}: {error}"
        return error
    raise AssertionError(f"{codes} expected, but it went through")


def status_of(error):
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def fetch(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def body_of(bucket, key, **kwargs):
    return s3.get_object(Bucket=bucket, Key=key, **kwargs)["Body"].read()


# --- buckets ---------------------------------------------------------------------------------------------------------


def check_buckets(bucket):
    s3.head_bucket(Bucket=bucket)
    assert bucket in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.create_bucket(Bucket=bucket)
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket=bucket, **elsewhere)
    assert body_of(bucket, "k") == b"x", "a bucket that is made again stays as it is"
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    refused("404", s3.head_bucket, Bucket=bucket)
    refused("NoSuchBucket", s3.delete_bucket, Bucket=bucket)
    refused("NoSuchBucket", s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    refused("NoSuchBucket", s3.put_object, Bucket=bucket, Key="k", Body=noise(200_000))
    refused("NoSuchBucket", s3.list_objects_v2, Bucket=bucket)
    refused("NoSuchBucket", s3.create_multipart_upload, Bucket=bucket, Key="k")
    s3.create_bucket(Bucket=bucket, **elsewhere)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "eu-west-1"
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "eu-west-1"
    refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket=bucket, **elsewhere)
    # A client of any region goes on with it.
    s3.put_object(Bucket=bucket, Key="k", Body=noise(100_000))
    assert body_of(bucket, "k") == noise(100_000)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)


def check_pages_of_buckets(bucket):
    names = [f"{bucket}-{n}" for n in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name)
    found, token = [], {}
    while True:
        page = s3.list_buckets(MaxBuckets=2, Prefix=f"{bucket}-", **token)
        found += [one["Name"] for one in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert found == names, found


def check_unconfigured(bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    acl = s3.get_bucket_acl(Bucket=bucket)
    assert acl["Grants"][0]["Permission"] == "FULL_CONTROL", acl
    assert s3.get_object_acl(Bucket=bucket, Key="k")["Grants"][0]["Grantee"]["ID"] == acl["Owner"]["ID"]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    for call, code in [
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_bucket_tagging, "NoSuchTagSet"),
        (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
        (s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError"),
        (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
        (s3.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
        (s3.get_public_access_block, "NoSuchPublicAccessBlockConfiguration"),
        (s3.get_bucket_ownership_controls, "OwnershipControlsNotFoundError"),
    ]:
        assert status_of(refused(code, call, Bucket=bucket)) == 404
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    s3.get_bucket_logging(Bucket=bucket)
    s3.get_bucket_notification_configuration(Bucket=bucket)
    s3.get_bucket_accelerate_configuration(Bucket=bucket)
    versioning = {"Status": "Enabled"}
    refused("NotImplemented", s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=versioning)
    refused("NotImplemented", s3.put_bucket_policy, Bucket=bucket, Policy="{}")
    refused("AccessControlListNotSupported", s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read")
    refused("AccessControlListNotSupported", s3.put_object, Bucket=bucket, Key="k", Body=b"", ACL="public-read")
    refused("NotImplemented", s3.put_object, Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256")
    refused("NotImplemented", s3.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    refused("InvalidStorageClass", s3.put_object, Bucket=bucket, Key="k", Body=b"", StorageClass="GLACIER")
    refused("NoSuchBucket", s3.get_bucket_policy, Bucket=f"{bucket}-none")


def check_access_lists(bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"seen", ACL="bucket-owner-full-control")
    url, all_users = f"{ENDPOINT}/{bucket}/k", "http://acs.amazonaws.com/groups/global/AllUsers"

    def check_public(public):
        for acl in [s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")]:
            found = [(grant["Grantee"].get("URI"), grant["Permission"]) for grant in acl["Grants"]]
            assert found == [(None, "FULL_CONTROL")] + [(all_users, "READ")] * public, acl
        assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is public
        assert fetch(url)[0] == (200 if public else 403)
        assert fetch(f"{ENDPOINT}/{bucket}")[0] == 403, "no listing without a key"

    check_public(False)
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    check_public(True)
    s3.put_object(Bucket=bucket, Key="k", Body=b"seen", ACL="public-read")
    s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    refused("AccessControlListNotSupported", s3.put_object_acl, Bucket=bucket, Key="k", ACL="private")
    # What a client was told it may say again.
    acl = s3.get_bucket_acl(Bucket=bucket)
    document = {"Grants": acl["Grants"], "Owner": acl["Owner"]}
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    check_public(False)
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=document)
    check_public(True)
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    check_public(False)
    for kwargs in [{"ACL": "public-read-write"}, {"ACL": "authenticated-read"}, {"GrantRead": f"uri={all_users}"}]:
        refused("AccessControlListNotSupported", s3.put_bucket_acl, Bucket=bucket, **kwargs)
    check_public(False)
    if "OTHER_KEYS" in os.environ:
        writer = client(access="writer")
        refused("AccessDenied", writer.put_bucket_acl, Bucket=bucket, ACL="public-read")
        check_public(False)


# --- objects ---------------------------------------------------------------------------------------------------------


def check_objects_of_many_sizes(bucket):
    for size in [0, 1, 65_535, 65_536, 65_537, 300_000, 3 * MIB + 7, 17 * MIB]:
        body = noise(size, size)
        put = s3.put_object(Bucket=bucket, Key="dir/ü b+c%2f?&=.bin", Body=body)
        if size <= 16 * MIB:
            assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', put["ETag"]
        else:
            assert put["ETag"].endswith('-1"'), put["ETag"]
        got = s3.get_object(Bucket=bucket, Key="dir/ü b+c%2f?&=.bin")
        assert got["Body"].read() == body
        assert got["ETag"] == put["ETag"] and got["ContentLength"] == size
        head = s3.head_object(Bucket=bucket, Key="dir/ü b+c%2f?&=.bin")
        assert head["ETag"] == put["ETag"] and head["ContentLength"] == size
        age = datetime.datetime.now(datetime.timezone.utc) - head["LastModified"]
        assert abs(age.total_seconds()) < 60, age
    s3.delete_object(Bucket=bucket, Key="dir/ü b+c%2f?&=.bin")
    s3.delete_object(Bucket=bucket, Key="dir/ü b+c%2f?&=.bin")
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="dir/ü b+c%2f?&=.bin")
    refused("404", s3.head_object, Bucket=bucket, Key="dir/ü b+c%2f?&=.bin")


def check_metadata(bucket):
    given = {
        "ContentType": "text/x-test; charset=utf-8",
        "CacheControl": "max-age=7",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {"colour": "blue", "with-dash": "x y  z", "unicode": "gr=C3=BCn"},
    }
    expires = datetime.datetime(2031, 5, 4, 3, 2, 1, tzinfo=datetime.timezone.utc)
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", Expires=expires, **given)
    for found in [s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")]:
        for name, value in given.items():
            assert found[name] == value, (name, found[name])
        assert found["Expires"] == expires
    s3.put_object(Bucket=bucket, Key="k", Body=b"body")
    found = s3.head_object(Bucket=bucket, Key="k")
    assert found["ContentType"] == "binary/octet-stream" and found["Metadata"] == {}, found
    assert "CacheControl" not in found
    big = {"k": "v" * 2047}
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata=big)
    refused("MetadataTooLarge", s3.put_object, Bucket=bucket, Key="k", Body=b"", Metadata={"kk": "v" * 2047})
    found = s3.get_object(
        Bucket=bucket,
        Key="k",
        ResponseContentType="text/y",
        ResponseCacheControl="no-store",
        ResponseContentDisposition="inline",
        ResponseContentEncoding="br",
        ResponseContentLanguage="fr",
        ResponseExpires=expires,
    )
    assert (found["ContentType"], found["CacheControl"]) == ("text/y", "no-store")
    assert (found["ContentDisposition"], found["ContentEncoding"]) == ("inline", "br")
    assert (found["ContentLanguage"], found["Expires"]) == ("fr", expires)


def check_ranges(bucket):
    body = noise(200_000)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    for header, first, last in [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=199999-", 199_999, 200_000),
        ("bytes=-5", 199_995, 200_000),
        ("bytes=-500000", 0, 200_000),
        ("bytes=70000-999999", 70_000, 200_000),
    ]:
        found = s3.get_object(Bucket=bucket, Key="k", Range=header)
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert found["ContentRange"] == f"bytes {first}-{last - 1}/200000", found["ContentRange"]
        assert found["Body"].read() == body[first:last]
        found = s3.head_object(Bucket=bucket, Key="k", Range=header)
        assert found["ContentLength"] == last - first
    for header in ["bytes=200000-", "bytes=-0"]:
        assert status_of(refused("InvalidRange", s3.get_object, Bucket=bucket, Key="k", Range=header)) == 416
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    many = "bytes=" + ",".join(f"{n}-{n}" for n in range(1000))
    for odd in [many, "bytes=9-5", "lines=1-2"]:
        status, found, _ = fetch(url, headers={"Range": odd})
        assert status == 200 and found == body, (odd[:20], status)
    etag = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    assert fetch(url, headers={"Range": "bytes=0-1", "If-Range": etag})[0] == 206
    assert fetch(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})[0] == 200
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    refused("InvalidRange", s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-1")


def check_conditional_reads(bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"body")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = modified - datetime.timedelta(hours=1), modified + datetime.timedelta(hours=1)
    for call in [s3.get_object, s3.head_object]:
        name = {"Bucket": bucket, "Key": "k"}
        for fine in [
            {"IfMatch": etag},
            {"IfNoneMatch": '"other"'},
            {"IfModifiedSince": before},
            {"IfUnmodifiedSince": modified},
            {"IfMatch": etag, "IfUnmodifiedSince": before},
            {"IfNoneMatch": '"other"', "IfModifiedSince": after},
        ]:
            call(**name, **fine)
        for failed in [{"IfMatch": '"other"'}, {"IfUnmodifiedSince": before}]:
            error = refused(("PreconditionFailed", "412"), call, **name, **failed)
            assert status_of(error) == 412
        for fresh in [{"IfNoneMatch": etag}, {"IfModifiedSince": modified}, {"IfModifiedSince": after}]:
            error = refused("304", call, **name, **fresh)
            assert error.response["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag


def check_conditional_writes(bucket):
    put = lambda **kwargs: s3.put_object(Bucket=bucket, **kwargs)
    first = put(Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert status_of(refused("PreconditionFailed", put, Key="k", Body=b"2", IfNoneMatch="*")) == 412
    refused("PreconditionFailed", put, Key="k", Body=b"2", IfMatch='"other"')
    refused("NoSuchKey", put, Key="none", Body=b"2", IfMatch=first)
    second = put(Key="k", Body=b"2", IfMatch=first)["ETag"]
    refused("PreconditionFailed", put, Key="k", Body=b"3", IfMatch=first)
    assert second != first and body_of(bucket, "k") == b"2"
    refused("PreconditionFailed", put, Key="k", Body=b"3", IfNoneMatch=second)
    put(Key="k", Body=b"3", IfNoneMatch=first)
    for round in range(10):
        racers = range(8)
        with concurrent.futures.ThreadPoolExecutor(len(racers)) as pool:
            won = list(pool.map(lambda n: outcome(put, Key=f"race-{round}", Body=bytes([n]), IfNoneMatch="*"), racers))
        assert sorted(won) == ["PreconditionFailed"] * 7 + ["done"], won
        assert body_of(bucket, f"race-{round}") == bytes([won.index("done")])
    etag = put(Key="counter", Body=b"0")["ETag"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: outcome(put, Key="counter", Body=bytes([n + 1]), IfMatch=etag), range(8)))
    assert sorted(won) == ["PreconditionFailed"] * 7 + ["done"], won


def outcome(call, **kwargs):
    try:
        call(**kwargs)
        return "done"
    except ClientError as error:
        return error.response["Error"]["Code"]


def check_deletes(bucket):
    keys = [f"k{n:04}" for n in range(1001)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
    name = lambda key: {"Key": key}
    refused("MalformedXML", s3.delete_objects, Bucket=bucket, Delete={"Objects": [name(key) for key in keys]})
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [name(key) for key in keys[:500]]})
    assert len(answer["Deleted"]) == 500 and "Errors" not in answer
    objects = [name(key) for key in keys[500:]] + [name("never-there")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects[:1000], "Quiet": True})
    assert "Deleted" not in answer and "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    answer = s3.delete_objects(
        Bucket=bucket,
        Delete={"Objects": [name("a/../b"), {"Key": "k", "VersionId": "null"}, {"Key": "k", "VersionId": "17"}]},
    )
    assert [error["Code"] for error in answer["Errors"]] == ["InvalidArgument", "InvalidArgument"], answer
    assert answer["Deleted"][0]["VersionId"] == "null"
    refused("NoSuchKey", s3.delete_object, Bucket=bucket, Key="k", IfMatch="*")
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    refused("PreconditionFailed", s3.delete_object, Bucket=bucket, Key="k", IfMatch='"x"')
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": '"x"'}]})
    assert answer["Errors"][0]["Code"] == "PreconditionFailed", answer
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
    refused("404", s3.head_object, Bucket=bucket, Key="k")


def check_odd_keys(bucket):
    for key in ["a//b", "/lead", "trail/", "space end ", "\u202egpj.exe", "k" * 1024, "..a", "q?x=1&y", "%2e%2e", "a\tb"]:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert body_of(bucket, key) == key.encode(), key
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == sorted(keys, key=str.encode) and len(keys) == 10, keys
    error = refused("KeyTooLongError", s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"")
    assert status_of(error) == 400
    for climbing in ["x/../y", "x/./y", "nul\0"]:
        refused("InvalidArgument", s3.put_object, Bucket=bucket, Key=climbing, Body=b"")
    for path in ["/%ff%fe", "/%2e%2e%2fx"]:
        url = f"{ENDPOINT}/{bucket}{path}"
        assert 400 <= fetch(url)[0] < 500, path


def check_names_that_xml_cannot_carry(bucket):
    keys = ["Icon\r", "a\x01b", "a\x1f/b", "c\ufffe", "d\uffff", "e\n\t"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert body_of(bucket, key) == key.encode()
    for size in [1, 4, 1000]:
        assert pages("list_objects_v2", bucket, size) == sorted(keys), size
        assert pages("list_objects", bucket, size) == sorted(keys), size
    folders = [one["Prefix"] for one in s3.list_objects_v2(Bucket=bucket, Delimiter="/")["CommonPrefixes"]]
    assert folders == ["a\x1f/"], folders
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [one["Key"] for one in versions] == sorted(keys)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m\x02")
    name = {"Bucket": bucket, "Key": "m\x02", "UploadId": upload["UploadId"]}
    part = s3.upload_part(**name, PartNumber=1, Body=b"part")
    # boto3 asks for no encoding here, and would not undo it.
    refused("InvalidArgument", s3.list_multipart_uploads, Bucket=bucket)
    assert [one["Key"] for one in s3.list_multipart_uploads(Bucket=bucket, EncodingType="url")["Uploads"]] == ["m%02"]
    assert [one["Size"] for one in s3.list_parts(**name)["Parts"]] == [4]
    s3.complete_multipart_upload(**name, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert body_of(bucket, "m\x02") == b"part"
    s3.copy_object(Bucket=bucket, Key="n\x03\r", CopySource={"Bucket": bucket, "Key": "m\x02"})
    assert body_of(bucket, "n\x03\r") == b"part"
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="gone\x01")
    # A document cannot name such a key: nothing of it is done.
    both = {"Objects": [{"Key": "Icon\r"}, {"Key": "a\x01b"}]}
    refused("MalformedXML", s3.delete_objects, Bucket=bucket, Delete=both)
    assert body_of(bucket, "Icon\r") == b"Icon\r"
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "Icon\r"}, {"Key": "e\n\t"}]})
    assert [one["Key"] for one in deleted["Deleted"]] == ["Icon\r", "e\n\t"]
    left = pages("list_objects_v2", bucket, 1000)
    assert left == ["a\x01b", "a\x1f/b", "c\ufffe", "d\uffff", "m\x02", "n\x03\r"], left
    for key in left:
        s3.delete_object(Bucket=bucket, Key=key)


# --- lists -----------------------------------------------------------------------------------------------------------


def check_lists(bucket):
    keys = ["a", "b/1", "b/2", "b/c/1", "b0", "c/1", "d", "ü/ä", "z z/+"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    everything = sorted(keys, key=str.encode)
    found = s3.list_objects_v2(Bucket=bucket)
    assert [one["Key"] for one in found["Contents"]] == everything
    assert found["KeyCount"] == 9 and not found["IsTruncated"]
    assert found["Contents"][0]["Size"] == 1
    assert found["Contents"][0]["ETag"] == f'"{hashlib.md5(b"a").hexdigest()}"'
    assert s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"]["ID"]
    top = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [one["Key"] for one in top["Contents"]] == ["a", "b0", "d"]
    assert [one["Prefix"] for one in top["CommonPrefixes"]] == ["b/", "c/", "z z/", "ü/"]
    below = s3.list_objects_v2(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert [one["Key"] for one in below["Contents"]] == ["b/1", "b/2"]
    assert [one["Prefix"] for one in below["CommonPrefixes"]] == ["b/c/"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    refused("InvalidArgument", s3.list_objects_v2, Bucket=bucket, MaxKeys=-1)
    refused("InvalidArgument", s3.list_objects_v2, Bucket=bucket, ContinuationToken="!")
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="b/2")
    assert after["Contents"][0]["Key"] == "b/c/1" and after["StartAfter"] == "b/2"
    folded = ["a", "b/", "b0", "c/", "d", "z z/", "ü/"]
    for size in [1, 2, 3, 7, 8]:
        assert pages("list_objects_v2", bucket, size) == everything
        assert pages("list_objects", bucket, size) == everything
        assert pages("list_objects_v2", bucket, size, Delimiter="/") == folded
        assert pages("list_objects", bucket, size, Delimiter="/") == folded
        assert pages("list_object_versions", bucket, size) == everything
        assert pages("list_object_versions", bucket, size, Delimiter="/") == folded
    found = s3.list_objects(Bucket=bucket, Marker="b/", Delimiter="/")
    assert [one["Key"] for one in found["Contents"]] == ["b0", "d"], found
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert all(one["VersionId"] == "null" and one["IsLatest"] for one in versions)
    url = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "EncodingType": "url"})
    status, xml, _ = fetch(url)
    assert status == 200 and b"<Key>z%20z/%2B</Key>" in xml, xml


def pages(operation, bucket, size, **kwargs):
    """All entries in the order of the pages, folders and objects of a page together in their order."""
    found = []
    for page in s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **kwargs):
        names = [one["Key"] for one in page.get("Contents", []) + page.get("Versions", [])]
        names += [one["Prefix"] for one in page.get("CommonPrefixes", [])]
        assert len(names) <= size
        found += sorted(names, key=str.encode)
    return found


# --- copies ----------------------------------------------------------------------------------------------------------


def check_copies(bucket):
    body = noise(100_000)
    given = {"ContentType": "text/a", "CacheControl": "no-cache", "Metadata": {"a": "1"}}
    source = s3.put_object(Bucket=bucket, Key="dir/s ü+?", Body=body, ChecksumAlgorithm="SHA256", **given)
    name = {"Bucket": bucket, "Key": "dir/s ü+?"}
    copied = s3.copy_object(Bucket=bucket, Key="t", CopySource=name)["CopyObjectResult"]
    assert copied["ETag"] == source["ETag"] and copied["ChecksumSHA256"] == source["ChecksumSHA256"]
    found = s3.get_object(Bucket=bucket, Key="t")
    assert found["Body"].read() == body and found["Metadata"] == {"a": "1"} and found["ContentType"] == "text/a"
    s3.copy_object(
        Bucket=bucket,
        Key="t",
        CopySource={**name, "VersionId": "null"},
        MetadataDirective="REPLACE",
        ContentType="text/b",
        Metadata={"b": "2"},
    )
    found = s3.get_object(Bucket=bucket, Key="t", ChecksumMode="ENABLED")
    assert found["Body"].read() == body and found["Metadata"] == {"b": "2"} and found["ContentType"] == "text/b"
    assert "CacheControl" not in found and found["ETag"] == source["ETag"]
    assert found["ChecksumSHA256"] == source["ChecksumSHA256"]
    refused("InvalidRequest", s3.copy_object, **name, CopySource=name)
    s3.copy_object(**name, CopySource=name, MetadataDirective="REPLACE", Metadata={"self": "yes"})
    assert s3.head_object(**name)["Metadata"] == {"self": "yes"}
    etag = source["ETag"]
    s3.copy_object(Bucket=bucket, Key="u", CopySource=name, CopySourceIfMatch=etag)
    for failed in [{"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag}]:
        error = refused("PreconditionFailed", s3.copy_object, Bucket=bucket, Key="u", CopySource=name, **failed)
        assert status_of(error) == 412
    refused("NoSuchKey", s3.copy_object, Bucket=bucket, Key="u", CopySource={"Bucket": bucket, "Key": "none"})
    refused("NoSuchBucket", s3.copy_object, Bucket=bucket, Key="u", CopySource=f"{bucket}-none/k")
    refused("InvalidArgument", s3.copy_object, Bucket=bucket, Key="u", CopySource=f"{bucket}/u?versionId=17")
    for odd in ["x", "/", f"{bucket}/", "//", "A_B/c", f"{bucket}/%ff", f"{bucket}/../x", "arn:aws:s3:::x"]:
        try:
            s3.copy_object(Bucket=bucket, Key="u", CopySource=odd)
            raise AssertionError(f"{odd} went through")
        except ClientError as error:
            assert 400 <= status_of(error) < 500, (odd, error)


# --- multipart -------------------------------------------------------------------------------------------------------


def parts_of(*rows):
    return {"Parts": [{"PartNumber": number, "ETag": row["ETag"]} for number, row in rows]}


def check_tags(bucket):
    name = {"Bucket": bucket, "Key": "k"}
    tags = lambda **kwargs: {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(**(kwargs or name))["TagSet"]}
    document = lambda **tags: {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
    s3.put_object(**name, Body=b"x", Tagging=urllib.parse.urlencode({"a": "b c", "ü": "+=/"}))
    assert tags() == {"a": "b c", "ü": "+=/"}
    before = s3.head_object(**name)
    assert before["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    assert s3.get_object(**name)["TagCount"] == 2
    s3.put_object_tagging(**name, Tagging=document(c="d"))
    after = s3.head_object(**name)
    assert tags() == {"c": "d"}
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    copy = lambda key, **kwargs: s3.copy_object(CopySource=name, Bucket=bucket, Key=key, **kwargs)
    copy("kept")
    copy("changed", TaggingDirective="REPLACE", Tagging="e=f")
    assert tags(Bucket=bucket, Key="kept") == {"c": "d"}
    assert tags(Bucket=bucket, Key="changed") == {"e": "f"}
    s3.delete_object_tagging(**name)
    assert tags() == {} and "TagCount" not in s3.get_object(**name)
    refused("InvalidTag", s3.put_object_tagging, **name, Tagging={"TagSet": document(a="1")["TagSet"] * 2})
    refused("InvalidTag", s3.put_object_tagging, **name, Tagging=document(**{f"k{n}": "" for n in range(11)}))
    refused("NoSuchKey", s3.put_object_tagging, Bucket=bucket, Key="none", Tagging=document(a="b"))
    # The managed transfer of a large file gives them to its upload.
    large = {"ExtraArgs": {"Tagging": "g=h"}, "Config": boto3.s3.transfer.TransferConfig(multipart_threshold=PART)}
    s3.upload_fileobj(io.BytesIO(noise(PART + 1)), bucket, "large", **large)
    assert tags(Bucket=bucket, Key="large") == {"g": "h"}


def check_multipart(bucket):
    name = {"Bucket": bucket, "Key": "dir/k"}
    begun = s3.create_multipart_upload(**name, ContentType="text/m", Metadata={"m": "1"})
    upload = {**name, "UploadId": begun["UploadId"]}
    bodies = [noise(PART, 1), noise(PART + 3, 2), noise(77, 3)]
    rows = [s3.upload_part(**upload, PartNumber=n * 10, Body=body) for n, body in enumerate(bodies, 1)]
    assert [row["ETag"] for row in rows] == [f'"{hashlib.md5(body).hexdigest()}"' for body in bodies]
    listed = s3.list_parts(**upload)
    assert [(one["PartNumber"], one["Size"]) for one in listed["Parts"]] == [(10, PART), (20, PART + 3), (30, 77)]
    page = s3.list_parts(**upload, MaxParts=2)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 20
    assert s3.list_parts(**upload, PartNumberMarker=20)["Parts"][0]["PartNumber"] == 30
    found = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(one["Key"], one["UploadId"]) for one in found] == [("dir/k", begun["UploadId"])]
    # A part replaced, one left out, one too many.
    bodies[2] = noise(99, 4)
    rows[2] = s3.upload_part(**upload, PartNumber=30, Body=bodies[2])
    s3.upload_part(**upload, PartNumber=40, Body=b"left out")
    complete = lambda parts: s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    numbered = list(zip([10, 20, 30], rows))
    refused("InvalidPartOrder", complete, parts_of(numbered[1], numbered[0]))
    refused("InvalidPartOrder", complete, parts_of(numbered[0], numbered[0]))
    refused("InvalidPart", complete, parts_of(numbered[0], (11, rows[1])))
    refused("InvalidPart", complete, parts_of(numbered[0], (20, rows[0])))
    refused("EntityTooSmall", complete, parts_of(*numbered, (40, {"ETag": hashlib.md5(b"left out").hexdigest()})))
    refused("MalformedXML", complete, {"Parts": []})
    refused("404", s3.head_object, **name)
    done = complete(parts_of(*numbered))
    sums = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert done["ETag"] == f'"{hashlib.md5(sums).hexdigest()}-3"', done["ETag"]
    found = s3.get_object(**name)
    assert found["Body"].read() == b"".join(bodies)
    assert found["ContentType"] == "text/m" and found["Metadata"] == {"m": "1"} and found["ETag"] == done["ETag"]
    # The client that did not hear the answer asks again.
    assert complete(parts_of(*numbered))["ETag"] == done["ETag"]
    refused("NoSuchUpload", s3.upload_part, **upload, PartNumber=1, Body=b"late")
    refused("NoSuchUpload", s3.list_parts, **upload)
    refused("NoSuchUpload", s3.abort_multipart_upload, **upload)
    second = s3.get_object(**name, PartNumber=2)
    assert second["Body"].read() == bodies[1] and second["PartsCount"] == 3
    assert s3.head_object(**name, PartNumber=3)["ContentLength"] == 99
    refused(("InvalidPartNumber", "416"), s3.get_object, **name, PartNumber=4)
    attributes = s3.get_object_attributes(**name, ObjectAttributes=["ETag", "ObjectSize", "ObjectParts"])
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3 and attributes["ObjectSize"] == sum(map(len, bodies))
    assert [part["Size"] for part in attributes["ObjectParts"]["Parts"]] == [len(body) for body in bodies]
    assert attributes["ETag"] == s3.head_object(**name)["ETag"].strip('"')


def check_multipart_refusals(bucket):
    name = {"Bucket": bucket, "Key": "k"}
    upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
    for number in [0, 10_001, -1]:
        refused("InvalidArgument", s3.upload_part, **upload, PartNumber=number, Body=b"x")
    other = {**upload, "Key": "other"}
    refused("NoSuchUpload", s3.upload_part, **other, PartNumber=1, Body=b"x")
    refused("NoSuchUpload", s3.upload_part, **{**upload, "UploadId": "nonsense"}, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(**upload)
    refused("NoSuchUpload", s3.abort_multipart_upload, **upload)
    refused("NoSuchUpload", s3.complete_multipart_upload, **upload, MultipartUpload=parts_of((1, {"ETag": "x"})))
    upload["UploadId"] = s3.create_multipart_upload(**name)["UploadId"]
    row = s3.upload_part(**upload, PartNumber=1, Body=b"x")
    many = {"Parts": [{"PartNumber": n, "ETag": "x"} for n in range(1, 10_002)]}
    refused("MalformedXML", s3.complete_multipart_upload, **upload, MultipartUpload=many)
    s3.put_object(**name, Body=b"there")
    one = parts_of((1, row))
    refused("PreconditionFailed", s3.complete_multipart_upload, **upload, MultipartUpload=one, IfNoneMatch="*")
    refused("PreconditionFailed", s3.complete_multipart_upload, **upload, MultipartUpload=one, IfMatch='"x"')
    etag = s3.head_object(**name)["ETag"]
    s3.complete_multipart_upload(**upload, MultipartUpload=one, IfMatch=etag)
    assert body_of(**{"bucket": bucket, "key": "k"}) == b"x"
    s3.create_multipart_upload(Bucket=bucket, Key="left")
    s3.delete_object(**name)
    s3.delete_bucket(Bucket=bucket)


def check_pages_of_uploads(bucket):
    keys = ["a", "a", "b/1", "b/2", "c"]
    for key in keys:
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    for size in [1, 2, 5, 6]:
        for kwargs, expected in [({}, keys), ({"Delimiter": "/"}, ["a", "a", "b/", "c"]), ({"Prefix": "b/"}, keys[2:4])]:
            found, marker = [], {}
            while True:
                page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=size, **kwargs, **marker)
                names = [one["Key"] for one in page.get("Uploads", [])]
                names += [one["Prefix"] for one in page.get("CommonPrefixes", [])]
                assert len(names) <= size
                found += sorted(names)
                if not page["IsTruncated"]:
                    break
                marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}
            assert found == expected, (size, kwargs, found)


def check_complete_races_abort(bucket):
    name = {"Bucket": bucket, "Key": "k"}
    for _ in range(10):
        s3.delete_object(**name)
        upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
        row = s3.upload_part(**upload, PartNumber=1, Body=b"x")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = pool.submit(outcome, s3.complete_multipart_upload, **upload, MultipartUpload=parts_of((1, row)))
            aborted = pool.submit(outcome, s3.abort_multipart_upload, **upload)
        pair = (done.result(), aborted.result())
        assert pair in [("done", "NoSuchUpload"), ("NoSuchUpload", "done")], pair
        there = outcome(s3.head_object, **name) == "done"
        assert there == (pair[0] == "done")


def check_copied_parts(bucket):
    body = noise(12 * MIB)
    s3.put_object(Bucket=bucket, Key="s", Body=body)
    source = {"Bucket": bucket, "Key": "s"}
    name = {"Bucket": bucket, "Key": "t"}
    upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
    copy = lambda number, **kwargs: s3.upload_part_copy(**upload, PartNumber=number, CopySource=source, **kwargs)
    one = copy(1, CopySourceRange=f"bytes=100-{PART + 99}")["CopyPartResult"]
    two = copy(2)["CopyPartResult"]
    assert two["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    three = s3.upload_part(**upload, PartNumber=3, Body=b"end")
    for odd in ["bytes=0-", "bytes=9-5", "0-5", "bytes=-5"]:
        refused("InvalidArgument", copy, 4, CopySourceRange=odd)
    refused("InvalidRange", copy, 4, CopySourceRange=f"bytes=0-{len(body)}")
    refused("PreconditionFailed", copy, 4, CopySourceIfMatch='"x"')
    s3.complete_multipart_upload(**upload, MultipartUpload=parts_of((1, one), (2, two), (3, three)))
    assert body_of(bucket, "t") == body[100 : PART + 100] + body + b"end"


def check_managed_transfers(bucket):
    """The transfer manager: parallel parts, a multipart copy, checksums of its own."""
    body = noise(40 * MIB + 5)
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "k", Config=config)
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", Config=config)
    for key in ["k", "copy"]:
        into = io.BytesIO()
        s3.download_fileobj(bucket, key, into, Config=config)
        assert into.getvalue() == body, key


# --- checksums -------------------------------------------------------------------------------------------------------

ALGORITHMS = {
    "CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "SHA1": lambda body: hashlib.sha1(body).digest(),
    "SHA256": lambda body: hashlib.sha256(body).digest(),
}


def algorithms():
    try:
        import awscrt.checksums as crt

        ALGORITHMS["CRC32C"] = lambda body: crt.crc32c(body).to_bytes(4, "big")
        ALGORITHMS["CRC64NVME"] = lambda body: crt.crc64nvme(body).to_bytes(8, "big")
    except (ImportError, AttributeError):
        pass
    return ALGORITHMS.items()


def check_checksums_of_bodies(bucket):
    body = noise(200_000)
    for algorithm, compute in algorithms():
        field, expected = f"Checksum{algorithm}", base64.b64encode(compute(body)).decode()
        put = s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm=algorithm)
        assert put[field] == expected and put["ChecksumType"] == "FULL_OBJECT", put
        found = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert found["Body"].read() == body and found[field] == expected
        head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert head[field] == expected and head["ChecksumType"] == "FULL_OBJECT"
        attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum"])
        assert attributes["Checksum"][field] == expected
        # Without asking for it, and for a part of it, there is none.
        plain = client(response_checksum_validation="when_required")
        assert field not in plain.get_object(Bucket=bucket, Key="k")
        assert field not in s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", Range="bytes=0-1")
        wrong = base64.b64encode(compute(body + b"x")).decode()
        error = refused("BadDigest", s3.put_object, Bucket=bucket, Key="bad", Body=body, **{field: wrong})
        assert status_of(error) == 400
        refused("BadDigest", s3.put_object, Bucket=bucket, Key="bad", Body=body, **{field: "AAAA"})
    refused("404", s3.head_object, Bucket=bucket, Key="bad")


def check_content_md5(bucket):
    body = noise(17 * MIB)
    md5 = lambda body: base64.b64encode(hashlib.md5(body).digest()).decode()
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, ContentMD5=md5(body))
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', "a client that gives the MD5 gets it as the tag"
    refused("BadDigest", s3.put_object, Bucket=bucket, Key="bad", Body=body, ContentMD5=md5(b""))
    refused("InvalidDigest", s3.put_object, Bucket=bucket, Key="bad", Body=body, ContentMD5="zzz")
    name = {"Bucket": bucket, "Key": "m"}
    upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
    refused("BadDigest", s3.upload_part, **upload, PartNumber=1, Body=body, ContentMD5=md5(b""))
    refused("404", s3.head_object, Bucket=bucket, Key="bad")


def check_checksums_of_parts(bucket):
    bodies = [noise(PART, 1), noise(1000, 2)]
    whole = b"".join(bodies)
    kinds = {"CRC32": ["COMPOSITE", "FULL_OBJECT"], "CRC32C": ["COMPOSITE", "FULL_OBJECT"], "CRC64NVME": ["FULL_OBJECT"]}
    for algorithm, compute in algorithms():
        field = f"Checksum{algorithm}"
        for kind in kinds.get(algorithm, ["COMPOSITE"]):
            name = {"Bucket": bucket, "Key": f"{algorithm}-{kind}"}
            begun = s3.create_multipart_upload(**name, ChecksumAlgorithm=algorithm, ChecksumType=kind)
            assert (begun["ChecksumAlgorithm"], begun["ChecksumType"]) == (algorithm, kind)
            upload = {**name, "UploadId": begun["UploadId"]}
            rows = []
            for number, body in enumerate(bodies, 1):
                row = s3.upload_part(**upload, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
                sum = base64.b64encode(compute(body)).decode()
                assert row[field] == sum
                rows.append({"PartNumber": number, "ETag": row["ETag"], field: sum})
            wrong = base64.b64encode(compute(b"wrong")).decode()
            refused("BadDigest", s3.upload_part, **upload, PartNumber=3, Body=b"right", **{field: wrong})
            listed = s3.list_parts(**upload)
            assert [one[field] for one in listed["Parts"]] == [row[field] for row in rows]
            assert listed["ChecksumType"] == kind
            complete = lambda rows, **kwargs: s3.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": rows}, **kwargs
            )
            refused("InvalidPart", complete, [rows[0], {**rows[1], field: wrong}])
            refused("BadDigest", complete, rows, **{field: wrong})
            refused("InvalidRequest", complete, rows, MpuObjectSize=17)
            if kind == "FULL_OBJECT":
                expected = base64.b64encode(compute(whole)).decode()
                done = complete(rows, ChecksumType=kind, MpuObjectSize=len(whole), **{field: expected})
            else:
                sums = b"".join(compute(body) for body in bodies)
                expected = base64.b64encode(compute(sums)).decode() + "-2"
                done = complete(rows, ChecksumType=kind)
            assert done[field] == expected and done["ChecksumType"] == kind, done
            head = s3.head_object(**name, ChecksumMode="ENABLED")
            assert head[field] == expected and head["ChecksumType"] == kind
            assert body_of(bucket, name["Key"], ChecksumMode="ENABLED") == whole
            # Each part has its own, which boto3 compares with the body.
            for number, body in enumerate(bodies, 1):
                got = s3.get_object(**name, PartNumber=number, ChecksumMode="ENABLED")
                assert got[field] == rows[number - 1][field] and got["Body"].read() == body
                assert got["PartsCount"] == 2
            wanted = {"ObjectAttributes": ["Checksum", "ObjectParts"], "MaxParts": 1}
            page = s3.get_object_attributes(**name, **wanted)["ObjectParts"]
            assert page["IsTruncated"] and page["TotalPartsCount"] == 2, page
            rest = s3.get_object_attributes(**name, **wanted, PartNumberMarker=page["NextPartNumberMarker"])
            found = [(part["PartNumber"], part["Size"], part[field]) for part in page["Parts"] + rest["ObjectParts"]["Parts"]]
            assert found == [(n, len(body), rows[n - 1][field]) for n, body in enumerate(bodies, 1)], found
    begin = lambda **kwargs: s3.create_multipart_upload(Bucket=bucket, Key="x", **kwargs)
    refused("InvalidRequest", begin, ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT")
    refused("InvalidRequest", begin, ChecksumAlgorithm="CRC64NVME", ChecksumType="COMPOSITE")


# --- framed bodies, by hand: what boto3 sends over TLS only ----------------------------------------------------------


class Framed:
    """One `aws-chunked` PUT."""

    def __init__(self, bucket, key, payload, length, headers=None):
        self.url = f"{ENDPOINT}/{bucket}/{key}"
        self.host = urllib.parse.urlsplit(ENDPOINT).netloc
        request = AWSRequest("PUT", self.url, headers={"Host": self.host, **(headers or {})})
        request.headers["x-amz-decoded-content-length"] = str(length)
        request.headers["Content-Encoding"] = "aws-chunked"
        request.context["payload"] = payload
        self.auth = PayloadAuth(payload)
        self.auth.add_auth(request)
        self.headers = dict(request.headers.items())
        self.previous = self.headers["Authorization"].rsplit("Signature=", 1)[1]
        self.scope = self.auth.credential_scope(request)
        self.date = request.context["timestamp"]

    def sign(self, kind, *hashes):
        text = "\n".join([kind, self.date, self.scope, self.previous, *hashes])
        fake = AWSRequest("PUT", self.url)
        fake.context["timestamp"] = self.date
        self.previous = self.auth.signature(text, fake)
        return self.previous

    def chunk(self, data):
        hashes = hashlib.sha256(b"").hexdigest(), hashlib.sha256(data).hexdigest()
        signature = self.sign("AWS4-HMAC-SHA256-PAYLOAD", *hashes)
        return b"%x;chunk-signature=%s\r\n%s\r\n" % (len(data), signature.encode(), data)

    def send(self, body, close=False):
        headers = {**self.headers, "Content-Length": str(len(body))}
        connection = http.client.HTTPConnection(self.host, timeout=60)
        path = urllib.parse.urlsplit(self.url).path
        connection.putrequest("PUT", path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        try:
            connection.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        response = connection.getresponse()
        return response.status, response.read()


class PayloadAuth(SigV4Auth):
    def __init__(self, payload):
        super().__init__(Credentials(ACCESS, SECRET), "s3", "us-east-1")
        self.said = payload

    def payload(self, request):
        return self.said

    def _modify_request_before_signing(self, request):
        super()._modify_request_before_signing(request)
        request.headers["X-Amz-Content-SHA256"] = self.said

    def canonical_request(self, request):
        return super().canonical_request(request)


def crc32(body):
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big"))


def check_signed_chunks(bucket):
    body = noise(150_000)
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    framed = Framed(bucket, "k", payload, len(body))
    chunks = [framed.chunk(body[at : at + 65_536]) for at in range(0, len(body), 65_536)]
    good = b"".join(chunks) + framed.chunk(b"")
    status, answer = framed.send(good)
    assert status == 200, answer
    assert body_of(bucket, "k") == body
    assert "ContentEncoding" not in s3.head_object(Bucket=bucket, Key="k")
    forged = bytearray(good)
    forged[40_000] ^= 1
    assert refused_with(framed, bytes(forged), 403, b"SignatureDoesNotMatch")
    assert refused_with(framed, b"".join(chunks), 400, b"IncompleteBody"), "the last chunk is missing"
    assert refused_with(framed, b"".join(chunks[:2]), 400, b"IncompleteBody")
    for size in [b"FFFFFFFFFFFFFFFF", b"FFFFFFFF", b"40000000", b"40001"]:
        head = size + b";chunk-signature=" + b"0" * 64 + b"\r\n"
        assert refused_with(framed, head + body, 400, b"InvalidChunkSizeError")
    assert refused_with(framed, b"xyz\r\n" + body, 400, b"InvalidRequest")
    short = Framed(bucket, "bad", payload, len(body) + 1)
    assert refused_with(short, b"".join(short.chunk(body[:1000]) for _ in range(3)) + short.chunk(b""), 400, b"IncompleteBody")
    refused("404", s3.head_object, Bucket=bucket, Key="bad")


def refused_with(framed, body, status, code):
    found = framed.send(body)
    assert found[0] == status and code in found[1], found
    return True


def check_unsigned_trailers(bucket):
    body = noise(3 * MIB)
    payload, trailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"x-amz-trailer": "x-amz-checksum-crc32"}
    framed = Framed(bucket, "k", payload, len(body), trailer)
    # One chunk as large as the body: the server must not keep it in memory.
    one = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    end = b"x-amz-checksum-crc32:%s\r\n\r\n"
    status, answer = framed.send(one + end % crc32(body))
    assert status == 200, answer
    assert body_of(bucket, "k") == body
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC32"] == crc32(body).decode()
    assert refused_with(framed, one + end % crc32(b"wrong"), 400, b"BadDigest")
    assert refused_with(framed, one + end % b"!", 400, b"BadDigest")
    assert refused_with(framed, one + b"\r\n", 400, b"InvalidRequest"), "an announced trailer must come"
    assert refused_with(framed, one[:-3], 400, b"IncompleteBody")
    long = Framed(bucket, "bad", payload, len(body) - 1, trailer)
    assert refused_with(long, one + end % crc32(body), 400, b"IncompleteBody")
    refused("404", s3.head_object, Bucket=bucket, Key="bad")


def check_signed_trailers(bucket):
    body = noise(100_000)
    payload, trailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", {"x-amz-trailer": "x-amz-checksum-crc32"}

    def send(sum, forge=False):
        framed = Framed(bucket, "k", payload, len(body), trailer)
        chunks = framed.chunk(body[:65_536]) + framed.chunk(body[65_536:]) + framed.chunk(b"")[:-2]
        line = b"x-amz-checksum-crc32:" + sum
        signature = framed.sign("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(line + b"\n").hexdigest()).encode()
        signature = b"0" * 64 if forge else signature
        return framed.send(chunks + line + b"\r\nx-amz-trailer-signature:" + signature + b"\r\n\r\n")

    status, answer = send(crc32(body))
    assert status == 200, answer
    assert body_of(bucket, "k") == body
    status, answer = send(crc32(b"wrong"))
    assert status == 400 and b"BadDigest" in answer, answer
    status, answer = send(crc32(body), forge=True)
    assert status == 403 and b"SignatureDoesNotMatch" in answer, answer


# --- signatures ------------------------------------------------------------------------------------------------------


def check_presigned_urls(bucket):
    name = {"Bucket": bucket, "Key": "dir/ü k"}
    put = s3.generate_presigned_url("put_object", Params=name, ExpiresIn=60)
    status, _, _ = fetch(put, "PUT", b"presigned")
    assert status == 200
    get = s3.generate_presigned_url("get_object", Params=name, ExpiresIn=604_800)
    assert fetch(get)[:2] == (200, b"presigned")
    assert fetch(get, headers={"Range": "bytes=0-2"})[:2] == (206, b"pre")
    changed = get[:-1] + ("0" if get[-1] != "0" else "1")
    status, body, _ = fetch(changed)
    assert status == 403 and b"SignatureDoesNotMatch" in body
    status, body, _ = fetch(s3.generate_presigned_url("get_object", Params=name, ExpiresIn=604_801))
    assert status == 400 and b"AuthorizationQueryParametersError" in body, body
    late = s3.generate_presigned_url("get_object", Params=name, ExpiresIn=1)
    time.sleep(2.5)
    status, body, _ = fetch(late)
    assert status == 403 and b"expired" in body, body
    # The holder of the URL must not be able to make another request of it.
    status, body, _ = fetch(put, "PUT", b"", headers={"x-amz-copy-source": f"{bucket}/dir/%C3%BC%20k"})
    assert status == 403 and b"AccessDenied" in body, body
    assert fetch(get, "DELETE")[0] == 403
    disposed = {**name, "ResponseContentDisposition": "attachment"}
    _, _, headers = fetch(s3.generate_presigned_url("get_object", Params=disposed))
    assert headers["Content-Disposition"] == "attachment" and headers["X-Content-Type-Options"] == "nosniff"
    head = s3.generate_presigned_url("head_object", Params=name)
    assert fetch(head, "HEAD")[0] == 200


def check_signatures(bucket):
    name = {"Bucket": bucket, "Key": "k"}
    refused("SignatureDoesNotMatch", client(secret="wrong").put_object, **name, Body=b"x")
    refused("InvalidAccessKeyId", client(access="nobody").put_object, **name, Body=b"x")
    refused("403", client(secret="wrong").head_object, **name)
    for url in [f"{ENDPOINT}/", f"{ENDPOINT}/{bucket}", f"{ENDPOINT}/{bucket}/k"]:
        status, body, _ = fetch(url)
        assert status == 403 and b"AccessDenied" in body, (url, status, body)
    assert fetch(f"{ENDPOINT}/{bucket}/k", "PUT", b"x")[0] == 403
    # A body that is not the one that was signed.
    request = AWSRequest("PUT", f"{ENDPOINT}/{bucket}/k", data=b"signed")
    auth = PayloadAuth(hashlib.sha256(b"signed").hexdigest())
    auth.add_auth(request)
    status, body, _ = fetch(request.url, "PUT", b"forged", dict(request.headers.items()))
    assert status == 400 and b"XAmzContentSHA256Mismatch" in body, body
    # A clock that is wrong.
    skewed = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=16)
    request = AWSRequest("GET", f"{ENDPOINT}/{bucket}")
    auth = PayloadAuth("UNSIGNED-PAYLOAD")
    request.context["timestamp"] = skewed.strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    auth._inject_signature_to_request(request, signature)
    status, body, _ = fetch(request.url, headers=dict(request.headers.items()))
    assert status == 403 and b"RequestTimeTooSkewed" in body, body
    refused("404", s3.head_object, **name)


def check_rights(bucket):
    """Needs keys `reader`, `writer` and `other` with the same secret; the last has rights over a bucket named `files` only."""
    if "OTHER_KEYS" not in os.environ:
        return
    reader, writer, other = client(access="reader"), client(access="writer"), client(access="other")
    name = {"Bucket": bucket, "Key": "k"}
    writer.put_object(**name, Body=b"written")
    assert reader.get_object(**name)["Body"].read() == b"written"
    reader.head_object(**name)
    source = {"CopySource": name, "Bucket": bucket, "Key": "copy"}
    for call, kwargs in [
        (reader.put_object, {**name, "Body": b""}),
        (reader.delete_object, name),
        (reader.copy_object, source),
        (reader.list_objects_v2, {"Bucket": bucket}),
        (reader.create_multipart_upload, name),
        (reader.delete_bucket, {"Bucket": bucket}),
        (reader.create_bucket, {"Bucket": f"{bucket}-new"}),
        (writer.get_object, name),
        (writer.copy_object, source),
        (writer.get_object_attributes, {**name, "ObjectAttributes": ["ETag"]}),
        (writer.list_multipart_uploads, {"Bucket": bucket}),
        (other.put_object, {**name, "Body": b""}),
        (other.get_bucket_location, {"Bucket": bucket}),
        (other.delete_objects, {"Bucket": bucket, "Delete": {"Objects": [{"Key": "k"}]}}),
    ]:
        assert status_of(refused("AccessDenied", call, **kwargs)) == 403
    reader.head_bucket(Bucket=bucket)
    refused("403", other.head_bucket, Bucket=bucket)
    assert [one["Name"] for one in other.list_buckets()["Buckets"]] == ["files"]
    assert body_of(bucket, "k") == b"written"


def check_truncated_bodies(bucket):
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    parts = urllib.parse.urlsplit(url)
    for sent in [0, 10, 100_000]:
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 200000\r\n\r\n"
            connection.sendall(head.encode() + b"x" * sent)
    time.sleep(0.5)
    refused("404", s3.head_object, Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"the next request works")


def check_bad_documents(bucket):
    def post(path, body):
        request = AWSRequest("POST", f"{ENDPOINT}/{bucket}{path}", data=body)
        PayloadAuth(hashlib.sha256(body).hexdigest()).add_auth(request)
        return fetch(request.url, "POST", body, dict(request.headers.items()))[:2]

    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
    for body in [b"", b"<", b"<Delete>", b"<Delete/>", bomb, b"\xff\xfe", b"<Object/>" * 1000]:
        status, answer = post("?delete", body)
        assert 400 <= status < 500, (body[:40], status, answer)
    status, answer = post("?delete", b"<Delete>" + b"<Object><Key>k</Key></Object>" * 60_000 + b"</Delete>")
    assert status == 400 and b"MalformedXML" in answer, answer
    status, answer = post("?delete", b"<Delete>" + b" " * (3 * MIB) + b"</Delete>")
    assert status == 400 and b"MaxMessageLengthExceeded" in answer, answer
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer, _ = fetch(f"{ENDPOINT}/{bucket}", "POST", b"--x--", form)
    assert status == 400 and b"MalformedPOSTRequest" in answer, answer


def check_forms(bucket):
    fields = {"Content-Type": "text/plain", "success_action_status": "201"}
    conditions = [["content-length-range", 1, 5 * MIB], {"Content-Type": "text/plain"}, {"success_action_status": "201"}]
    form = s3.generate_presigned_post(bucket, "in/${filename}", fields, conditions)

    def send(body, **changes):
        lines = []
        for name, value in {**form["fields"], **changes}.items():
            lines.append(f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
        lines.append(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n')
        lines.append(body + b"\r\n--x--\r\n")
        return fetch(form["url"], "POST", b"".join(lines), {"Content-Type": "multipart/form-data; boundary=x"})

    body = noise(3 * MIB)
    status, answer, headers = send(body)
    assert status == 201 and b"<Key>in/a.txt</Key>" in answer, answer
    assert body_of(bucket, "in/a.txt") == body
    head = s3.head_object(Bucket=bucket, Key="in/a.txt")
    assert (head["ContentType"], head["ETag"]) == ("text/plain", f'"{hashlib.md5(body).hexdigest()}"')
    for code, body, changes in [
        (b"EntityTooLarge", noise(5 * MIB + 1), {}),
        (b"EntityTooSmall", b"", {}),
        (b"AccessDenied", b"1", {"key": "out"}),
        (b"AccessDenied", b"1", {"x-amz-meta-a": "b"}),
        (b"SignatureDoesNotMatch", b"1", {"x-amz-signature": "0" * 64}),
    ]:
        status, answer, _ = send(body, **changes)
        assert status in (400, 403) and code in answer, (code, status, answer)


def main():
    only = sys.argv[1:]
    checks = [(name, check) for name, check in globals().items() if name.startswith("check_")]
    failed = []
    stamp = f"{os.getpid():x}{int(time.time()):x}"
    for number, (name, check) in enumerate(checks):
        if only and not any(word in name for word in only):
            continue
        bucket = f"t{stamp}-{number}"
        s3.create_bucket(Bucket=bucket)
        begun = time.monotonic()
        try:
            check(bucket)
            print(f"ok      {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Exception:
            failed.append(name)
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(f"boto3 {boto3.__version__}: {len(failed)} failed", *failed)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
