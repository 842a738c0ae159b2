//! `/proc/PID/mountinfo`: which paths lie on file systems that another machine, or another process,
//! answers for.

use super::numbers::words;

/// A line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Where; its escapes are undone.
    pub path: Vec<u8>,
    /// The type of its file system, such as `ext4`.
    pub file_system: &'a [u8],
}

/// Reads a line.
pub fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut words = words(line);
    let path = unescaped(words.nth(4)?);
    // A variable number of fields, then a lone dash.
    words.find(|word| *word == b"-")?;
    Some(Mount { path, file_system: words.next()? })
}

/// Whether looking at an inode there may wait for someone else, who may be gone.
pub(crate) fn is_remote(file_system: &[u8]) -> bool {
    const REMOTE: [&[u8]; 17] = [
        b"nfs",
        b"nfs4",
        b"cifs",
        b"smb3",
        b"smbfs",
        b"ncpfs",
        b"afs",
        b"coda",
        b"ceph",
        b"9p",
        b"lustre",
        b"gfs2",
        b"ocfs2",
        b"glusterfs",
        b"orangefs",
        b"fuse",
        b"autofs",
    ];
    REMOTE.contains(&file_system) || file_system.starts_with(b"fuse.")
}

/// Space, tab, line feed and backslash are written as three octal digits.
pub(super) fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped =
            (first == b'\\').then(|| tail.get(..3).and_then(super::numbers::octal)).flatten();
        match escaped.and_then(|code| u8::try_from(code).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = &tail[3..];
            }
            None => {
                path.push(first);
                rest = tail;
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_are_skipped() {
        for optional in ["", "shared:1 ", "shared:1 master:2 "] {
            let line = format!(
                "36 35 98:0 /mnt1 /mnt/a\\040b\\134c rw,noatime {optional}- nfs4 srv:/x rw"
            );
            let found = mount(line.as_bytes()).unwrap();
            assert_eq!(found, Mount { path: b"/mnt/a b\\c".to_vec(), file_system: b"nfs4" });
        }
        assert_eq!(mount(b"36 35 98:0 / /mnt rw"), None);
        assert_eq!(mount(b""), None);
    }

    #[test]
    fn half_an_escape_is_taken_as_it_is() {
        for (word, path) in
            [("a\\04", "a\\04"), ("\\", "\\"), ("\\999", "\\999"), ("\\777", "\\777")]
        {
            assert_eq!(unescaped(word.as_bytes()), path.as_bytes());
        }
    }

    #[test]
    fn what_others_answer_for_is_remote() {
        for name in ["nfs", "nfs4", "cifs", "fuse", "fuse.sshfs", "9p"] {
            assert!(is_remote(name.as_bytes()), "{name}");
        }
        for name in ["ext4", "tmpfs", "overlay", "fusectl", "fuseblk", "nfsd"] {
            assert!(!is_remote(name.as_bytes()), "{name}");
        }
    }
}
