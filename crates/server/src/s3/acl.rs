//! Access lists, as far as they say what is so. Everything belongs to one owner, who may do
//! everything; other keys have rights that no list can say. Beside that a bucket may be public:
//! then its objects are read without a key.
//!
//! So there are two lists. The private one has the owner alone: it is the list of a bucket that is
//! not public, and of each object in it. The public one has the group of all users, too: it is the
//! list of a public bucket, and of each object in it. A bucket is made public by giving it this
//! list. S3 means by it that the *names* in a bucket may be listed; here a list of names always
//! takes a key.
//!
//! Every other list is refused, and so is a list for an object that its bucket does not have.

use drystone_store::{BucketName, BucketRow, StoreError};
use http::{HeaderMap, StatusCode};
use s3s::dto::{
    AccessControlPolicy, GetBucketAclInput, GetBucketAclOutput, GetBucketPolicyStatusInput,
    GetBucketPolicyStatusOutput, GetObjectAclInput, GetObjectAclOutput, Grant, Grantee, Owner,
    Permission, PolicyStatus, PutBucketAclInput, PutBucketAclOutput, PutObjectAclInput,
    PutObjectAclOutput, Type,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::api::{Api, bucket_name, check_version, key_name};
use super::errors::{self, custom, error};

const HEADER: &str = "x-amz-acl";
/// The group of all users, with and without a key.
const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

/// A list by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Canned {
    /// The owner alone.
    Private,
    /// The owner of the bucket has some rights. The owner has all of them, so this asks for
    /// nothing.
    BucketOwner,
    /// All users may read.
    PublicRead,
}

impl Canned {
    /// What the header asks for.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, S3Error> {
        let mut lines = headers.get_all(HEADER).iter();
        let Some(line) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(unsupported(format!("{HEADER} came twice")));
        }
        Ok(Some(match line.as_bytes() {
            b"private" => Self::Private,
            b"bucket-owner-full-control" | b"bucket-owner-read" => Self::BucketOwner,
            b"public-read" => Self::PublicRead,
            other => {
                let other = String::from_utf8_lossy(other).escape_default().to_string();
                return Err(unsupported(format!("there is no access list `{other}`")));
            }
        }))
    }

    fn of_document(document: &AccessControlPolicy) -> Result<Self, S3Error> {
        let own_id = owner().id;
        if document.owner.as_ref().is_some_and(|stated| stated.id.is_some() && stated.id != own_id)
        {
            return Err(unsupported("everything belongs to the owner `drystone`"));
        }
        let (mut has_owner, mut has_all_users) = (false, false);
        for grant in document.grants.iter().flatten() {
            let permission = grant.permission.as_ref().map(Permission::as_str);
            let grantee = grant.grantee.as_ref();
            let kind = grantee.map(|grantee| grantee.type_.as_str());
            let uri = grantee.and_then(|grantee| grantee.uri.as_deref());
            let id = grantee.and_then(|grantee| grantee.id.as_deref());
            match (kind, id, uri, permission) {
                (Some(Type::CANONICAL_USER), id, None, Some(Permission::FULL_CONTROL))
                    if id == own_id.as_deref() =>
                {
                    has_owner = true;
                }
                (Some(Type::GROUP), None, Some(ALL_USERS), Some(Permission::READ)) => {
                    has_all_users = true;
                }
                _ => return Err(unsupported("the list has a grant that cannot be given here")),
            }
        }
        match (has_owner, has_all_users) {
            (false, _) => Err(unsupported("the owner `drystone` always has FULL_CONTROL")),
            (true, false) => Ok(Self::Private),
            (true, true) => Ok(Self::PublicRead),
        }
    }

    /// From a request that has to give one list, by its name or as a document.
    fn needed(
        headers: &HeaderMap,
        document: Option<&AccessControlPolicy>,
    ) -> Result<Self, S3Error> {
        match (Self::of(headers)?, document) {
            (Some(canned), None) => Ok(canned),
            (None, Some(document)) => Self::of_document(document),
            (Some(_), Some(_)) => {
                let hint = format!("either {HEADER} or a document gives the access list, not both");
                Err(error(S3ErrorCode::UnexpectedContent, hint))
            }
            (None, None) => {
                let hint = format!("the request gives no access list: send {HEADER} or a document");
                Err(error(S3ErrorCode::MissingSecurityHeader, hint))
            }
        }
    }

    /// Whether a bucket of this list is public.
    pub(super) fn makes_public(self) -> bool {
        self == Self::PublicRead
    }

    /// Whether a bucket that is there has this list.
    pub(super) fn is_of(self, bucket: &BucketRow) -> bool {
        self == Self::BucketOwner || self.makes_public() == bucket.public
    }

    /// Whether an object in the bucket has this list.
    fn check_object(self, bucket: &BucketRow) -> Result<(), S3Error> {
        if self.is_of(bucket) {
            return Ok(());
        }
        Err(unsupported(if bucket.public {
            "the bucket is public, so every client can read each object in it; use another bucket, or take the list of this one back \
             with PutBucketAcl private"
        } else {
            "the bucket is not public, so no object in it can be; make the bucket public with PutBucketAcl public-read"
        }))
    }
}

