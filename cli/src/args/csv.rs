// SPDX-License-Identifier: Apache-2.0
//! `key=value,key=value` as docker's flags write it: one record of a CSV file.
//!
//! Docs: buildx reads `--output` and `--secret` with Go's `encoding/csv`, so a value with a comma
//! is written as `"name=a,b"`.

/// Why a text is not one record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsvError {
    /// A quote in the middle of a field.
    #[error("a quote stands inside a field; quote the whole field: \"key=value\"")]
    BareQuote,
    /// A quoted field does not end, or something follows its end.
    #[error("a quoted field does not end before the next comma")]
    OpenQuote,
    /// A field without `=`.
    #[error("`{0}` is not of the form key=value")]
    NotAPair(String),
    /// Nothing there.
    #[error("value is empty")]
    Empty,
}

/// Splits a record into its fields.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, CsvError> {
    if text.is_empty() {
        return Err(CsvError::Empty);
    }
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(rest)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn plain_field(text: &str) -> Result<(String, Option<&str>), CsvError> {
    let (field, after) = match text.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (text, None),
    };
    if field.contains('"') {
        return Err(CsvError::BareQuote);
    }
    Ok((field.to_owned(), after))
}

fn quoted_field(text: &str) -> Result<(String, Option<&str>), CsvError> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or(CsvError::OpenQuote)?;
        field.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            rest = after;
            continue;
        }
        return match after.strip_prefix(',') {
            Some(after) => Ok((field, Some(after))),
            None if after.is_empty() => Ok((field, None)),
            None => Err(CsvError::OpenQuote),
        };
    }
}

/// Splits a record into keys (lower case, as in buildx) and values.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, CsvError> {
    fields(text)?
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_lowercase(), value.to_owned())),
            None => Err(CsvError::NotAPair(field)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_go_reads_them() {
        for (rule, text, expected) in [
            ("one field", "a=b", Some(vec!["a=b"])),
            ("several", "a=b,c=d", Some(vec!["a=b", "c=d"])),
            (
                "a quoted comma",
                r#"a=b,"name=x,y""#,
                Some(vec!["a=b", "name=x,y"]),
            ),
            ("a doubled quote", r#""a=""b""""#, Some(vec![r#"a="b""#])),
            ("an empty field", "a=b,", Some(vec!["a=b", ""])),
            ("a bare quote", r#"a="b""#, None),
            ("an open quote", r#""a=b"#, None),
            ("text after a quote", r#""a=b"c"#, None),
            ("nothing", "", None),
        ] {
            let found = fields(text).ok();
            let expected =
                expected.map(|list: Vec<&str>| list.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{rule}: {text}");
        }
        assert_eq!(pairs("Type=x,nope"), Err(CsvError::NotAPair("nope".into())));
    }
}
