// SPDX-License-Identifier: Apache-2.0
//! The reader of one word.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use super::name::{is_digit, is_letter};
use super::pattern::{self, Effort};
use super::{EXPANDED_BYTES_MAX, ExpandError, Expanded, NESTING_MAX, Variables};

/// How a word is read.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent switches, all off by default"
)]
pub struct Expander {
    /// The escape character.
    pub escape: char,
    /// Quotes stay in the result, but still protect what they enclose.
    pub keep_quotes: bool,
    /// Escape characters stay in the result.
    pub keep_escapes: bool,
    /// Quotes are ordinary characters.
    pub ignore_quotes: bool,
    /// Unset variables stay as they are written.
    pub keep_unset: bool,
}

impl Expander {
    /// Returns an expander with the given escape character and all switches off.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            keep_quotes: false,
            keep_escapes: false,
            ignore_quotes: false,
            keep_unset: false,
        }
    }

    /// Expands `source` with `variables`.
    ///
    /// # Errors
    ///
    /// [`ExpandError`] for the first thing in `source` that is malformed or required but unset.
    pub fn expand(&self, source: &str, variables: &dyn Variables) -> Result<Expanded, ExpandError> {
        let mut reader = Reader {
            rules: *self,
            // Observed: Go's scanner drops a byte order mark at the start.
            chars: source
                .strip_prefix('\u{feff}')
                .unwrap_or(source)
                .chars()
                .peekable(),
            variables,
            depth: 0,
            effort: Effort::new(),
            found: Expanded::default(),
        };
        let (text, words) = reader.until(None, self.keep_escapes)?;
        Ok(Expanded {
            text,
            words,
            ..reader.found
        })
    }
}

impl Expander {
    /// Expands as [`Expander::expand`] does, and adds to `unset` the names that were not set, also
    /// those before a problem.
    pub(crate) fn expand_noting(
        self,
        source: &str,
        variables: &dyn Variables,
        unset: &mut BTreeSet<String>,
    ) -> Result<Expanded, ExpandError> {
        let noting = Noting {
            variables,
            unset: RefCell::new(unset),
        };
        self.expand(source, &noting)
    }
}

/// Writes down what was asked for in vain.
struct Noting<'a> {
    variables: &'a dyn Variables,
    unset: RefCell<&'a mut BTreeSet<String>>,
}

impl Variables for Noting<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name);
        if value.is_none() {
            self.unset.borrow_mut().insert(name.to_owned());
        }
        value
    }
}

struct Reader<'a> {
    rules: Expander,
    chars: Peekable<Chars<'a>>,
    variables: &'a dyn Variables,
    effort: Effort,
    depth: usize,
    /// Only the names are filled while reading.
    found: Expanded,
}

/// Collects words beside the text.
#[derive(Default)]
struct Words {
    current: String,
    started: bool,
    done: Vec<String>,
}

impl Words {
    fn push(&mut self, text: &str) {
        for character in text.chars() {
            if !character.is_whitespace() {
                self.push_protected(character);
            } else if self.started && !self.current.is_empty() {
                self.done.push(std::mem::take(&mut self.current));
                self.started = false;
            }
        }
    }

    fn push_raw(&mut self, text: &str) {
        self.current.push_str(text);
        self.started = true;
    }

