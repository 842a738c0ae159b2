//! Copies and multipart uploads: each is one transaction, that is one critical section. Buckets are
//! not checked.

use std::collections::BTreeMap;
use std::ops::Range;

use drystone_store::{
    Completion, Composite, ContentHash, CopySource, CopyTarget, ManifestId, ObjectRow, PartRow,
    PartTarget, PlainSlice, PutTarget, Result, StoreError, UploadId, UploadRow,
};

use super::{Manifest, Tables};

#[derive(Clone)]
pub(super) struct Upload {
    pub(super) row: UploadRow,
    pub(super) parts: BTreeMap<u32, PartRow>,
}

impl Tables {
    pub(super) fn upload(&self, upload: UploadId) -> Result<&Upload> {
        self.uploads.get(&upload).ok_or(StoreError::NoSuchUpload(upload))
    }

    fn source(&self, source: &CopySource) -> Result<ObjectRow> {
        let (bucket, key) = (source.bucket.clone(), source.key.clone());
        let found = self.objects.get(&(bucket.clone(), key.clone())).cloned();
        let found = found.ok_or(StoreError::NotFound { bucket, key })?;
        source.check(&found)?;
        Ok(found)
    }

    pub(super) fn copy(&mut self, source: &CopySource, target: &CopyTarget) -> Result<ObjectRow> {
        let found = self.source(source)?;
        let (bucket, key) = (target.bucket.clone(), target.key.clone());
        let row = ObjectRow { key: key.clone(), meta: target.meta(&found.meta), ..found };
        let (meta, condition) = (row.meta.clone(), target.condition);
        self.store(PutTarget { bucket, key, meta, condition }, row)
    }

    /// Writes an object, if its condition holds.
    fn store(&mut self, target: PutTarget, row: ObjectRow) -> Result<ObjectRow> {
        if !self.allows(&target) {
            return Err(StoreError::PreconditionFailed { key: target.key });
        }
        self.objects.insert((target.bucket, target.key), row.clone());
        Ok(row)
    }

    pub(super) fn copy_part(
        &mut self,
        source: &CopySource,
        range: Option<&Range<u64>>,
        target: &PartTarget,
    ) -> Result<PartRow> {
        let found = self.source(source)?;
        self.upload(target.upload)?;
        let mut composite = Composite::default();
        self.add_to(&mut composite, found.manifest, &CopySource::range(&found, range)?)?;
        let manifest = self.write_composite(&composite);
        self.put_part(target, composite.size(), composite.content(), manifest)
    }

    pub(super) fn put_part(
        &mut self,
        target: &PartTarget,
        size: u64,
        content: ContentHash,
        manifest: ManifestId,
    ) -> Result<PartRow> {
        let (number, system) = (target.number, target.system.clone());
        let part = PartRow { number, size, content, manifest, system, modified_ms: 0 };
        let upload = self.uploads.get_mut(&target.upload);
        let upload = upload.ok_or(StoreError::NoSuchUpload(target.upload))?;
        upload.parts.insert(number, part.clone());
        Ok(part)
    }

    pub(super) fn complete_upload(
        &mut self,
        id: UploadId,
        completion: &Completion,
    ) -> Result<ObjectRow> {
        let upload = self.upload(id)?;
        completion.check_order()?;
        let mut composite = Composite::default();
        for named in &completion.parts {
            let part = upload
                .parts
                .get(&named.number)
                .ok_or(StoreError::PartMissing { number: named.number })?;
            named.check(part.content, &part.system)?;
            self.add_to(&mut composite, part.manifest, &(0..part.size))?;
        }
        let UploadRow { bucket, key, meta, .. } = upload.row.clone();
        let manifest = self.write_composite(&composite);
        let (size, content) = (composite.size(), composite.content());
        let row = ObjectRow { key: key.clone(), size, content, meta: meta.clone(), manifest };
        let stored =
            self.store(PutTarget { bucket, key, meta, condition: completion.condition }, row)?;
        self.uploads.remove(&id);
        Ok(stored)
    }

    fn add_to(&self, composite: &mut Composite, id: ManifestId, range: &Range<u64>) -> Result<()> {
        let missing = || StoreError::Inconsistent(format!("there is no manifest {id}"));
        let manifest = self.manifests.get(&id).ok_or_else(missing)?;
        if manifest.slices.is_empty() {
            let (size, content) = manifest.whole.ok_or_else(missing)?;
            let (from, len) = (range.start, range.end - range.start);
            return composite.add(PlainSlice { manifest: id, content, size, from, len });
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
        let id = ManifestId(self.row());
        let slices = composite.slices().map(|(offset, slice)| (offset, *slice)).collect();
        let whole = Some((composite.size(), composite.content()));
        self.manifests.insert(id, Manifest { session: None, rows: Vec::new(), slices, whole });
        id
    }
}
