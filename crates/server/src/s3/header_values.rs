//! The values of a request's `x-amz-…` headers: none that would count as no header, or as another
//! value.

use http::HeaderValue;
use s3s::{S3Error, S3ErrorCode};

use super::acl::owner;
use super::checksums::KEPT;
use super::errors::{error, invalid};
use super::queries::{is_number, shown};
use crate::digest::Algorithm;

/// Where nothing is as good as no header, or is judged with the other values.
const MAY_BE_EMPTY: &[&str] = &["x-amz-acl", "x-amz-storage-class", "x-amz-tagging"];
/// Where other characters than those of ASCII are read.
const MAY_BE_UNICODE: &[&str] = &["x-amz-copy-source"];

/// Refuses a value that would count as none, or as another one.
pub(super) fn check(name: &str, value: &HeaderValue) -> Result<(), S3Error> {
    let Ok(text) = value.to_str() else {
        if MAY_BE_UNICODE.contains(&name) {
            return Ok(());
        }
        return Err(match name {
            "x-amz-expected-bucket-owner" | "x-amz-source-expected-bucket-owner" => {
                another_owner(name)
            }
            _ => invalid(format!("the header {name} is not ASCII")),
        });
    };
    let among = |values: &[&str]| {
        let fits = values.contains(&text);
        if fits {
            Ok(())
        } else {
            Err(invalid(format!("the header {name} is {} here", values.join(" or "))))
        }
    };
    match name {
        "x-amz-expected-bucket-owner" | "x-amz-source-expected-bucket-owner" => {
            if owner().id.as_deref() == Some(text) { Ok(()) } else { Err(another_owner(name)) }
        }
        _ if text.is_empty() && !MAY_BE_EMPTY.contains(&name) => {
            Err(invalid(format!("the header {name} is empty")))
        }
        "x-amz-decoded-content-length"
        | "x-amz-if-match-size"
        | "x-amz-max-parts"
        | "x-amz-mp-object-size"
        | "x-amz-part-number-marker" => {
            let bad = || invalid(format!("the header {name} is a number, in digits only"));
            if is_number(text) { Ok(()) } else { Err(bad()) }
        }
        "x-amz-bypass-governance-retention" => among(&["true", "false"]),
        // The SDK for C++ writes it in small letters.
        "x-amz-checksum-mode" => among(&["ENABLED", "enabled"]),
        "x-amz-checksum-type" => among(&["FULL_OBJECT", "COMPOSITE"]),
        "x-amz-object-ownership" => among(&["BucketOwnerEnforced"]),
        "x-amz-optional-object-attributes" => among(&["RestoreStatus"]),
        "x-amz-object-attributes" => {
            const KNOWN: [&str; 5] =
                ["Checksum", "ETag", "ObjectParts", "ObjectSize", "StorageClass"];
            match text.split(',').map(str::trim).find(|wanted| !KNOWN.contains(wanted)) {
                Some(wanted) => {
                    Err(invalid(format!("{name} names {}, which is no attribute", shown(wanted))))
                }
                None => Ok(()),
            }
        }
        "x-amz-request-payer" => among(&["requester"]),
        "x-amz-checksum-algorithm" | "x-amz-sdk-checksum-algorithm" => {
            algorithm(text).map(drop).ok_or_else(|| unknown_algorithm(name, text))
        }
        "x-amz-trailer" => check_trailers(text),
        _ => Ok(()),
    }
}

fn another_owner(name: &str) -> S3Error {
    let hint = format!("{name} names another owner: buckets here belong to `drystone`");
    error(S3ErrorCode::AccessDenied, hint)
}

/// One that the server can verify, by its name.
fn algorithm(text: &str) -> Option<Algorithm> {
    KEPT.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
}

fn unknown_algorithm(name: &str, text: &str) -> S3Error {
    let known: Vec<&str> = KEPT.iter().map(|algorithm| algorithm.name()).collect();
    let hint = format!("{name} names {}; the server knows {}", shown(text), known.join(", "));
    error(S3ErrorCode::NotImplemented, hint)
}

/// Trailers that are announced are checksums, and each of them once.
fn check_trailers(text: &str) -> Result<(), S3Error> {
    let mut seen: Vec<Algorithm> = Vec::new();
    for name in text.split(',').map(str::trim) {
        let known =
            KEPT.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(name));
        match known {
            Some(algorithm) if !seen.contains(&algorithm) => seen.push(algorithm),
            Some(_) => return Err(invalid(format!("x-amz-trailer names {} twice", shown(name)))),
            None => return Err(unknown_algorithm("x-amz-trailer", name)),
        }
    }
    Ok(())
}
