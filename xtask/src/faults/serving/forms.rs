//! Uploads by HTML forms: plain ones below `/_/files/`, and those of S3 with a signed policy.

use anyhow::Result;

use super::client::{bare_head, head_of};
use super::crowd::{Owed, Pace, Script};
use super::scripts::{KB, MIB, UPLOAD_PACE, get};
use super::sigv4::signed_policy;
use super::stock::unique;

const BOUNDARY: &str = "----crowd";

/// The body of a form with these fields and a file behind them.
fn body(fields: &[(&str, String)], name: &str, file: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(file.len() + 2_000);
    for (field, value) in fields {
        let part = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
        );
        body.extend_from_slice(part.as_bytes());
    }
    let part = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    body.extend_from_slice(part.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn form(is_signed: bool, name: &str, file: &[u8]) -> Result<Script> {
    let kind = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
    let (head, body) = if is_signed {
        let key = [("key", name.to_owned())];
        let fields: Vec<_> = key.into_iter().chain(signed_policy("storm")?).collect();
        let body = body(&fields, name, file);
        (bare_head("POST", "/storm", body.len() as u64, &kind), body)
    } else {
        let body = body(&[], name, file);
        (head_of("POST", "/_/files/storm/", body.len() as u64, &kind), body)
    };
    let bytes = body.len() as u64;
    Ok(Script { filler: body.into(), body_bytes: bytes, ..get(head) })
}

/// Forms of both kinds over honest slow lines. So few of them have a signed policy that none has to
/// be turned away: a form waits in a short queue until its policy is known.
pub(super) fn honest_forms(count: usize) -> Result<Vec<Script>> {
    let script = |index: usize| -> Result<Script> {
        let name = format!("form-{index}");
        Ok(Script {
            send: Pace::of(UPLOAD_PACE),
            owed: Owed::ANSWER,
            ..form(index.is_multiple_of(8), &name, &unique(MIB as usize)?)?
        })
    };
    (0..count).map(script).collect()
}

/// Forms that come so slowly that even their fields take a while. A form whose policy is not known
/// yet may be turned away.
pub(super) fn slow_forms(count: usize) -> Result<Vec<Script>> {
    let file = unique(MIB as usize)?;
    let both = [false, true].map(|is_signed| form(is_signed, "slow-form", &file));
    let mut scripts = Vec::new();
    for (script, owed) in both.into_iter().zip([Owed::PLACE, Owed::NOTHING]) {
        scripts.push(Script { send: Pace::of(KB), owed, ..script? });
    }
    Ok(scripts.iter().cycle().take(count).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_ends_with_its_file() {
        let body = body(&[("key", "a".to_owned())], "f", b"bytes");
        let text = String::from_utf8(body).expect("text");
        let expected = "------crowd\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\na\r\n\
             ------crowd\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\
             Content-Type: application/octet-stream\r\n\r\nbytes\r\n------crowd--\r\n";
        assert_eq!(text, expected);
    }
}
