//! Tags of an object: a few names with values that can be changed without putting the object again.
//!
//! They are kept as one of the object's properties, in JSON, which at its longest has about 12 KB.
//! So lists leave it out.

use std::collections::BTreeMap;

use drystone_store::{ObjectRow, TAGS};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::api::{Api, bucket_name, check_version, key_name};
use super::errors::{error, invalid};
use crate::access::Who;

/// The header that gives an object its tags.
pub(super) const HEADER: &str = "x-amz-tagging";
const COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");

/// As in S3: so many tags, and so many UTF-16 units in a key and in a value.
const TAGS_MAX: usize = 10;
const KEY_UNITS_MAX: usize = 128;
const VALUE_UNITS_MAX: usize = 256;

/// Tags that can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectTags(BTreeMap<String, String>);

impl ObjectTags {
    /// Those of the header, a query like `a=b&c=d`; `None` where it says none.
    pub(super) fn of_header(headers: &HeaderMap) -> Result<Option<Self>, S3Error> {
        let mut lines = headers.get_all(HEADER).iter();
        let Some(line) = lines.next() else { return Ok(None) };
        let bad =
            || bad_tag(format!("{HEADER} is written like the query of a URL, in UTF-8 and once"));
        let text = line.to_str().map_err(|_| bad())?;
        if lines.next().is_some() {
            return Err(bad());
        }
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced)
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| bad())
        };
        let mut tags = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            tags.add(decoded(key)?, decoded(value)?)?;
        }
        Ok((!tags.0.is_empty()).then_some(tags))
    }

    fn of_document(set: Vec<Tag>) -> Result<Self, S3Error> {
        let mut tags = Self::default();
        for tag in set {
            let (Some(key), Some(value)) = (tag.key, tag.value) else {
                return Err(error(
                    S3ErrorCode::MalformedXML,
                    "each tag needs its Key and its Value",
                ));
            };
            tags.add(key, value)?;
        }
        Ok(tags)
    }

    /// Those of an object.
    pub(super) fn of(object: &ObjectRow) -> Result<Self, S3Error> {
        let Some(text) = object.meta.system.get(TAGS) else { return Ok(Self::default()) };
        serde_json::from_str(text).map(Self).map_err(|odd| {
            tracing::error!(error = %odd, "the tags of an object are damaged");
            error(S3ErrorCode::InternalError, "the tags of the object are damaged: put them again")
        })
    }

    fn add(&mut self, key: String, value: String) -> Result<(), S3Error> {
        if self.0.len() == TAGS_MAX {
            return Err(bad_tag(format!("an object has at most {TAGS_MAX} tags")));
        }
        let units = |text: &str| text.encode_utf16().count();
        if key.is_empty() || units(&key) > KEY_UNITS_MAX || units(&value) > VALUE_UNITS_MAX {
            return Err(bad_tag(format!(
                "a tag has a key of 1 to {KEY_UNITS_MAX} characters and a value of at most {VALUE_UNITS_MAX}"
            )));
        }
        if !key.chars().chain(value.chars()).all(can_be_in_a_tag) {
            return Err(bad_tag("a tag is made of letters, digits, spaces and + - = . _ : / @"));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(bad_tag("a tag's key cannot begin with `aws:`"));
        }
        match self.0.insert(key, value) {
            None => Ok(()),
            Some(_) => Err(bad_tag("there is one tag of each key")),
        }
    }

    /// As the property that they are kept as; `None` when there are none.
    fn property(&self) -> Result<Option<String>, S3Error> {
        let text = (!self.0.is_empty()).then(|| serde_json::to_string(&self.0)).transpose();
        text.map_err(|odd| {
            tracing::error!(error = %odd, "tags cannot be written");
            S3ErrorCode::InternalError.into()
        })
    }

    /// Makes them the tags of an object to be, in the place of those that it has.
    pub(super) fn note(&self, system: &mut BTreeMap<String, String>) -> Result<(), S3Error> {
        match self.property()? {
            Some(text) => system.insert(TAGS.into(), text),
            None => system.remove(TAGS),
        };
        Ok(())
    }
}

fn bad_tag(message: impl Into<String>) -> S3Error {
    error(S3ErrorCode::InvalidTag, message)
}

fn can_be_in_a_tag(character: char) -> bool {
    character.is_alphanumeric()
        || (character.is_whitespace() && !character.is_control())
        || "+-=._:/@".contains(character)
}

/// Which tags a copy has.
pub(super) fn of_copy(
    headers: &HeaderMap,
    directive: Option<&str>,
    source: &ObjectRow,
) -> Result<ObjectTags, S3Error> {
    let given = ObjectTags::of_header(headers)?;
    match directive {
        None | Some("COPY") if given.is_some() => {
            Err(invalid(format!("{HEADER} needs x-amz-tagging-directive: REPLACE in a copy")))
        }
        None | Some("COPY") => ObjectTags::of(source),
        Some("REPLACE") => Ok(given.unwrap_or_default()),
        Some(_) => Err(invalid("the tagging directive is COPY or REPLACE")),
    }
}

/// Says how many tags an object has, in an answer to a request with a key.
pub(super) fn count(headers: &mut HeaderMap, object: &ObjectRow, who: Option<&Who>) {
    // Tags that are damaged must not keep the object from being read.
    if let Ok(ObjectTags(tags)) = ObjectTags::of(object)
        && !tags.is_empty()
        && matches!(who, Some(Who::Key(_)))
    {
        headers.insert(COUNT, HeaderValue::from(tags.len()));
    }
}

impl Api {
    pub(super) async fn object_tags(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        check_version(input.version_id.as_deref())?;
        let object = self.stat(&bucket_name(&input.bucket)?, &key_name(&input.key)?).await?;
        let tags = ObjectTags::of(&object)?.0.into_iter();
        let tag_set = tags.map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id: None }))
    }

    pub(super) async fn put_object_tags(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let input = request.input;
        check_version(input.version_id.as_deref())?;
        let tags = ObjectTags::of_document(input.tagging.tag_set)?;
        self.set_tags(&input.bucket, &input.key, &tags).await?;
        Ok(S3Response::new(PutObjectTaggingOutput::default()))
    }

    pub(super) async fn delete_object_tags(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let input = request.input;
        check_version(input.version_id.as_deref())?;
        self.set_tags(&input.bucket, &input.key, &ObjectTags::default()).await?;
        Ok(S3Response::new(DeleteObjectTaggingOutput::default()))
    }

    /// Nothing is judged before, so there is nothing to hold on to: the object that is there in the
    /// store's transaction gets the tags. One that is put at the same moment comes before, and gets
    /// them, or comes after, and has its own.
    async fn set_tags(&self, bucket: &str, key: &str, tags: &ObjectTags) -> Result<(), S3Error> {
        let (bucket, key, property) = (bucket_name(bucket)?, key_name(key)?, tags.property()?);
        self.call(move |store| store.set_property(&bucket, &key, TAGS, property.as_deref())).await
    }
}
