//! Rust text as words, signs and comments. It is as much of a lexer as the rules need, and no
//! parser.

/// A word, or a single sign. Comments, strings and characters are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

#[derive(Debug, Default)]
pub(super) struct LexedFile<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    pub(super) comments: Vec<Token<'a>>,
    /// String literals with their quotes. Raw ones begin with their hashes.
    pub(super) strings: Vec<Token<'a>>,
}

impl<'a> LexedFile<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut lexer = Lexer { text, at: 0, line: 1, source: Self::default() };
        while lexer.at < text.len() {
            lexer.step();
        }
        lexer.source
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    source: LexedFile<'a>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Consumes `bytes` bytes and returns them with the line they began on.
    fn take(&mut self, bytes: usize) -> Token<'a> {
        let token = Token { text: &self.rest()[..bytes], line: self.line };
        self.line += token.text.matches('\n').count();
        self.at += bytes;
        token
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        if rest.starts_with("//") {
            let comment = self.take(rest.find('\n').unwrap_or(rest.len()));
            self.source.comments.push(comment);
        } else if rest.starts_with("/*") {
            let comment = self.take(block_comment(rest));
            self.source.comments.push(comment);
        } else if is_word(first) {
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let raw = matches!(&rest[..word], "r" | "br" | "cr")
                .then(|| raw_string(&rest[word..]))
                .flatten();
            match raw {
                Some(string) => {
                    self.take(word);
                    let string = self.take(string);
                    self.source.strings.push(string);
                }
                None => {
                    let token = self.take(word);
                    self.source.tokens.push(token);
                }
            }
        } else if first == '"' {
            let string = self.take(quoted(rest, '"'));
            self.source.strings.push(string);
        } else if first == '\'' {
            self.take(character_or_tick(rest));
        } else {
            let sign = self.take(first.len_utf8());
            if !first.is_whitespace() {
                self.source.tokens.push(sign);
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a block comment, which may nest; to the end of the text when it never closes.
fn block_comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of `#"…"#` with any number of `#`; `None` for a raw identifier.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.find(|c| c != '#')?;
    text[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let body = hashes + 1;
    Some(text[body..].find(&close).map_or(text.len(), |end| body + end + close.len()))
}

/// The length of a literal in `quote`s with backslash escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal, or of the tick alone when it begins a lifetime.
fn character_or_tick(text: &str) -> usize {
    let mut after = text.chars().skip(1);
    match (after.next(), after.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        LexedFile::new(text).tokens.iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn strings_characters_and_comments_are_no_tokens() {
        for (text, expected) in [
            (r#"f("std::sync \" x", 'a', '\'', b'"', 'b')"#, "f ( , , , b , )"),
            (r####"let a = r#"thread " x"#; b"####, "let a = ; b"),
            ("br\"x\" + cr##\"a\"# b\"## c", "+ c"),
            ("r#type::<'a>", "r # type : : < a >"),
            ("a // b\n/* c /* d */ e */ f", "a f"),
            ("'\\u{1F600}' x 'é' y", "x y"),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn strings_are_kept_with_the_lines_they_begin_on() {
        let source = LexedFile::new("f(\"a\\\"b\",\n br#\"c\n\"#, 'd')");
        let strings: Vec<_> = source.strings.iter().map(|t| (t.line, t.text)).collect();
        assert_eq!(strings, [(1, "\"a\\\"b\""), (2, "#\"c\n\"#")]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let source = LexedFile::new("\"a\nb\"\n/* c\n */ d // e\nf");
        let at = |tokens: &[Token<'_>]| tokens.iter().map(|t| t.line).collect::<Vec<_>>();
        assert_eq!(at(&source.tokens), [4, 5]);
        assert_eq!(at(&source.comments), [3, 4]);
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_text() {
        for text in ["\"abc", "r#\"abc", "/* abc", "'\\", "'", "//"] {
            assert!(words(text).len() <= 1, "{text}");
        }
    }
}
