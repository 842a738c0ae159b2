//! `multipart/form-data` into a folder: each file of the form becomes an object.

use drystone_edge::answer::{Growing, ResponseBody};
use drystone_edge::fault::Fault;
use drystone_edge::gate::Share;
use drystone_store::{BucketName, Condition, Key, ObjectMeta, PutTarget, Store};
use drystone_sync::PlainArc;
use futures_util::TryStreamExt as _;
use http::header::{CONNECTION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode};
use serde::Serialize;

use super::condition::Conditions;
use super::errors::Error;
use super::fields::{BadForm, Form, FormFile};
use super::object::{body_stream, now_ns};
use super::understood::single;
use super::{Files, headers};
use crate::access::{Right, Who};
use crate::digest::{Digested, Digests, Expected, Upload};
use crate::engine::Engine;
use crate::face::{Answer, text};
use crate::front::accepts_html;
use crate::meta;
use crate::request_body::RequestBody;
use crate::writer::Writer;

#[derive(Serialize)]
struct Stored {
    key: String,
    size: u64,
    etag: String,
}

/// What became of a form, as JSON: `stored`, and `error`, if it ended before the form did. What is
/// in `stored` is stored all the same.
struct Report {
    text: Growing,
    is_empty: bool,
}

impl Report {
    fn new(engine: &PlainArc<Engine>) -> Self {
        Self { text: Growing::new(&engine.edge), is_empty: true }
    }

    async fn push(&mut self, stored: &Stored) -> Result<(), Fault> {
        let before =
            if std::mem::replace(&mut self.is_empty, false) { "{\"stored\":[" } else { "," };
        self.text.push(before).await?;
        self.text.push(&serde_json::to_string(stored).map_err(|_| Fault::Internal)?).await
    }

    async fn into_body(mut self, error: Option<String>) -> Result<ResponseBody, Fault> {
        self.text.push("]").await?;
        if let Some(error) = error {
            let error = serde_json::to_string(&error).map_err(|_| Fault::Internal)?;
            self.text.push(&format!(",\"error\":{error}")).await?;
        }
        self.text.push("}").await?;
        self.text.into_body().await
    }
}

impl Files {
    pub(super) async fn post_form(
        &self,
        request: Request<RequestBody>,
        who: &Who,
        bucket: BucketName,
        prefix: String,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::Write, Some(&bucket)).await?;
        let (head, body) = request.into_parts();
        Conditions::read(&head.headers)?.of_no_object()?;
        let writer = Writer::new(who, Right::Write, &bucket);
        let kind = single(&head.headers, &CONTENT_TYPE)?.unwrap_or_default();
        let body = self.engine.edge.admission.eviction.hurried(body_stream(body));
        let mut form = Form::new(kind, body, self.engine.edge.deadlines.get().body)?;
        {
            let bucket = bucket.clone();
            self.engine
                .edge
                .call(move |store: &Store| store.list(&bucket, "", std::ops::Bound::Unbounded, 1))
                .await?;
        }
        let mut report = Report::new(&self.engine);
        let share = writer.share(&head.extensions);
        let mut failed = None;
        loop {
            let file = match form.next_file().await {
                Ok(Some(file)) => file,
                Ok(None) => break,
                Err(bad) => {
                    failed = Some(bad.into());
                    break;
                }
            };
            let stored = self.form_file(file, &writer, share.clone(), &bucket, &prefix).await;
            let reported = match stored {
                Ok(stored) => report.push(&stored).await.map_err(Error::from),
                Err(error) => Err(error),
            };
            match reported {
                Ok(()) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let mut status = StatusCode::CREATED;
        let (mut is_last, mut why) = (false, None);
        if let Some(error) = failed {
            if report.is_empty {
                return Err(error);
            }
            is_last = matches!(error, Error::Fault(Fault::TooSlow(_) | Fault::MadeWay));
            (status, why) = (StatusCode::MULTI_STATUS, Some(error.to_string()));
        } else if report.is_empty {
            return Err(bad_request("the form has no file in it".into()));
        }
        if status == StatusCode::CREATED && accepts_html(&head.headers) {
            // A browser shows the folder, and does not send the form again when that is reloaded.
            let mut response = text(StatusCode::SEE_OTHER, "see the folder\n");
            headers::insert(response.headers_mut(), LOCATION, head.uri.path());
            return Ok(response);
        }
        let mut response = Response::new(report.into_body(why).await?);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if is_last {
            // Nothing more is read of what it sends.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn form_file(
        &self,
        file: FormFile,
        writer: &Writer,
        share: Share,
        bucket: &BucketName,
        prefix: &str,
    ) -> Result<Stored, Error> {
        // Some browsers send the whole path of where the file was.
        let base = file.name.rsplit(['/', '\\']).next().unwrap_or_default();
        let key = Key::new(format!("{prefix}{base}"))?;
        let media_type = file.media_type.clone();
        let target = {
            let (bucket, key) = (bucket.clone(), key.clone());
            Box::new(move |digested: &Digested, _| {
                let mut meta =
                    ObjectMeta { media_type, modified_ns: now_ns(), ..ObjectMeta::default() };
                meta::note_digests(&mut meta, digested);
                PutTarget { bucket, key, meta, condition: Condition::Always }.into()
            })
        };
        let body = file.map_err(|bad| match bad {
            BadForm::Fault(fault) => fault,
            bad => Fault::bad_body(bad),
        });
        let upload = Upload {
            last_look: self.engine.last_look(writer),
            share,
            len: None,
            checksums: Digests::default(),
            target,
        };
        let uploaded = self.engine.edge.upload(upload, body, || Ok(Expected::default())).await?;
        let etag = meta::etag_of_upload(&uploaded);
        Ok(Stored { key: key.as_str().to_owned(), size: uploaded.stored.size, etag })
    }
}

impl From<BadForm> for Error {
    fn from(bad: BadForm) -> Self {
        let status = match bad {
            BadForm::Fault(fault) => return fault.into(),
            BadForm::Kind(_) | BadForm::Boundary => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::Status(status, bad.to_string())
    }
}

fn bad_request(text: String) -> Error {
    Error::Status(StatusCode::BAD_REQUEST, text)
}
