//! The largest request of each route of both faces. One that was added to a table of the server and
//! is not here fails the test.

use drystone_limits::constants::*;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::common::{ACCESS, SECRET, head, noise};
use super::contents::{Contents, key};
use super::sigv4::Signing;

/// Buffers of the server under test.
const BUFFERS_BYTES: u64 = 6 * (256 << 10);

/// What pays for an answer, beside its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pays {
    /// Rows that a call looks up.
    Call,
    /// A turn in which an archive looks up its files.
    Archive,
    /// A turn among the documents.
    Document,
    /// A turn among uploads or downloads, and buffers.
    Bytes,
    /// A form's place, and then as an upload.
    Form,
}

impl Pays {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Call => CALL_BYTES,
            Self::Archive => ARCHIVE_BYTES,
            Self::Document => WIDE_CONNECTION_BYTES + DOCUMENT_BYTES,
            Self::Bytes => {
                WIDE_CONNECTION_BYTES + UPLOAD_BYTES.max(LARGE_ANSWER_BYTES) + BUFFERS_BYTES
            }
            Self::Form => FORM_BYTES + WIDE_CONNECTION_BYTES + UPLOAD_BYTES + BUFFERS_BYTES,
        }
    }

    /// What may stay with a client that does not read: nothing of a turn or a call.
    pub(crate) fn held_bytes(self, asks_long: bool) -> u64 {
        let large = if self == Self::Bytes { LARGE_ANSWER_BYTES } else { 0 };
        let wide = if asks_long { WIDE_CONNECTION_BYTES } else { 0 };
        CONNECTION_BYTES + wide + large
    }
}

/// A request, ready to be sent.
pub(crate) struct Ask {
    pub(crate) pays: Pays,
    /// What the answer may begin with.
    pub(crate) status: &'static [u16],
    pub(crate) bytes: Vec<u8>,
}

/// A signed request of S3.
fn s3(
    pays: Pays,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    status: &'static [u16],
) -> Ask {
    let sent = Signing::now(method, path, headers).headers();
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let head = head(None, method, path, &sent, Some(body.len()));
    Ask { pays, status, bytes: [head.as_bytes(), body].concat() }
}

fn plain(
    pays: Pays,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
    status: &'static [u16],
) -> Ask {
    let head = head(Some((ACCESS, SECRET)), method, path, headers, body.map(<[u8]>::len));
    Ask { pays, status, bytes: [head.as_bytes(), body.unwrap_or_default()].concat() }
}

fn encoded(key: &drystone_store::Key) -> String {
    utf8_percent_encode(key.as_str(), NON_ALPHANUMERIC).to_string()
}

