//! Access keys, and what they may do. The store keeps them and enforces nothing. The server, which
//! speaks to the clients, asks for them and enforces them.

use std::fmt;

use crate::{BucketName, Result, Store};

/// A text that must not be seen in logs and messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// In this bucket; `None` means in every one.
    pub bucket: Option<BucketName>,
    /// It may read objects.
    pub read: bool,
    /// It may put, change and delete objects.
    pub write: bool,
    /// It may list objects.
    pub list: bool,
    /// It may make, change and remove buckets, and whatever else is above the others.
    pub admin: bool,
}

/// An access key to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its public half.
    pub access: String,
    /// Its other half.
    pub secret: Secret,
    /// Whose it is, in words.
    pub name: String,
    /// What it may do: one grant for each bucket, and one for every bucket.
    pub grants: Vec<Grant>,
}

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key. Its grants are ordered by bucket, that for every bucket first.
    pub key: NewKey,
    /// When it was made, in milliseconds since 1970 UTC by the database's clock.
    pub created_ms: u64,
}

impl Store {
    /// Keeps a new key.
    ///
    /// # Errors
    /// [`StoreError::KeyExists`](crate::StoreError::KeyExists).
    pub fn put_key(&self, key: &NewKey) -> Result<()> {
        self.inner.writer.with_room(|| self.inner.records.put_key(key))
    }

    /// Looks a key up by its public half.
    ///
    /// # Errors
    /// The records'.
    pub fn key(&self, access: &str) -> Result<Option<KeyRow>> {
        self.inner.records.key(access)
    }

    /// One page of keys, in the order of their public halves' bytes.
    ///
    /// # Errors
    /// The records'.
    pub fn keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<KeyRow>> {
        self.inner.records.keys(after, limit)
    }

    /// Forgets a key. Returns whether there was one.
    ///
    /// # Errors
    /// The records'.
    pub fn revoke_key(&self, access: &str) -> Result<bool> {
        self.inner.writer.with_room(|| self.inner.records.revoke_key(access))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_said() {
        let key = NewKey {
            access: "AK".into(),
            secret: Secret("hush".into()),
            name: "anna".into(),
            grants: Vec::new(),
        };
        let said = format!("{:?}", KeyRow { key, created_ms: 7 });
        assert!(said.contains("anna") && !said.contains("hush"), "{said}");
    }
}
