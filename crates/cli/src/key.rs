//! `key`: makes, lists and revokes the keys of clients.

use std::io;

use drystone_server::bearer_token;
use drystone_store::{BucketName, Grant, NewKey, Secret, Store, StoreError};
use serde::Serialize;

use crate::args::{KeyCommand, KeyCreateArgs, SecretArg};
use crate::exit::{Exit, Outcome, Usage};
use crate::open;
use crate::output::{self, Output};
use crate::settings::Settings;
use crate::weak_key::weakness;

/// Keys that are read at a time.
const PAGE: usize = 256;
const ACCESS_CHARS: usize = 20;
const SECRET_CHARS: usize = 40;
/// Clients put keys into headers, addresses and configuration files. None of these letters has to
/// be quoted there.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

pub(crate) fn run(settings: &Settings, command: &KeyCommand, output: &Output) -> Outcome {
    if let KeyCommand::Create(args) = command {
        pair(args.access_key.as_deref(), args.secret_key.as_ref())?;
    }
    let store = open::open(settings)?.store;
    match command {
        KeyCommand::Create(args) => create(&store, args, output),
        KeyCommand::List => list(&store, output),
        KeyCommand::Revoke { access } => {
            if store.revoke_key(access)? {
                output.note(format_args!(
                    "revoked {access}; a running server forgets it within seconds"
                ));
                Ok(Exit::Success)
            } else {
                output.error(&anyhow::anyhow!(
                    "there is no key `{}`; `drystone key list` shows them",
                    access.escape_debug()
                ));
                Ok(Exit::NotFound)
            }
        }
    }
}

fn create(store: &Store, args: &KeyCreateArgs, output: &Output) -> Outcome {
    let all = !(args.read || args.write || args.list || args.admin);
    let grant = |bucket| Grant {
        bucket,
        read: args.read || args.admin || all,
        write: args.write || args.admin || all,
        list: args.list || args.admin || all,
        admin: args.admin,
    };
    let grants: Vec<Grant> = if args.buckets.is_empty() {
        vec![grant(None)]
    } else {
        let names: Result<Vec<_>, _> = args.buckets.iter().map(BucketName::new).collect();
        names.map_err(StoreError::Name)?.into_iter().map(|name| grant(Some(name))).collect()
    };
    let new = match pair(args.access_key.as_deref(), args.secret_key.as_ref())? {
        Some((access, secret)) => {
            if weakness(access, secret).is_some() {
                output.note(
                    "the secret can be guessed: a server that others can reach does not start \
                     with it, unless --allow-weak-keys is given",
                );
            }
            let secret = Secret(secret.to_owned());
            NewKey { access: access.to_owned(), secret, name: args.name.clone(), grants }
        }
        None => generate(&args.name, grants)?,
    };
    keep_and_show(store, &new, output)?;
    Ok(Exit::Success)
}

/// The pair that flags and variables give; `None` when they give neither half. A single half is
/// refused.
pub(crate) fn pair<'a>(
    access: Option<&'a str>,
    secret: Option<&'a SecretArg>,
) -> anyhow::Result<Option<(&'a str, &'a str)>> {
    match (access, secret) {
        (Some(access), Some(secret)) => {
            check(access, &secret.0)?;
            Ok(Some((access, &secret.0)))
        }
        (None, None) => Ok(None),
        (access, _) => {
            let given = if access.is_some() { "access key" } else { "secret" };
            Err(Usage(format!(
                "only the {given} is given: DRYSTONE_ACCESS_KEY and DRYSTONE_SECRET_KEY (or \
                 --access-key and --secret-key) go together, so give both or neither"
            ))
            .into())
        }
    }
}

/// Every right in every bucket.
pub(crate) fn everything() -> Vec<Grant> {
    vec![Grant { bucket: None, read: true, write: true, list: true, admin: true }]
}

/// Makes a key whose two halves cannot be guessed.
pub(crate) fn generate(name: &str, grants: Vec<Grant>) -> anyhow::Result<NewKey> {
    let access = random(ACCESS_CHARS)?;
    Ok(NewKey { access, secret: Secret(random(SECRET_CHARS)?), name: name.into(), grants })
}

