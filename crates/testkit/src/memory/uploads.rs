//! Copies and multipart uploads: what they do to the tables, each in one transaction. What is
//! refused changes nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use drystone_store::{
    BucketName, Completion, Composite, ContentHash, CopySource, CopyTarget, Key, ManifestId,
    ObjectMeta, ObjectPart, ObjectRow, PartRow, PartTarget, PlainSlice, Result, StoreError, TAGS,
    UploadId, UploadRow,
};

use super::commit::unmet;
use super::tables::{Manifest, Tables};

/// A multipart upload and its parts.
pub(super) struct Upload {
    pub(super) row: UploadRow,
    pub(super) parts: BTreeMap<u32, PartRow>,
}

impl Tables {
    pub(super) fn upload(&self, upload: UploadId) -> Result<&Upload> {
        self.uploads.get(&upload).ok_or(StoreError::NoSuchUpload(upload))
    }

    pub(super) fn create_upload(
        &mut self,
        bucket: &BucketName,
        key: &Key,
        meta: &ObjectMeta,
    ) -> Result<UploadRow> {
        if !self.buckets.contains_key(bucket) {
            return Err(StoreError::NoSuchBucket(bucket.clone()));
        }
        let row = UploadRow {
            id: UploadId(self.next_id()),
            bucket: bucket.clone(),
            key: key.clone(),
            meta: meta.clone(),
            created_ms: self.now_ms,
        };
        self.uploads.insert(row.id, Upload { row: row.clone(), parts: BTreeMap::new() });
        Ok(row)
    }

    pub(super) fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<(&str, UploadId)>,
        limit: usize,
    ) -> Vec<UploadRow> {
        let rows = self.uploads.values().map(|upload| &upload.row);
        let mut found: Vec<&UploadRow> = rows
            .filter(|row| row.bucket == *bucket && row.key.as_str().starts_with(prefix))
            .filter(|row| after.is_none_or(|after| (row.key.as_str(), row.id) > after))
            .collect();
        found.sort_by_key(|row| (&row.key, row.id));
        let mut page: Vec<UploadRow> = found.into_iter().take(limit).cloned().collect();
        page.iter_mut().for_each(|row| drop(row.meta.system.remove(TAGS)));
        page
    }

    fn source(&self, source: &CopySource) -> Result<ObjectRow> {
        if !self.buckets.contains_key(&source.bucket) {
            return Err(StoreError::NoSuchBucket(source.bucket.clone()));
        }
        let found = self.object(&source.bucket, &source.key).cloned();
        let missing =
            || StoreError::NotFound { bucket: source.bucket.clone(), key: source.key.clone() };
        let found = found.ok_or_else(missing)?;
        source.check(&found)?;
        Ok(found)
    }

    pub(super) fn copy(&mut self, source: &CopySource, target: &CopyTarget) -> Result<ObjectRow> {
        let found = self.source(source)?;
        if let Some(refused) = unmet(self, &target.bucket, &target.key, target.condition) {
            return Err(refused);
        }
        let row = ObjectRow { key: target.key.clone(), meta: target.meta(&found.meta), ..found };
        self.objects.entry(target.bucket.clone()).or_default().insert(row.key.clone(), row.clone());
        Ok(row)
    }

    pub(super) fn copy_part(
        &mut self,
        source: &CopySource,
        range: Option<&Range<u64>>,
        target: &PartTarget,
    ) -> Result<PartRow> {
        target.check()?;
        let found = self.source(source)?;
        self.upload(target.upload)?;
        let range = CopySource::range(&found, range)?;
        let mut composite = Composite::default();
        self.add_to(&mut composite, found.manifest, &range)?;
        let manifest = self.write_composite(&composite);
        Ok(self.put_part(target, composite.size(), composite.content(), manifest))
    }

    pub(super) fn put_part(
        &mut self,
        target: &PartTarget,
        size: u64,
        content: ContentHash,
        manifest: ManifestId,
    ) -> PartRow {
        let (number, system) = (target.number, target.system.clone());
        let part = PartRow { number, size, content, manifest, system, modified_ms: self.now_ms };
        let upload = self.uploads.get_mut(&target.upload).expect("it was asked for before");
        upload.parts.insert(number, part.clone());
        part
    }

    pub(super) fn complete_upload(
        &mut self,
        id: UploadId,
        completion: &Completion,
    ) -> Result<ObjectRow> {
        let upload = self.upload(id)?;
        completion.check_order()?;
        let mut composite = Composite::default();
        let mut parts = Vec::new();
        for named in &completion.parts {
            let part = upload
                .parts
                .get(&named.number)
                .ok_or(StoreError::PartMissing { number: named.number })?;
            named.check(part.content, &part.system)?;
            let (number, offset) = (parts.len() as u32 + 1, composite.size());
            parts.push(ObjectPart { number, offset, size: part.size, system: part.system.clone() });
            self.add_to(&mut composite, part.manifest, &(0..part.size))?;
        }
        let begun = upload.row.clone();
        if let Some(refused) = unmet(self, &begun.bucket, &begun.key, completion.condition) {
            return Err(refused);
        }
        let mut meta = begun.meta;
        meta.system.extend(completion.system.clone());
        let manifest = self.write_composite(&composite);
        let (size, content) = (composite.size(), composite.content());
        let row = ObjectRow { key: begun.key, size, content, meta, manifest };
        self.objects.entry(begun.bucket).or_default().insert(row.key.clone(), row.clone());
        if let Some(remembered) = self.manifests.get_mut(&manifest) {
            remembered.parts.insert(id, parts);
        }
        self.uploads.remove(&id);
        Ok(row)
    }

    /// Adds bytes of a manifest to a composite.
    fn add_to(&self, composite: &mut Composite, id: ManifestId, range: &Range<u64>) -> Result<()> {
        let missing = || StoreError::Inconsistent(format!("there is no manifest {id}"));
        let manifest = self.manifests.get(&id).ok_or_else(missing)?;
        if manifest.slices.is_empty() {
            let content = manifest.content.ok_or_else(missing)?;
            let (from, len) = (range.start, range.end - range.start);
            return composite.add(PlainSlice {
                manifest: id,
                content,
                size: manifest.end,
                from,
                len,
            });
        }
        for (offset, slice) in &manifest.slices {
            let (first, end) = (range.start.max(*offset), range.end.min(offset + slice.len));
            if first < end {
                let from = slice.from + (first - offset);
                composite.add(PlainSlice { from, len: end - first, ..*slice })?;
            }
        }
        Ok(())
    }

    fn write_composite(&mut self, composite: &Composite) -> ManifestId {
        if let Some(whole) = composite.whole() {
            return whole;
        }
        let id = ManifestId(self.next_id());
        let manifest = Manifest {
            content: Some(composite.content()),
            slices: composite.slices().map(|(offset, slice)| (offset, *slice)).collect(),
            end: composite.size(),
            ..Manifest::default()
        };
        self.manifests.insert(id, manifest);
        id
    }
}
