//! `cat`: objects to standard output.

use std::ops::Range;

use drystone_store::{Key, StoreError};

use crate::args::CatArgs;
use crate::exit::{Exit, Outcome, Usage};
use crate::heartbeat::Heartbeat;
use crate::open::open;
use crate::output;
use crate::settings::Settings;

pub(crate) fn run(settings: &Settings, args: &CatArgs) -> Outcome {
    let bucket = settings.bucket(&args.bucket)?;
    let open = open(settings)?;
    let _heartbeat = Heartbeat::of_readers(&open.store)?;
    let mut out = output::stdout()?;
    for name in &args.names {
        let key = Key::new(name).map_err(StoreError::Name)?;
        let object = open.store.open(&bucket, &key)?;
        let size = object.row().size;
        let range = args.range.as_deref().map(|text| parse_range(text, size)).transpose()?;
        open.store.read(&object, range).copy_to(&mut out)??;
    }
    Ok(Exit::Success)
}

/// `FROM-TO` with TO included, `FROM-` or `-LAST`, as in HTTP.
fn parse_range(text: &str, size: u64) -> Result<Range<u64>, Usage> {
    let wrong =
        || Usage(format!("`{text}` is not a range: write FROM-TO, FROM- or -LAST, in bytes"));
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    match text.split_once('-').ok_or_else(wrong)? {
        ("", last) => Ok(size.saturating_sub(number(last)?)..size),
        (from, "") => Ok(number(from)?..size),
        (from, to) => {
            let (from, to) = (number(from)?, number(to)?);
            if from > to { Err(wrong()) } else { Ok(from..to.saturating_add(1)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&Range<u64>>) {
        assert_eq!(parse_range(text, 100).ok().as_ref(), expected, "{text}");
    }

    #[test]
    fn ranges_parse() {
        check("0-0", Some(&(0..1)));
        check("10-", Some(&(10..100)));
        check("-10", Some(&(90..100)));
        check("-1000", Some(&(0..100)));
        check("5-18446744073709551615", Some(&(5..u64::MAX)));
        for bad in ["", "-", "5", "6-5", "a-b", "1-2-3", "18446744073709551616-"] {
            check(bad, None);
        }
    }
}
