//! Folders and buckets as a page or as JSON, a bounded number of entries at a time.

use std::ops::Bound;

use drystone_edge::Fault;
use drystone_edge::gate::Turn;
use drystone_store::{BucketName, Listed, Store};
use drystone_sync::PlainArc;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::Serialize;

use super::condition::Conditions;
use super::errors::Error;
use super::page::{Offers, html};
use super::understood::{Query, bad};
use super::{Files, headers};
use crate::access::{Right, Who, may};
use crate::face::Answer;
use crate::front::accepts_html;
use crate::listing::page_within;
use crate::meta;
use crate::request_body::RequestBody;

/// Entries of a page.
const PAGE: usize = 1000;
#[derive(Serialize)]
pub(super) struct Page {
    pub(super) bucket: Option<String>,
    pub(super) prefix: String,
    pub(super) entries: Vec<Entry>,
    /// Give it back as `?from=` for the next page.
    pub(super) next: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Entry {
    Bucket { name: String, public: bool },
    Folder { name: String },
    Object { name: String, size: u64, etag: String, modified: String },
}

impl Files {
    pub(super) async fn list_buckets(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
    ) -> Result<Answer, Error> {
        let Who::Key(key) = who else { return Err(crate::access::Refused::KeyNeeded.into()) };
        Conditions::read(request.headers())?.of_a_page()?;
        let query = Query::read(request, &["from", "format"])?;
        let json = wants_json(request, &query)?;
        let from = query.get("from").map(BucketName::new).transpose()?;
        let turn = self.engine.edge.turn_for_document(&who.share(request.extensions())).await?;
        let rows =
            self.engine.edge.call(move |store: &Store| store.buckets(from.as_ref(), PAGE)).await?;
        let next = (rows.len() == PAGE)
            .then(|| rows.last().map(|row| row.name.as_str().to_owned()))
            .flatten();
        let seen = rows.into_iter().filter(|row| may(key, Right::List, Some(&row.name)));
        let entries = seen
            .map(|row| Entry::Bucket { name: row.name.as_str().to_owned(), public: row.public })
            .collect();
        let offers = Offers { limits: may(key, Right::Admin, None), ..Offers::default() };
        let page = Page { bucket: None, prefix: String::new(), entries, next };
        self.page(request, json, page, offers, turn).await
    }

    pub(super) async fn folder(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
        bucket: BucketName,
        prefix: String,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::List, Some(&bucket)).await?;
        Conditions::read(request.headers())?.of_a_page()?;
        let query = Query::read(request, &["archive", "from", "format"])?;
        if let Some(kind) = query.get("archive") {
            if query.get("from").or(query.get("format")).is_some() {
                return Err(bad(
                    "an archive is of the whole folder: the query has nothing but `archive`",
                ));
            }
            self.engine.allow(who, Right::Read, Some(&bucket)).await?;
            return self
                .archive(request, who.share(request.extensions()), bucket, prefix, kind)
                .await;
        }
        let json = wants_json(request, &query)?;
        let from = query.get("from").map_or(Ok(Bound::Unbounded), bound_of_token)?;
        let turn = self.engine.edge.turn_for_document(&who.share(request.extensions())).await?;
        let page = {
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            let list = move |store: &Store| page_within(store, &bucket, &prefix, "/", from, PAGE);
            self.engine.edge.call(list).await?
        };
        if page.entries.is_empty() {
            self.need_folder(&bucket, &prefix).await?;
        }
        let name = |key: &str| key.strip_prefix(&prefix).unwrap_or(key).to_owned();
        let entry = |listed: &Listed| match listed {
            Listed::Folder(folder) => Entry::Folder { name: name(folder) },
            Listed::Object(object) => Entry::Object {
                name: name(object.key.as_str()),
                size: object.size,
                etag: meta::etag(object),
                modified: httpdate::fmt_http_date(headers::modified(object)),
            },
        };
        // A folder's own entry, which `put` makes, is the page itself.
        let is_own = |listed: &&Listed| matches!(listed, Listed::Object(object) if object.key.as_str() == prefix && object.size == 0);
        let entries = page.entries.iter().filter(|listed| !is_own(listed)).map(entry).collect();
        let next = page.next.and_then(token_of_bound);
        let offers = match who {
            Who::Key(key) => Offers {
                upload: may(key, Right::Write, Some(&bucket)),
                archive: may(key, Right::Read, Some(&bucket)),
                limits: may(key, Right::Admin, None),
            },
            Who::Anonymous => Offers::default(),
        };
        let page = Page { bucket: Some(bucket.as_str().to_owned()), prefix, entries, next };
        self.page(request, json, page, offers, turn).await
    }

    async fn page(
        &self,
        request: &Request<RequestBody>,
        json: bool,
        page: Page,
        offers: Offers,
        turn: Turn,
    ) -> Result<Answer, Error> {
        let kind = if json { "application/json" } else { "text/html; charset=utf-8" };
        let (engine, is_head) = (PlainArc::clone(&self.engine), request.method() == Method::HEAD);
        let make = async move {
            let text = match json {
                _ if is_head => String::new(),
                true => serde_json::to_string(&page).map_err(|_| Fault::Internal)?,
                false => html(&page, offers),
            };
            Ok::<_, Fault>(engine.edge.answer(text.into(), turn).await)
        };
        let mut response = Response::new(self.engine.make(make).await??);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        Ok(response)
    }

    /// A folder is there as long as a key is in it; a bucket is one even when it is empty.
    pub(super) async fn need_folder(&self, bucket: &BucketName, prefix: &str) -> Result<(), Error> {
        let (bucket, prefix) = (bucket.clone(), prefix.to_owned());
        let shown = prefix.escape_debug().to_string();
        let is_folder = self.engine.edge.call(move |store: &Store| {
            // An unknown bucket is an error in any case.
            Ok(!store.list(&bucket, &prefix, Bound::Unbounded, 1)?.is_empty() || prefix.is_empty())
        });
        match is_folder.await? {
            true => Ok(()),
            false => {
                Err(Error::Status(StatusCode::NOT_FOUND, format!("there is no folder `{shown}`")))
            }
        }
    }
}

/// Where a listing goes on, as text: `>` behind the key, `=` at it.
fn token_of_bound(bound: Bound<String>) -> Option<String> {
    match bound {
        Bound::Unbounded => None,
        Bound::Included(key) => Some(format!("={key}")),
        Bound::Excluded(key) => Some(format!(">{key}")),
    }
}

fn bound_of_token(token: &str) -> Result<Bound<String>, Error> {
    match token.split_at_checked(1) {
        Some(("=", key)) => Ok(Bound::Included(key.to_owned())),
        Some((">", key)) => Ok(Bound::Excluded(key.to_owned())),
        _ => Err(bad("the query `from` is the `next` of the page before")),
    }
}

fn wants_json(request: &Request<RequestBody>, query: &Query) -> Result<bool, Error> {
    Ok(query.wants_json()?.unwrap_or_else(|| !accepts_html(request.headers())))
}
