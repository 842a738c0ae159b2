//! Secrets that can be guessed. On loopback they harm only the user. A server that others can reach
//! does not start while there is such a secret, unless a flag allows it.

use std::net::SocketAddr;

use drystone_store::Store;

use crate::exit::Usage;

/// Keys that are read at a time.
const PAGE: usize = 256;
/// As long as a random text of about 80 bits.
const CHARS_MIN: usize = 16;
/// How many different characters a secret must have.
const DIFFERENT_MIN: usize = 8;
/// How many letters and digits must be left when all well-known words are taken out.
const LEFT_MIN: usize = 8;
/// Words that guessed secrets are made of. A longer word stands before the words that it begins
/// with.
const WELL_KNOWN: [&str; 30] = [
    "wjalrxutnfemi/k7mdeng/bpxrficyexamplekey",
    "administrator",
    "0123456789",
    "1234567890",
    "qwertyuiop",
    "password",
    "passw0rd",
    "drystone",
    "changeme",
    "12345678",
    "87654321",
    "abcdefgh",
    "letmein",
    "welcome",
    "default",
    "example",
    "asdfgh",
    "qwerty",
    "secret",
    "123456",
    "abcdef",
    "access",
    "change",
    "server",
    "minio",
    "admin",
    "guest",
    "test",
    "user",
    "root",
];

/// Whether other machines can reach the address.
pub(crate) fn is_reachable(listen: SocketAddr) -> bool {
    !listen.ip().to_canonical().is_loopback()
}

/// Refuses a weak pair.
pub(crate) fn check(access: &str, secret: &str, listen: SocketAddr) -> Result<(), Usage> {
    let Some(why) = weakness(access, secret) else { return Ok(()) };
    Err(Usage(format!(
        "{listen} can be reached from elsewhere, and the secret of the key `{}` can be guessed: \
         {why}. Use another (`drystone key create --name me --admin` makes a pair, `drystone key \
         revoke {}` takes this one back), or --allow-weak-keys",
        access.escape_debug(),
        access.escape_debug()
    )))
}

/// The same for every key of a store.
pub(crate) fn check_all(store: &Store, listen: SocketAddr) -> anyhow::Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = store.keys(after.as_deref(), PAGE)?;
        for row in &page {
            check(&row.key.access, &row.key.secret.0, listen)?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.access.clone()),
            _ => return Ok(()),
        }
    }
}

/// Why the secret of a pair can be guessed; `None` if it cannot.
pub(crate) fn weakness(access: &str, secret: &str) -> Option<&'static str> {
    if secret.len() < CHARS_MIN {
        return Some("it has fewer than 16 characters");
    }
    let secret = secret.to_ascii_lowercase();
    let mut different: Vec<u8> = secret.bytes().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT_MIN {
        return Some("it repeats a few characters");
    }
    let access = access.to_ascii_lowercase();
    let known = std::iter::once(access.as_str()).chain(WELL_KNOWN);
    let left = known.fold(secret, |left, word| left.replace(word, " "));
    let left = left.bytes().filter(u8::is_ascii_alphanumeric).count();
    (left < LEFT_MIN).then_some("it is made of well-known words, or of its access key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_pairs_are_told_from_strong_ones() {
        for (access, secret) in [
            ("admin", "password"),
            ("minioadmin", "minioadmin"),
            ("alice", "first-secret"),
            ("alice", "k7Qw-93xv.Tz2_p"),
            ("admin", "minioadminminioadmin"),
            ("alice", "aaaaaaaaaaaaaaaaaaaaaaaa"),
            ("alice", "abababababababababab1234"),
            ("admin", "Password-1234567890"),
            ("stonemason", "stonemason-stonemason1!"),
            ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ] {
            assert!(weakness(access, secret).is_some(), "{access} {secret}");
        }
        for (access, secret) in [
            ("alice", "k7Qw-93xv.Tz2_pL"),
            ("admin", "correct horse battery staple"),
            ("AKID", "ABCDEFGHJKLMNPQRSTUVWXYZ23456789ABCDEFGH"),
        ] {
            assert_eq!(weakness(access, secret), None, "{access} {secret}");
        }
    }

    #[test]
    fn only_loopback_cannot_be_reached() {
        for own in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!is_reachable(own.parse().unwrap()), "{own}");
        }
        for open in ["0.0.0.0:1", "[::]:1", "192.168.1.1:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1"] {
            assert!(is_reachable(open.parse().unwrap()), "{open}");
        }
    }
}