/// What is said here in another way.
pub(super) fn unsupported(what: impl Into<String>) -> S3Error {
    let what = what.into();
    let hint = format!(
        "{what} (lists are private and public-read of a bucket; other rights are given to keys)"
    );
    custom("AccessControlListNotSupported", StatusCode::BAD_REQUEST, hint)
}

impl Api {
    /// Refuses an object that is to have a list which its bucket does not allow.
    pub(super) async fn check_object_acl(
        &self,
        bucket: &BucketName,
        headers: &HeaderMap,
    ) -> Result<(), S3Error> {
        match Canned::of(headers)? {
            None | Some(Canned::BucketOwner) => Ok(()),
            Some(canned) => canned.check_object(&self.bucket_row(bucket).await?),
        }
    }

    pub(super) async fn bucket_acl(
        &self,
        request: S3Request<GetBucketAclInput>,
    ) -> S3Result<S3Response<GetBucketAclOutput>> {
        let row = self.bucket_row(&bucket_name(&request.input.bucket)?).await?;
        Ok(S3Response::new(GetBucketAclOutput { grants: Some(grants(&row)), owner: Some(owner()) }))
    }

    pub(super) async fn put_bucket_acl(
        &self,
        request: S3Request<PutBucketAclInput>,
    ) -> S3Result<S3Response<PutBucketAclOutput>> {
        let canned =
            Canned::needed(&request.headers, request.input.access_control_policy.as_ref())?;
        let bucket = bucket_name(&request.input.bucket)?;
        self.call(move |store| store.set_bucket_public(&bucket, canned.makes_public())).await?;
        Ok(S3Response::new(PutBucketAclOutput::default()))
    }

    pub(super) async fn policy_status(
        &self,
        request: S3Request<GetBucketPolicyStatusInput>,
    ) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
        let row = self.bucket_row(&bucket_name(&request.input.bucket)?).await?;
        let policy_status = Some(PolicyStatus { is_public: Some(row.public) });
        Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status }))
    }

    pub(super) async fn object_acl(
        &self,
        request: S3Request<GetObjectAclInput>,
    ) -> S3Result<S3Response<GetObjectAclOutput>> {
        let input = request.input;
        check_version(input.version_id.as_deref())?;
        let bucket = bucket_name(&input.bucket)?;
        self.stat(&bucket, &key_name(&input.key)?).await?;
        let grants = Some(grants(&self.bucket_row(&bucket).await?));
        let output =
            GetObjectAclOutput { grants, owner: Some(owner()), ..GetObjectAclOutput::default() };
        Ok(S3Response::new(output))
    }

    /// Changes nothing: an object has the list that its bucket allows, or the request is refused.
    pub(super) async fn put_object_acl(
        &self,
        request: S3Request<PutObjectAclInput>,
    ) -> S3Result<S3Response<PutObjectAclOutput>> {
        let input = request.input;
        let canned = Canned::needed(&request.headers, input.access_control_policy.as_ref())?;
        check_version(input.version_id.as_deref())?;
        let bucket = bucket_name(&input.bucket)?;
        self.stat(&bucket, &key_name(&input.key)?).await?;
        canned.check_object(&self.bucket_row(&bucket).await?)?;
        Ok(S3Response::new(PutObjectAclOutput::default()))
    }

    pub(super) async fn bucket_row(&self, bucket: &BucketName) -> Result<BucketRow, S3Error> {
        let name = bucket.clone();
        let row = self.call(move |store| store.bucket(&name)).await?;
        row.ok_or_else(|| errors::store(&StoreError::NoSuchBucket(bucket.clone())))
    }
}

/// What the list of a bucket, and of each object in it, says.
fn grants(bucket: &BucketRow) -> Vec<Grant> {
    let owner = owner();
    let grant = |grantee, permission: &'static str| Grant {
        grantee: Some(grantee),
        permission: Some(Permission::from_static(permission)),
    };
    let own = Grantee {
        display_name: owner.display_name,
        email_address: None,
        id: owner.id,
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let mut grants = vec![grant(own, Permission::FULL_CONTROL)];
    if bucket.public {
        let all_users = Grantee {
            display_name: None,
            email_address: None,
            id: None,
            type_: Type::from_static(Type::GROUP),
            uri: Some(ALL_USERS.into()),
        };
        grants.push(grant(all_users, Permission::READ));
    }
    grants
}

/// The owner of everything: there is one only.
pub(super) fn owner() -> Owner {
    Owner { display_name: Some("drystone".into()), id: Some("drystone".into()) }
}
