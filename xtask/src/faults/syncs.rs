//! Which files a command has synced, and in which order, from what strace wrote.

use std::collections::BTreeSet;

/// Whether the process relied on a segment (synced it) before its name was durable. Before that,
/// the process must have synced the folder of the segment, and after that the folder above it.
pub(super) fn is_used_unnamed(calls: &[String]) -> bool {
    let (mut pending, mut named) = (BTreeSet::new(), BTreeSet::new());
    for call in calls.iter().filter(|call| call.ends_with(" = 0")) {
        match synced(call) {
            Some(Synced::Folder(folder)) => drop(pending.insert(folder)),
            Some(Synced::Root) => named.append(&mut pending),
            Some(Synced::Segment(folder)) if !named.contains(folder) => return true,
            Some(Synced::Segment(_)) | None => {}
        }
    }
    false
}

/// What a call syncs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Synced<'a> {
    /// The folder of the folders of segments.
    Root,
    /// A folder of segments.
    Folder(&'a str),
    /// A segment in this folder.
    Segment(&'a str),
}

pub(super) fn synced(call: &str) -> Option<Synced<'_>> {
    let (name, path) = call.split_once("sync(")?;
    if !(name.ends_with(" f") || name.ends_with(" fdata")) {
        return None;
    }
    let (_, path) = path.split_once("/segments")?;
    let (path, _) = path.split_once('>')?;
    Some(match path.trim_start_matches('/').split_once('/') {
        Some((folder, _)) => Synced::Segment(folder),
        None if path.is_empty() => Synced::Root,
        None => Synced::Folder(&path[1..]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_told_by_what_it_is_of() {
        assert_eq!(synced("7 fsync(9</s/segments/02>) = 0"), Some(Synced::Folder("02")));
        assert_eq!(synced("7 fdatasync(9</s/segments/02/0a>) = 0"), Some(Synced::Segment("02")));
        assert_eq!(synced("7 fsync(9</s/segments>) = 0"), Some(Synced::Root));
        assert_eq!(synced("7 fsync(9</s/records.db>) = 0"), None);
        assert_eq!(synced("7 write(9</s/segments/02/0a>, \"sync(\", 5) = 5"), None);
    }

    #[test]
    fn a_segment_whose_name_was_not_synced_must_not_be_used() {
        let is_unnamed = |calls: &[&str]| {
            let calls: Vec<_> = calls.iter().map(|call| (*call).to_owned()).collect();
            is_used_unnamed(&calls)
        };
        let (folder, root) = ("7 fsync(9</s/segments/02>) = 0", "7 fsync(9</s/segments>) = 0");
        let used = "8 fdatasync(9</s/segments/02/0a>) = 0";
        assert!(!is_unnamed(&[folder, root, used, used]));
        assert!(!is_unnamed(&[folder, root]));
        for (at, calls) in
            [[root, folder, used].as_slice(), &[folder, used], &[root, used], &[used]]
                .iter()
                .enumerate()
        {
            assert!(is_unnamed(calls), "{at}");
        }
        let failed = folder.replace("= 0", "= -1 ENOSPC (No space left on device) (INJECTED)");
        assert!(is_unnamed(&[&failed, root, used]));
        assert!(!is_unnamed(&[&failed, folder, root, used]), "it was synced since");
        assert!(!is_unnamed(&[&failed, root]), "it was given up");
        let failed = used.replace("= 0", "= -1 EIO (Input/output error) (INJECTED)");
        assert!(!is_unnamed(&[&failed]), "that is another matter");
    }
}
