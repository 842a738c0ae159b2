"""Sends every operation of botocore's own model of S3, and every sub-resource with every method.

What the server does not know must change nothing: after each of them a bystanding object, its bucket and an empty
bucket are as they were. Needs ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

import datetime
import http.client
import os
import sys
import urllib.parse

import boto3
from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ENDPOINT = os.environ["ENDPOINT"]
ACCESS, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
FULL, EMPTY, SCRATCH, KEY = "bystander", "bystander-empty", "scratch", "dir/object"
BODY, METADATA = b"what must stay", {"colour": "grey"}

s3 = boto3.client(
    "s3",
    endpoint_url=ENDPOINT,
    aws_access_key_id=ACCESS,
    aws_secret_access_key=SECRET,
    region_name="us-east-1",
    config=Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"max_attempts": 1},
        inject_host_prefix=False,
    ),
)

# What is meant to change something, and is sent to a bucket of its own.
CHANGES = {
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjects",
    "PutBucketAcl",
    "PutObject",
    "PutObjectAcl",
    "PutObjectTagging",
    "UploadPart",
    "UploadPartCopy",
}

# Questions that have an answer, if only that there is nothing.
ANSWERED = {
    "GetBucketAccelerateConfiguration",
    "GetBucketAcl",
    "GetBucketCors",
    "GetBucketEncryption",
    "GetBucketLifecycle",
    "GetBucketLifecycleConfiguration",
    "GetBucketLocation",
    "GetBucketLogging",
    "GetBucketNotification",
    "GetBucketNotificationConfiguration",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketReplication",
    "GetBucketRequestPayment",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetBucketWebsite",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectLegalHold",
    "GetObjectLockConfiguration",
    "GetObjectRetention",
    "GetObjectTagging",
    "GetPublicAccessBlock",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListDirectoryBuckets",
    "ListMultipartUploads",
    "ListObjectVersions",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
}

# Sub-resources that the model of this botocore may lack, and some that no server has.
KEYS = """
abac accelerate accesspoint acl allow-unordered analytics annotation annotations append attributes
bucket-region chunk cors delete delimiter encryption events fooBar id intelligent-tiering inventory legal-hold
legalhold lifecycle list-type location logging marker metadata metadataConfiguration metadataInventoryTable
metadataJournalTable metadataTable metrics notification object-lock objectAnnotation ownershipControls
partNumber policy policyStatus prefix publicAccessBlock quota rename renameObject replication requestPayment
restore retention select session syncDelete tagging torrent uploadId uploads versionId versioning versions
website wormId
""".split()

# Which of them stand for an operation, or for a parameter of the plain one, by method and level.
KNOWN = {
    ("GET", "bucket"): """accelerate acl cors delimiter encryption lifecycle list-type location logging marker
        notification object-lock ownershipControls policy policyStatus prefix publicAccessBlock replication
        requestPayment tagging uploads versioning versions website""".split(),
    ("GET", "object"): """acl attributes legal-hold partNumber retention tagging uploadId versionId""".split(),
    ("HEAD", "object"): ["partNumber", "versionId"],
    ("PUT", "bucket"): ["acl"],
    ("PUT", "object"): ["acl", "tagging"],
    ("POST", "bucket"): ["delete"],
    ("POST", "object"): ["uploadId", "uploads"],
    ("DELETE", "object"): ["tagging", "uploadId", "versionId"],
}


def state():
    """All that a bystander can be asked for."""
    found = s3.get_object(Bucket=FULL, Key=KEY)
    answer = {
        "buckets": [one["Name"] for one in s3.list_buckets()["Buckets"] if one["Name"] != SCRATCH],
        "body": found["Body"].read(),
    }
    for name in ["ETag", "LastModified", "Metadata", "ContentType"]:
        answer[name] = found[name]
    for bucket in [FULL, EMPTY]:
        objects = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        answer[bucket] = [(one["Key"], one["ETag"], one["LastModified"]) for one in objects]
        answer[f"{bucket} uploads"] = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        answer[f"{bucket} grants"] = s3.get_bucket_acl(Bucket=bucket)["Grants"]
    return answer


def fill(shape, name, names):
    """The least that a shape takes."""
    if name in names:
        return names[name]
    if shape.type_name == "structure":
        wanted = {member for member in shape.required_members}
        payload = shape.serialization.get("payload")
        if payload:
            wanted.add(payload)
        if getattr(shape, "is_tagged_union", False) and not wanted:
            wanted.add(next(iter(shape.members)))
        return {member: fill(shape.members[member], member, names) for member in wanted}
    if shape.type_name == "list":
        return [fill(shape.member, name, names)]
    if shape.type_name == "map":
        return {"a": "b"}
    if shape.type_name in ("integer", "long"):
        return 1
    if shape.type_name == "boolean":
        return True
    if shape.type_name == "timestamp":
        return datetime.datetime(2031, 1, 2, tzinfo=datetime.timezone.utc)
    if shape.type_name == "blob":
        return b"other"
    return shape.enum[0] if getattr(shape, "enum", None) else "x" * shape.metadata.get("min", 1)


def scratch():
    """Puts the scratch bucket right and returns the names that are in it."""
    try:
        s3.create_bucket(Bucket=SCRATCH)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou", error
    s3.put_object(Bucket=SCRATCH, Key=KEY, Body=b"scratch")
    upload = s3.create_multipart_upload(Bucket=SCRATCH, Key=KEY)["UploadId"]
    return {"Bucket": SCRATCH, "Key": KEY, "UploadId": upload, "CopySource": f"{FULL}/{KEY}"}


def call(name, model, names):
    """Sends an operation; returns the code of its refusal, or None."""
    params = fill(model.input_shape, None, names) if model.input_shape else {}
    try:
        s3._make_api_call(name, params)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] < 500 or "NotImplemented" in str(error), error
        return error.response["Error"]["Code"]
    return None


def check_the_model(before):
    service = s3.meta.service_model
    tried = 0
    for name in service.operation_names:
        model = service.operation_model(name)
        if name in CHANGES:
            call(name, model, scratch())
            assert state() == before, f"{name} changed a bystander"
            tried += 1
            continue
        for bucket in [FULL, EMPTY]:
            names = {"Bucket": bucket, "Key": KEY, "UploadId": "0" * 16, "RenameSource": f"/{FULL}/{KEY}"}
            code = call(name, model, names)
            if name not in ANSWERED:
                assert code is not None, f"{name} went through"
                # It is signed for another service.
                other = {"WriteGetObjectResponse": "InvalidRequest"}
                assert code in ("NotImplemented", "501", other.get(name)), (name, code)
            assert state() == before, f"{name} ({xform_name(name)}) changed a bystander"
            tried += 1
    return tried


def send(method, path, query, headers=None, body=b""):
    """A signed request as it stands."""
    url = f"{ENDPOINT}{urllib.parse.quote(path)}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, data=body, headers=headers or {})
    request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    signer = SigV4Auth(Credentials(ACCESS, SECRET), "s3", "us-east-1")
    # S3 signs the path as it is.
    signer._normalize_url_path = lambda path: path
    signer.payload = lambda request: "UNSIGNED-PAYLOAD"
    signer.add_auth(request)
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(ENDPOINT).netloc, timeout=60)
    try:
        target = urllib.parse.urlsplit(request.url)
        connection.putrequest(method, f"{target.path}?{target.query}" if query else target.path, skip_host=True)
        for name, value in [("Host", target.netloc), *request.headers.items(), ("Content-Length", str(len(body)))]:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def escaped(key):
    return f"%{ord(key[0]):02X}{key[1:]}"


def check_the_keys(before):
    tried = 0
    assert send("GET", f"/{FULL}/{KEY}", "")[0] == 200, "the requests of this test are not signed well"
    for key in KEYS:
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE"]:
            for level, path in [("bucket", f"/{EMPTY}"), ("bucket", f"/{FULL}"), ("object", f"/{FULL}/{KEY}")]:
                if key in KNOWN.get((method, level), []):
                    continue
                queries = [f"{key}=", f"{escaped(key)}="] + [f"{key}=1"] * (method in ("PUT", "POST", "DELETE"))
                for query in queries:
                    status, text = send(method, path, query, body=b"other")
                    assert status == 501, (method, path, query, status, text)
                    assert method == "HEAD" or key in text, (method, path, query, text)
                    tried += 1
        assert state() == before, f"?{key} changed a bystander"
    return tried


def check_two_at_once(before):
    """Together they are none of the operations that each of them is alone."""
    upload = "0" * 16
    tried = 0
    for method, path, query in [
        ("DELETE", f"/{FULL}/{KEY}", f"acl=&uploadId={upload}"),
        ("DELETE", f"/{FULL}/{KEY}", f"partNumber=1&uploadId={upload}"),
        ("DELETE", f"/{FULL}/{KEY}", f"tagging=&uploadId={upload}"),
        ("DELETE", f"/{FULL}/{KEY}", "versionId=null&versionId=null"),
        ("DELETE", f"/{FULL}/{KEY}", "fooBar=&x-id=DeleteObject"),
        ("DELETE", f"/{FULL}/{KEY}", "x-id=DeleteObjectAnnotation"),
        ("DELETE", f"/{EMPTY}", "x-id=DeleteBucketPolicy"),
        ("GET", f"/{FULL}", "acl=&policy="),
        ("GET", f"/{FULL}", "list-type=2&versions="),
        ("GET", f"/{FULL}/{KEY}", "acl=&tagging="),
        ("POST", f"/{FULL}/{KEY}", f"uploadId={upload}&uploads="),
        ("PUT", f"/{FULL}/{KEY}", "partNumber=1"),
        ("PUT", f"/{FULL}/{KEY}", f"uploadId={upload}"),
        ("PUT", f"/{FULL}/{KEY}", f"partNumber=1&partNumber=2&uploadId={upload}"),
        ("PUT", f"/{FULL}/{KEY}", f"acl=&partNumber=1&uploadId={upload}"),
        ("PUT", f"/{FULL}/{KEY}", "x-id=RenameObject"),
        ("PATCH", f"/{FULL}/{KEY}", ""),
        ("OPTIONS", f"/{FULL}/{KEY}", ""),
    ]:
        status, text = send(method, path, query, body=b"other")
        assert status in (400, 405, 501), (method, path, query, status, text)
        assert state() == before, f"{method} {path}?{query} changed a bystander"
        tried += 1
    return tried


def main():
    for bucket in [FULL, EMPTY]:
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=FULL, Key=KEY, Body=BODY, Metadata=METADATA, ContentType="text/x-stone")
    before = state()
    assert before["body"] == BODY and before["Metadata"] == METADATA
    failed = 0
    for check in [check_the_model, check_the_keys, check_two_at_once]:
        try:
            print(f"ok      {check.__name__}: {check(before)} requests", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED  {check.__name__}: {error}", flush=True)
    print(f"boto3 {boto3.__version__}: {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