/// The largest requests of an operation.
pub(crate) fn of_operation(name: &str, contents: &Contents) -> Vec<Ask> {
    use Pays::{Bytes, Call, Document};
    let (ok, odd) = (&[200][..], encoded(&key(0, '"')));
    let get = |path: &str| vec![s3(Call, "GET", path, &[], b"", &[200, 400, 404])];
    let list = |path: &str| s3(Document, "GET", path, &[], b"", ok);
    let long = format!("/quotes/{odd}");
    match name {
        "ListBuckets" => vec![list("/"), list("/?max-buckets=10000"), list("/?max-buckets=1000")],
        "ListObjects" => vec![list("/quotes"), list("/controls?encoding-type=url")],
        "ListObjectsV2" => {
            vec![
                list("/quotes?fetch-owner=true&list-type=2"),
                list("/controls?encoding-type=url&list-type=2"),
            ]
        }
        "ListObjectVersions" => {
            vec![list("/quotes?versions="), list("/controls?encoding-type=url&versions=")]
        }
        "ListMultipartUploads" => {
            vec![list("/uploads?uploads="), list("/uploads?encoding-type=url&uploads=")]
        }
        "ListParts" => vec![list(&format!("/files/parts?uploadId={:016x}", contents.upload.0))],
        "GetObjectAttributes" => {
            let wanted =
                [("x-amz-object-attributes", "ETag,Checksum,ObjectParts,StorageClass,ObjectSize")];
            vec![s3(Document, "GET", "/files/many-parts?attributes=", &wanted, b"", ok)]
        }
        "DeleteObjects" => {
            let objects = |version: &str| -> String {
                let object = |number| {
                    let key = key(number, '"');
                    format!("<Object><Key>{}</Key>{version}</Object>", key.as_str())
                };
                (0..1000).map(object).collect()
            };
            // None of them can be: then each has an error. Nothing is deleted.
            let failing = format!("<Delete>{}</Delete>", objects("<VersionId>other</VersionId>"));
            let absent = format!("<Delete>{}</Delete>", objects(""));
            vec![
                s3(Document, "POST", "/quotes?delete=", &[], failing.as_bytes(), ok),
                s3(Document, "POST", "/uploads?delete=", &[], absent.as_bytes(), ok),
            ]
        }
        "CompleteMultipartUpload" => {
            let path = format!("/files/parts?uploadId={:016x}", contents.upload.0);
            vec![s3(Document, "POST", &path, &[], contents.completion.as_bytes(), ok)]
        }
        "GetBucketAccelerateConfiguration" => get("/files?accelerate="),
        "GetBucketAcl" => get("/files?acl="),
        "GetBucketCors" => get("/files?cors="),
        "GetBucketEncryption" => get("/files?encryption="),
        "GetBucketLifecycleConfiguration" => get("/files?lifecycle="),
        "GetBucketLocation" => get("/files?location="),
        "GetBucketLogging" => get("/files?logging="),
        "GetBucketNotificationConfiguration" => get("/files?notification="),
        "GetBucketOwnershipControls" => get("/files?ownershipControls="),
        "GetBucketPolicy" => get("/files?policy="),
        "GetBucketPolicyStatus" => get("/files?policyStatus="),
        "GetBucketReplication" => get("/files?replication="),
        "GetBucketRequestPayment" => get("/files?requestPayment="),
        "GetBucketTagging" => get("/files?tagging="),
        "GetBucketVersioning" => get("/files?versioning="),
        "GetBucketWebsite" => get("/files?website="),
        "GetObjectLockConfiguration" => get("/files?object-lock="),
        "GetPublicAccessBlock" => get("/files?publicAccessBlock="),
        "HeadBucket" => vec![s3(Call, "HEAD", "/files", &[], b"", ok)],
        "CreateBucket" => vec![s3(Call, "PUT", "/new-bucket", &[], b"", ok)],
        "DeleteBucket" => vec![s3(Call, "DELETE", "/new-bucket", &[], b"", &[204])],
        "PutBucketAcl" => {
            vec![s3(Call, "PUT", "/files?acl=", &[("x-amz-acl", "private")], b"", ok)]
        }
        "GetObject" => vec![
            s3(Bytes, "GET", "/files/large", &[], b"", ok),
            s3(Bytes, "GET", &long, &[], b"", ok),
        ],
        "GetObjectAcl" => get(&format!("{long}?acl=")),
        "GetObjectLegalHold" => get(&format!("{long}?legal-hold=")),
        "GetObjectRetention" => get(&format!("{long}?retention=")),
        "GetObjectTagging" => get(&format!("{long}?tagging=")),
        "HeadObject" => vec![s3(Call, "HEAD", &long, &[], b"", ok)],
        "PutObject" => vec![
            s3(Bytes, "PUT", "/files/put", &[], &noise(8_000_000, 3), ok),
            s3(Bytes, "PUT", "/files/put", &[], b"x", ok),
        ],
        "CopyObject" => {
            vec![s3(Call, "PUT", "/files/copy", &[("x-amz-copy-source", "files/large")], b"", ok)]
        }
        "PutObjectAcl" => {
            vec![s3(Call, "PUT", &format!("{long}?acl="), &[("x-amz-acl", "private")], b"", ok)]
        }
        "PutObjectTagging" => {
            let tag = |number| {
                format!(
                    "<Tag><Key>{number}{}</Key><Value>{}</Value></Tag>",
                    "é".repeat(120),
                    "ü".repeat(250)
                )
            };
            let tags: String = (0..10).map(tag).collect();
            let document = format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
            vec![s3(Document, "PUT", "/files/part?tagging=", &[], document.as_bytes(), ok)]
        }
        "UploadPart" => {
            let path = format!("/files/parts?partNumber=1&uploadId={:016x}", contents.upload.0);
            let sum = [("x-amz-checksum-crc32", "AAAAAA==")];
            vec![s3(Bytes, "PUT", &path, &sum, &noise(8_000_000, 4), &[400])]
        }
        "UploadPartCopy" => {
            let path = format!("/files/parts?partNumber=2&uploadId={:016x}", contents.upload.0);
            vec![s3(Call, "PUT", &path, &[("x-amz-copy-source", "files/absent")], b"", &[404])]
        }
        "CreateMultipartUpload" => {
            vec![s3(Call, "POST", &format!("/files/{odd}?uploads="), &[], b"", ok)]
        }
        "DeleteObject" => vec![s3(Call, "DELETE", "/files/absent", &[], b"", &[204])],
        "DeleteObjectTagging" => vec![s3(Call, "DELETE", "/files/part?tagging=", &[], b"", &[204])],
        "AbortMultipartUpload" => {
            vec![s3(Call, "DELETE", "/files/x?uploadId=00000000000000ff", &[], b"", &[404])]
        }
        "PostObject" => vec![form()],
        _ => panic!("{name} is not walked: say here what its largest answer is"),
    }
}

