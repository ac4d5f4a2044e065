// SPDX-License-Identifier: Apache-2.0
//! umoci: unpacks an OCI image layout, strictly by the image-spec.

use std::path::Path;

use super::debian_program;
use crate::Program;

/// umoci has no state.
#[derive(Debug)]
pub struct Umoci;

impl Umoci {
    /// Returns a call that unpacks `tag` of the layout in `layout` to `bundle`.
    pub fn unpack(layout: &Path, tag: &str, bundle: &Path) -> Program {
        debian_program("umoci")
            .args(["unpack", "--image"])
            .arg(format!("{}:{tag}", layout.display()))
            .arg(bundle)
    }
}
