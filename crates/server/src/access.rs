//! Which key a request comes from, and what that key may do.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use drystone_edge::fault::Fault;
use drystone_edge::gate::Share;
use drystone_store::{BucketName, KeyRow, Store};
use drystone_sync::PlainArc;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap};
use subtle::ConstantTimeEq as _;

use crate::engine::Engine;

/// The longest access key that is looked up.
const ACCESS_BYTES_MAX: usize = 128;

/// What a key may do with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Read,
    Write,
    List,
    Admin,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    Anonymous,
    Key(PlainArc<KeyRow>),
}

/// Where a request comes from; goes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Who {
    /// Whose turn it is, when a request with these extensions waits for one.
    pub(crate) fn share(&self, extensions: &Extensions) -> Share {
        let key = match self {
            Self::Anonymous => None,
            Self::Key(key) => Some(key.key.access.clone()),
        };
        Share::new(key, extensions.get::<Peer>().map(|peer| peer.0))
    }
}

/// Why a request is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("this needs a key: Basic with access key and secret, or a bearer token")]
    KeyNeeded,
    #[error("the key is unknown or its secret is wrong")]
    WrongKey,
    /// Which of two is meant?
    #[error("the request has more than one Authorization header: send one")]
    TwoKeys,
    #[error("this key does not allow that")]
    NotAllowed,
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Engine {
    /// Looks a key up.
    pub(crate) async fn key(
        self: &PlainArc<Self>,
        access: &str,
    ) -> Result<Option<PlainArc<KeyRow>>, Fault> {
        if access.is_empty() || access.len() > ACCESS_BYTES_MAX {
            return Ok(None);
        }
        if let Some(key) = self.keys.remembered(access) {
            return Ok(Some(key));
        }
        let owned = access.to_owned();
        let found =
            self.edge.call(move |store: &Store| store.key(&owned)).await?.map(PlainArc::new);
        if let Some(key) = &found {
            self.keys.remember(key);
        }
        Ok(found)
    }

    /// The key of a plain request, by its `Authorization`.
    pub(crate) async fn identify(
        self: &PlainArc<Self>,
        headers: &HeaderMap,
    ) -> Result<Who, Refused> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = all.next() else { return Ok(Who::Anonymous) };
        if all.next().is_some() {
            return Err(Refused::TwoKeys);
        }
        let header = header.to_str().map_err(|_| Refused::WrongKey)?;
        let (scheme, rest) = header.split_once(' ').ok_or(Refused::WrongKey)?;
        let proof = match scheme.to_ascii_lowercase().as_str() {
            "basic" => Proof::basic(rest.trim()),
            "bearer" => Proof::bearer(rest.trim()),
            _ => None,
        };
        let proof = proof.ok_or(Refused::WrongKey)?;
        let key = self.key(&proof.access).await?.ok_or(Refused::WrongKey)?;
        if proof.holds_for(&key.key.secret.0) { Ok(Who::Key(key)) } else { Err(Refused::WrongKey) }
    }

    /// Whether `who` has this right over a bucket; over all of them for `None`.
    pub(crate) async fn allow(
        self: &PlainArc<Self>,
        who: &Who,
        right: Right,
        bucket: Option<&BucketName>,
    ) -> Result<(), Refused> {
        if let Who::Key(key) = who
            && may(key, right, bucket)
        {
            return Ok(());
        }
        if right == Right::Read
            && let Some(bucket) = bucket
        {
            let bucket = bucket.clone();
            let row = self.edge.call(move |store: &Store| store.bucket(&bucket)).await?;
            if row.is_some_and(|row| row.public) {
                return Ok(());
            }
        }
        Err(match who {
            Who::Anonymous => Refused::KeyNeeded,
            Who::Key(_) => Refused::NotAllowed,
        })
    }
}

/// Whether a key's grants give a right over a bucket, or over all of them.
pub(crate) fn may(key: &KeyRow, right: Right, bucket: Option<&BucketName>) -> bool {
    key.key.grants.iter().any(|grant| {
        let covers =
            grant.bucket.is_none() || (bucket.is_some() && grant.bucket.as_ref() == bucket);
        covers
            && match right {
                Right::Read => grant.read,
                Right::Write => grant.write,
                Right::List => grant.list,
                Right::Admin => grant.admin,
            }
    })
}

/// A bearer token for a key. Its holder can do over plain HTTP what the key can do, and cannot find
/// out the secret.
pub fn bearer_token(access: &str, secret: &str) -> String {
    let mac = bearer_mac(access, secret);
    format!("{}.{}", URL_SAFE_NO_PAD.encode(access), URL_SAFE_NO_PAD.encode(mac))
}

fn bearer_mac(access: &str, secret: &str) -> [u8; 32] {
    let key = blake3::derive_key("drystone 2026 bearer token", secret.as_bytes());
    *blake3::keyed_hash(&key, access.as_bytes()).as_bytes()
}

/// What a client shows to prove that it knows a secret.
struct Proof {
    access: String,
    shown: Shown,
}

enum Shown {
    Secret(String),
    Mac(Vec<u8>),
}

impl Proof {
    fn basic(text: &str) -> Option<Self> {
        let pair = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let (access, secret) = pair.split_once(':')?;
        Some(Self { access: access.into(), shown: Shown::Secret(secret.into()) })
    }

    fn bearer(text: &str) -> Option<Self> {
        let (access, mac) = text.split_once('.')?;
        let access = String::from_utf8(URL_SAFE_NO_PAD.decode(access).ok()?).ok()?;
        Some(Self { access, shown: Shown::Mac(URL_SAFE_NO_PAD.decode(mac).ok()?) })
    }

    fn holds_for(&self, secret: &str) -> bool {
        match &self.shown {
            Shown::Secret(shown) => shown.as_bytes().ct_eq(secret.as_bytes()).into(),
            Shown::Mac(mac) => mac.ct_eq(&bearer_mac(&self.access, secret)).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_proves_its_own_key_only() {
        let token = bearer_token("alice", "secret");
        let proof = Proof::bearer(&token).unwrap();
        assert_eq!(proof.access, "alice");
        assert!(proof.holds_for("secret"));
        assert!(!proof.holds_for("other"));
        assert!(!token.contains("secret"));
        let forged =
            token.replacen(&URL_SAFE_NO_PAD.encode("alice"), &URL_SAFE_NO_PAD.encode("admin"), 1);
        assert!(!Proof::bearer(&forged).unwrap().holds_for("secret"));
    }

    #[test]
    fn basic_splits_at_the_first_colon() {
        let proof = Proof::basic(&BASE64.encode("alice:se:cret")).unwrap();
        assert_eq!(proof.access, "alice");
        assert!(proof.holds_for("se:cret"));
        assert!(Proof::basic("!").is_none());
        assert!(Proof::basic(&BASE64.encode("nocolon")).is_none());
    }
}