fn random(chars: usize) -> anyhow::Result<String> {
    let mut bytes = vec![0; chars];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    // 32 letters: every byte gives five bits without a bias.
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

/// Refuses a pair that some client could not use as a key.
fn check(access: &str, secret: &str) -> anyhow::Result<()> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !(3..=128).contains(&access.len()) || !plain(access) || access.contains([':', '/', ',', '='])
    {
        return Err(Usage(
            "an access key has 3 to 128 visible ASCII characters, none of `:/,=`".into(),
        )
        .into());
    }
    if !(8..=128).contains(&secret.len()) || !plain(secret) {
        return Err(Usage("a secret key has 8 to 128 visible ASCII characters".into()).into());
    }
    Ok(())
}

/// Keeps the pair from the environment with every right, if it is new.
pub(crate) fn keep(store: &Store, access: &str, secret: &str) -> anyhow::Result<()> {
    match store.key(access)? {
        Some(found) if found.key.secret.0 == secret => Ok(()),
        Some(_) => Err(Usage(format!(
            "the key `{access}` exists with another secret; revoke it first: `drystone key revoke \
             {access}`"
        ))
        .into()),
        None => {
            let secret = Secret(secret.into());
            Ok(store.put_key(&NewKey {
                access: access.into(),
                secret,
                name: "environment".into(),
                grants: everything(),
            })?)
        }
    }
}

/// Keeps a new key and shows it. A key that could not be shown is revoked: the user does not know
/// its secret, and it would still open the store. So a reader that has left is a failure here.
pub(crate) fn keep_and_show(store: &Store, key: &NewKey, output: &Output) -> anyhow::Result<()> {
    match store.put_key(key) {
        Err(StoreError::KeyExists(access)) => anyhow::bail!(
            "access key `{access}` exists already: `drystone key revoke {access}` takes it back; \
             without DRYSTONE_ACCESS_KEY and DRYSTONE_SECRET_KEY a random one is made"
        ),
        put => put?,
    }
    let Err(error) = show(key, output) else { return Ok(()) };
    let access = &key.access;
    match store.revoke_key(access) {
        Ok(_) => anyhow::bail!("the key was not made, because it could not be shown: {error}"),
        Err(revoke) => anyhow::bail!(
            "the key `{access}` could not be shown ({error}) nor taken back ({revoke}): \
             `drystone key revoke {access}` does that"
        ),
    }
}

/// Shows a new key with its secret. Nothing else ever shows a secret.
fn show(key: &NewKey, output: &Output) -> io::Result<()> {
    let token = bearer_token(&key.access, &key.secret.0);
    if output.json {
        #[derive(Serialize)]
        struct Shown<'a> {
            name: &'a str,
            access_key: &'a str,
            secret_key: &'a str,
            bearer_token: &'a str,
        }
        return output.json(&Shown {
            name: &key.name,
            access_key: &key.access,
            secret_key: &key.secret.0,
            bearer_token: &token,
        });
    }
    output::print(format_args!(
        "access key    {}\nsecret key    {}\nbearer token  {token}\n\
         (shown this once; `drystone key list` names it, `drystone key revoke` takes it back)\n",
        key.access, key.secret.0
    ))
}

fn list(store: &Store, output: &Output) -> Outcome {
    #[derive(Serialize)]
    struct Line {
        access_key: String,
        name: String,
        created: String,
        grants: Vec<String>,
    }
    let rights = |grant: &Grant| {
        let flags = [
            (grant.read, "read"),
            (grant.write, "write"),
            (grant.list, "list"),
            (grant.admin, "admin"),
        ];
        let rights: Vec<&str> =
            flags.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        format!("{}: {}", grant.bucket.as_ref().map_or("*", BucketName::as_str), rights.join(", "))
    };
    // A closed standard output is an error also when there is no key to list.
    output::stdout()?;
    let mut after: Option<String> = None;
    loop {
        let page = store.keys(after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(Exit::Success) };
        after = Some(last.key.access.clone());
        for row in page {
            let created = output::utc_of_ms(row.created_ms);
            let grants: Vec<String> = row.key.grants.iter().map(rights).collect();
            let line = Line { access_key: row.key.access, name: row.key.name, created, grants };
            if output.json {
                output.json(&line)?;
            } else {
                let Line { access_key, name, created, grants } = line;
                let (name, grants) = (name.escape_debug(), grants.join("; "));
                output::print(format_args!("{access_key}  {created}  {name}  {grants}\n"))?;
            }
        }
    }
}
