//! A good client whose requests and answers are documents: lists, deletes, completions.
//!
//! It comes from an address of its own: clients with one key and one address take turns with each
//! other, and this one must not wait for the others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::client::{Address, Healthy, Timings, bare_head, head};
use super::sigv4::presigned;

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

pub(super) fn work_until(address: &Address, is_over: &AtomicBool) -> Result<Timings> {
    let mut asking = Asking { client: Healthy::from(address, FROM), round: 0 };
    // Relaxed: a flag. No other data is published through it.
    while !is_over.load(Ordering::Relaxed) {
        asking.list_and_delete(is_over)?;
        if !is_over.load(Ordering::Relaxed) {
            asking.complete()?;
        }
        asking.round += 1;
    }
    Ok(asking.client.into_timings())
}

struct Asking<'a> {
    client: Healthy<'a>,
    round: usize,
}

impl Asking<'_> {
    fn list_and_delete(&mut self, is_over: &AtomicBool) -> Result<()> {
        let name = format!("asked-{}", self.round % 8);
        if self.client.counted(&head("PUT", &name, 4), b"here", 201).is_none() {
            return Ok(());
        }
        let listed = self.ask("GET", "/storm", "list-type=2&max-keys=10&prefix=asked-", "", 200)?;
        if is_over.load(Ordering::Relaxed) || listed.is_none() {
            return Ok(());
        }
        let body = format!("<Delete><Object><Key>{name}</Key></Object></Delete>");
        self.ask("POST", "/storm", "delete=", &body, 200)?;
        Ok(())
    }

    fn complete(&mut self) -> Result<()> {
        let path = format!("/storm/completed-{}", self.round % 8);
        let Some(begun) = self.ask("POST", &path, "uploads=", "", 200)? else { return Ok(()) };
        let text = String::from_utf8_lossy(&begun).into_owned();
        let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<'));
        let Some((id, _)) = id else { return self.client.is_refused() };
        let query = format!("partNumber=1&uploadId={id}");
        if self.ask("PUT", &path, &query, "a part", 200)?.is_none() {
            return Ok(());
        }
        let Some(tag) = self.client.etag() else { return self.client.is_refused() };
        let part = format!("<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>");
        let body = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
        self.ask("POST", &path, &format!("uploadId={id}"), &body, 200)?;
        Ok(())
    }

    fn ask(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        body: &str,
        expected: u16,
    ) -> Result<Option<Vec<u8>>> {
        let target = presigned(method, path, query, &[])?;
        let head = bare_head(method, &target, body.len() as u64, "");
        Ok(self.client.counted(&head, body.as_bytes(), expected))
    }
}