/// A form with as many fields as it may have, which is refused behind them.
fn form() -> Ask {
    let field = |name: &str, value: &str| {
        format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let mut body = field("key", "\u{fc}\"<&'");
    (0..90).for_each(|number| {
        body.push_str(&field(&format!("x-amz-meta-{number}"), &"v".repeat(100)));
    });
    body.push_str(&field("policy", &"e30g".repeat(2000)));
    body.push_str("--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n");
    body.push_str(&"bytes".repeat(100_000));
    body.push_str("\r\n--X--\r\n");
    let headers = [("Content-Type", "multipart/form-data; boundary=X")];
    let head = head(None, "POST", "/files", &headers, Some(body.len()));
    Ask {
        pays: Pays::Form,
        status: &[400, 403],
        bytes: [head.as_bytes(), body.as_bytes()].concat(),
    }
}

/// The largest requests of a route below `/_/`.
pub(crate) fn of_route(path: &str, method: &str) -> Vec<Ask> {
    use Pays::{Archive, Bytes, Call, Document};
    let html = [("Accept", "text/html")];
    let ok = &[200][..];
    let page = |path: &str| {
        vec![
            plain(Document, method, path, &html, None, ok),
            plain(Document, method, &format!("{path}?format=json"), &[], None, ok),
        ]
    };
    let odd = encoded(&key(0, '"'));
    match (path, method) {
        ("/_/health/live" | "/_/health/ready", _) => vec![plain(Call, method, path, &[], None, ok)],
        ("/_/limits" | "/_/files/", _) => page(path),
        ("/_/metrics", _) => vec![plain(Document, method, path, &[], None, ok)],
        ("/_" | "/_/" | "/_/files", _) => {
            vec![plain(Call, method, path, &[], None, &[302, 307, 308, 303, 301])]
        }
        ("/_/files/BUCKET/", "GET" | "HEAD") => {
            let archive = |kind| {
                let path = format!("/_/files/small/?archive={kind}");
                plain(Bytes, method, &path, &[], None, ok)
            };
            let many = |kind| {
                let path = format!("/_/files/controls/?archive={kind}");
                plain(Archive, method, &path, &[], None, ok)
            };
            let all = ["/_/files/quotes/", "/_/files/controls/"].map(page);
            let archives = [archive("tar"), archive("zip"), many("tar"), many("zip")];
            all.into_iter().flatten().chain(archives).collect()
        }
        ("/_/files/BUCKET/FOLDER/", "GET" | "HEAD") => {
            // As deep as a key can be.
            let deep = format!("/_/files/files/{}", "a/".repeat(510));
            vec![plain(Call, method, &deep, &html, None, &[404])]
        }
        ("/_/files/BUCKET/" | "/_/files/BUCKET/FOLDER/", "POST") => {
            let mut body = String::new();
            for number in 0..20 {
                body.push_str(&format!(
                    "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{number}{}\"\r\n\r\n",
                    "&".repeat(900)
                ));
                body.push_str(&"bytes".repeat(2000));
                body.push_str("\r\n");
            }
            body.push_str("--X--\r\n");
            let headers = [("Content-Type", "multipart/form-data; boundary=X")];
            vec![plain(
                Pays::Form,
                method,
                "/_/files/files/",
                &headers,
                Some(body.as_bytes()),
                &[200, 201, 303],
            )]
        }
        ("/_/files/BUCKET/", "PUT") => {
            vec![plain(Call, method, "/_/files/another/", &[], None, &[201, 200])]
        }
        ("/_/files/BUCKET/", "DELETE") => {
            vec![plain(Call, method, "/_/files/another/", &[], None, &[204, 404])]
        }
        ("/_/files/BUCKET/KEY", "GET" | "HEAD") => vec![
            plain(Bytes, method, "/_/files/files/large", &[], None, ok),
            plain(Bytes, method, &format!("/_/files/quotes/{odd}"), &[], None, ok),
        ],
        ("/_/files/BUCKET/KEY", "PUT") => {
            let bytes = noise(8_000_000, 5);
            vec![plain(Bytes, method, "/_/files/files/put", &[], Some(&bytes), &[201])]
        }
        ("/_/files/BUCKET/KEY", "DELETE") => {
            vec![plain(Call, method, "/_/files/files/put", &[], None, &[204, 404])]
        }
        _ => panic!("{method} {path} is not walked: say here what its largest answer is"),
    }
}