    fn push_protected(&mut self, character: char) {
        self.current.push(character);
        self.started = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

impl Reader<'_> {
    /// Reads up to `stop`, or to the end if there is none.
    fn until(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
    ) -> Result<(String, Vec<String>), ExpandError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(ExpandError::TooDeep);
        }
        let outer = std::mem::replace(&mut self.rules.keep_escapes, keep_escapes);
        let result = self.read_until(stop);
        self.rules.keep_escapes = outer;
        self.depth -= 1;
        result
    }

    /// Reads a part of a substitution. If the text ends inside it, that is the problem to name, and
    /// not the quote or the inner brace that swallowed the rest.
    fn part(&mut self, stop: char, keep_escapes: bool) -> Result<String, ExpandError> {
        let error = match self.until(Some(stop), keep_escapes) {
            Ok((text, _)) => return Ok(text),
            Err(error) => error,
        };
        let limit = matches!(error, ExpandError::TooDeep | ExpandError::TooLong);
        if limit || self.chars.peek().is_some() {
            return Err(error);
        }
        Err(if stop == '/' {
            ExpandError::MissingSlash
        } else {
            ExpandError::MissingBrace
        })
    }

    fn read_until(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), ExpandError> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(&next) = self.chars.peek() {
            if text.len() > EXPANDED_BYTES_MAX {
                return Err(ExpandError::TooLong);
            }
            if Some(next) == stop {
                self.chars.next();
                return Ok((text, words.finish()));
            }
            match next {
                '$' => {
                    let value = self.dollar()?;
                    words.push(&value);
                    text.push_str(&value);
                }
                '\'' | '"' if !self.rules.ignore_quotes => {
                    let value = if next == '"' {
                        self.double_quoted()?
                    } else {
                        self.single_quoted()?
                    };
                    words.push_raw(&value);
                    text.push_str(&value);
                }
                '<' => {
                    let value = self.possible_heredoc();
                    words.push_raw(&value);
                    text.push_str(&value);
                }
                _ => self.plain(&mut text, &mut words),
            }
        }
        match stop {
            None => Ok((text, words.finish())),
            Some('/') => Err(ExpandError::MissingSlash),
            Some(_) => Err(ExpandError::MissingBrace),
        }
    }

    fn plain(&mut self, text: &mut String, words: &mut Words) {
        let Some(character) = self.chars.next() else {
            return;
        };
        if character != self.rules.escape {
            let mut buffer = [0; 4];
            words.push(character.encode_utf8(&mut buffer));
            text.push(character);
            return;
        }
        if self.rules.keep_escapes {
            words.push_protected(character);
            text.push(character);
        }
        if let Some(escaped) = self.chars.next() {
            words.push_protected(escaped);
            text.push(escaped);
        }
    }

    /// Reads `<`, or `<<` with the blanks behind it: the word of a heredoc may stand apart.
    fn possible_heredoc(&mut self) -> String {
        self.chars.next();
        if self.chars.next_if_eq(&'<').is_none() {
            return "<".to_owned();
        }
        let mut text = "<<".to_owned();
        while let Some(blank) = self.chars.next_if(|c| matches!(c, '\t' | '\r' | ' ')) {
            text.push(blank);
        }
        text
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        self.chars.next();
        for character in self.chars.by_ref() {
            if character == '\'' {
                return Ok(if self.rules.keep_quotes {
                    format!("'{text}'")
                } else {
                    text
                });
            }
            text.push(character);
        }
        Err(ExpandError::UnmatchedQuote("single-quote"))
    }

    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        self.chars.next();
        while let Some(&next) = self.chars.peek() {
            if text.len() > EXPANDED_BYTES_MAX {
                return Err(ExpandError::TooLong);
            }
            match next {
                '"' => {
                    self.chars.next();
                    return Ok(if self.rules.keep_quotes {
                        format!("\"{text}\"")
                    } else {
                        text
                    });
                }
                '$' => text.push_str(&self.dollar()?),
                _ => self.double_quoted_plain(next, &mut text),
            }
        }
        Err(ExpandError::UnmatchedQuote("double-quote"))
    }

    /// Inside double quotes only the quote, `$` and the escape character itself can be escaped.
    fn double_quoted_plain(&mut self, mut character: char, text: &mut String) {
        self.chars.next();
        if character == self.rules.escape {
            if self.rules.keep_escapes {
                text.push(character);
            }
            match self.chars.peek() {
                None => return,
                Some(&next) if next == '"' || next == '$' || next == self.rules.escape => {
                    self.chars.next();
                    character = next;
                }
                Some(_) => {}
            }
        }
        text.push(character);
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.chars.next();
        if self.chars.peek() == Some(&'{') {
            self.chars.next();
            return self.braces();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match self.look_up(&name) {
            Some(value) => value,
            None if self.rules.keep_unset => format!("${name}"),
            None => String::new(),
        })
    }

    /// Reads what stands behind `${`.
    fn braces(&mut self) -> Result<String, ExpandError> {
        match self.chars.peek() {
            None => return Err(ExpandError::MissingBrace),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.chars.next() {
            Some('}') => Ok(match self.look_up(&name) {
                Some(value) => value,
                None if self.rules.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => {
                let operator = self.chars.next();
                self.modified(&name, operator, true)
            }
            Some(operator @ ('+' | '-' | '?' | '#' | '%')) => {
                self.modified(&name, Some(operator), false)
            }
            Some('/') => self.replaced(&name),
            Some(other) => Err(ExpandError::UnsupportedModifier(other.to_string())),
            None => Err(ExpandError::MissingBrace),
        }
    }

    /// Reads what stands behind `${name-` or `${name:-` and decides.
    fn modified(
        &mut self,
        name: &str,
        operator: Option<char>,
        colon: bool,
    ) -> Result<String, ExpandError> {
        let Some(operator) = operator else {
            return Err(ExpandError::MissingBrace);
        };
        let trims = matches!(operator, '#' | '%');
        let sign = if colon {
            format!(":{operator}")
        } else {
            operator.to_string()
        };
        if colon && trims {
            return Err(ExpandError::UnsupportedModifier(sign));
        }
        let word = self.part('}', trims)?;
        let value = self.look_up(name);
        if value.is_none() && self.rules.keep_unset {
            return Ok(format!("${{{name}{sign}{word}}}"));
        }
        let present = value
            .as_ref()
            .is_some_and(|value| !(colon && value.is_empty()));
        let known = value.is_some();
        let value = value.unwrap_or_default();
        match operator {
            '-' => Ok(if present { value } else { word }),
            '+' => Ok(if present { word } else { String::new() }),
            '?' if present => Ok(value),
            '?' => Err(ExpandError::Required {
                name: name.to_owned(),
                message: match (word.is_empty(), known) {
                    (false, _) => word,
                    (true, false) => "is not allowed to be unset".to_owned(),
                    (true, true) => "is not allowed to be empty".to_owned(),
                },
            }),
            '#' | '%' => pattern::trim(&value, &word, operator, &mut self.effort),
            _ => Err(ExpandError::UnsupportedModifier(sign)),
        }
    }

    /// Reads what stands behind `${name/`.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.chars.peek() == Some(&'/');
        if all {
            self.chars.next();
        }
        let found = self.part('/', true)?;
        let replacement = self.part('}', true)?;
        match self.look_up(name) {
            None if self.rules.keep_unset => Ok(format!("${{{name}/{found}/{replacement}}}")),
            value => {
                let value = value.unwrap_or_default();
                pattern::replace(&value, (&found, &replacement), all, &mut self.effort)
            }
        }
    }

    /// Reads a name: letters, digits and `_`; all digits if it starts with one; or one special sign.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(&first) if is_digit(first) => {
                while let Some(digit) = self.chars.next_if(|&c| is_digit(c)) {
                    name.push(digit);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.chars.next()),
            _ => {
                while let Some(letter) = self.chars.next_if(|&c| is_letter(c) || is_digit(c)) {
                    name.push(letter);
                }
            }
        }
        name
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name).map(str::to_owned);
        let names = if value.is_some() {
            &mut self.found.used
        } else {
            &mut self.found.unset
        };
        names.insert(name.to_owned());
        value
    }
}
