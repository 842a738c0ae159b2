//! `key`: who may do what.

use std::io::Write;

use anyhow::Context;
use drystone_server::bearer_token;
use drystone_store::{BucketName, Grant, NewKey, Secret, Store};
use serde::Serialize;

use crate::args::{KeyCommand, KeyCreateArgs};
use crate::exit::{Exit, Outcome, Usage};
use crate::open;
use crate::output::{Output, utc};
use crate::settings::Settings;

/// Keys that are read at a time.
const PAGE: usize = 256;
const ACCESS_CHARS: usize = 20;
const SECRET_CHARS: usize = 40;
/// Clients put it into headers, addresses and configuration files; none of these needs quoting there.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

pub(crate) fn run(settings: &Settings, command: &KeyCommand, output: &Output) -> Outcome {
    let store = open::open(settings)?.store;
    match command {
        KeyCommand::Create(args) => create(&store, args, output),
        KeyCommand::List => list(&store, output),
        KeyCommand::Revoke { access } => {
            if store.revoke_key(access)? {
                output.note(format_args!("revoked {access}; a running server forgets it within seconds"));
                Ok(Exit::Success)
            } else {
                output.error(&anyhow::anyhow!(
                    "there is no key `{}`; `key list` shows them",
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
        names.map_err(drystone_store::StoreError::Name)?.into_iter().map(|name| grant(Some(name))).collect()
    };
    let new = match (&args.access_key, &args.secret_key) {
        (Some(access), Some(secret)) => {
            check(access, &secret.0)?;
            NewKey {
                access: access.clone(),
                secret: Secret(secret.0.clone()),
                name: args.name.clone(),
                grants,
            }
        }
        (None, None) => generate(&args.name, grants)?,
        _ => return Err(Usage("--access-key and --secret-key go together".into()).into()),
    };
    store.put_key(&new)?;
    show(&new, output)?;
    Ok(Exit::Success)
}

/// Every right in every bucket.
pub(crate) fn everything() -> Vec<Grant> {
    vec![Grant { bucket: None, read: true, write: true, list: true, admin: true }]
}

/// Makes a key whose halves nobody can guess.
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

/// What every client can use as a key.
fn check(access: &str, secret: &str) -> anyhow::Result<()> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !(3..=128).contains(&access.len()) || !plain(access) || access.contains([':', '/', ',', '=']) {
        return Err(
            Usage("an access key has 3 to 128 visible ASCII characters, none of `:/,=`".into()).into()
        );
    }
    if !(8..=128).contains(&secret.len()) || !plain(secret) {
        return Err(Usage("a secret key has 8 to 128 visible ASCII characters".into()).into());
    }
    Ok(())
}

/// Keeps the pair from the environment, if it is new, with every right.
pub(crate) fn keep(store: &Store, access: &str, secret: &str) -> anyhow::Result<()> {
    check(access, secret)?;
    match store.key(access)? {
        Some(found) if found.key.secret.0 == secret => Ok(()),
        Some(_) => Err(Usage(format!(
            "the key `{access}` exists with another secret; revoke it first: `drystone key revoke {access}`"
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

/// Shows a new key, secret included; the only time that anything does.
pub(crate) fn show(key: &NewKey, output: &Output) -> anyhow::Result<()> {
    let token = bearer_token(&key.access, &key.secret.0);
    if output.json {
        #[derive(Serialize)]
        struct Shown<'a> {
            name: &'a str,
            access_key: &'a str,
            secret_key: &'a str,
            bearer_token: &'a str,
        }
        let shown = Shown {
            name: &key.name,
            access_key: &key.access,
            secret_key: &key.secret.0,
            bearer_token: &token,
        };
        return output.json(&shown).context("cannot show the key");
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "access key    {}\nsecret key    {}\nbearer token  {token}", key.access, key.secret.0)?;
    writeln!(out, "(shown this once; `drystone key list` names it, `drystone key revoke` takes it back)")?;
    Ok(out.flush()?)
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
        let flags =
            [(grant.read, "read"), (grant.write, "write"), (grant.list, "list"), (grant.admin, "admin")];
        let rights: Vec<&str> = flags.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        format!("{}: {}", grant.bucket.as_ref().map_or("*", BucketName::as_str), rights.join(", "))
    };
    let mut after: Option<String> = None;
    loop {
        let page = store.keys(after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(Exit::Success) };
        after = Some(last.key.access.clone());
        for row in page {
            let created =
                utc(i64::try_from(row.created_ms).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000));
            let grants: Vec<String> = row.key.grants.iter().map(rights).collect();
            let line = Line { access_key: row.key.access, name: row.key.name, created, grants };
            if output.json {
                output.json(&line)?;
            } else {
                let mut out = std::io::stdout().lock();
                let name = line.name.escape_debug();
                writeln!(out, "{}  {}  {name}  {}", line.access_key, line.created, line.grants.join("; "))?;
            }
        }
    }
}
