// SPDX-License-Identifier: Apache-2.0
//! Rules about EXPOSE.

use super::Linter;
use crate::instruction::Instruction;
use crate::span::Word;

pub(super) fn check(linter: &mut Linter<'_>, instruction: &Instruction, word: &Word) {
    if let Some((_, protocol)) = word.text.split_once('/')
        && !protocol.contains('$')
        && protocol != protocol.to_lowercase()
    {
        let message = format!(
            "Defined protocol '{}' in EXPOSE instruction should be lowercase",
            word.text
        );
        linter.warn(instruction, "ExposeProtoCasing", word.span, &message);
    }
    // A colon inside braces belongs to a substitution.
    if word.text.contains(':') && !word.text.contains("${") {
        let message = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{}'",
            word.text
        );
        linter.warn(instruction, "ExposeInvalidFormat", word.span, &message);
    }
}
