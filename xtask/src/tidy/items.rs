//! Brackets and items among the tokens of a Rust file: which of them are compiled for tests only.

use std::ops::Range;

use super::source::Token;

/// The index behind the bracket that closes the one at `open`, or the end of the tokens when none
/// does.
pub(super) fn close_of(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The items behind `#[cfg(test)]` and `#[cfg(all(test, …))]`, attribute included.
pub(super) fn test_items(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for at in 0..tokens.len() {
        let inside = items.last().is_some_and(|item| item.contains(&at));
        if !inside
            && tokens[at].text == "#"
            && tokens.get(at + 1).is_some_and(|token| token.text == "[")
        {
            let end = close_of(tokens, at + 1);
            if is_test_attribute(&tokens[at..end]) {
                items.push(at..end_of_item(tokens, end));
            }
        }
    }
    items
}

fn is_test_attribute(attribute: &[Token<'_>]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.text == word);
    attribute.get(2).is_some_and(|token| token.text == "cfg")
        && has("test")
        && !has("not")
        && !has("any")
}

/// The item at `at` goes on to its `;` or through its first block.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" => return at + 1,
            "{" => return close_of(tokens, at),
            "(" | "[" => at = close_of(tokens, at),
            _ => at += 1,
        }
    }
    tokens.len()
}
