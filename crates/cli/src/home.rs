//! `~` at the beginning of a path from a flag, a variable or the configuration file. A shell
//! expands it only at the beginning of a word, so it is still there in `--store=~/wall` and in
//! files.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

/// Why a path that begins with `~` is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HomeError {
    #[error("`~` stands for the home folder, but HOME is not set: write the whole path")]
    Unset,
    #[error(
        "`{0}` stands for another user's folder, which is not looked up: write the whole path, \
         or `./{0}` for a folder of that name"
    )]
    User(String),
}

/// For flags and variables.
pub(crate) fn parser() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| expand(&path))
}

/// The path itself, or with the home folder in place of a first component `~`.
pub(crate) fn expand(path: &Path) -> Result<PathBuf, HomeError> {
    expand_in(path, std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from))
}

fn expand_in(path: &Path, home: Option<PathBuf>) -> Result<PathBuf, HomeError> {
    if !path.as_os_str().as_bytes().starts_with(b"~") {
        return Ok(path.to_owned());
    }
    let Ok(below) = path.strip_prefix("~") else {
        let user = path.components().next().map(|first| first.as_os_str().to_string_lossy());
        return Err(HomeError::User(user.unwrap_or_default().into_owned()));
    };
    let home = home.ok_or(HomeError::Unset)?;
    // Joining nothing would add a slash.
    Ok(if below.as_os_str().is_empty() { home } else { home.join(below) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<&str, HomeError>) {
        let found = expand_in(Path::new(path), Some("/home/anna".into()));
        assert_eq!(found, expected.map(PathBuf::from), "{path}");
    }

    #[test]
    fn the_home_folder_stands_for_a_first_component_that_is_a_tilde() {
        check("~/wall", Ok("/home/anna/wall"));
        check("~", Ok("/home/anna"));
        check("~/", Ok("/home/anna"));
        check("~//a/~/b", Ok("/home/anna/a/~/b"));
        for as_it_is in ["/~/wall", "./~", "./~/wall", "a~", "wall", "..", "a/~/b", ""] {
            check(as_it_is, Ok(as_it_is));
        }
        check("~bob/wall", Err(HomeError::User("~bob".into())));
        check("~~", Err(HomeError::User("~~".into())));
        assert_eq!(expand_in(Path::new("~/wall"), None), Err(HomeError::Unset));
        assert_eq!(expand_in(Path::new("wall"), None), Ok("wall".into()));
    }
}
