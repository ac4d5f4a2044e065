// SPDX-License-Identifier: Apache-2.0
//! Dockerfiles of our own with `BuildKit`'s answers: read, written to disk, built and compared.
//!
//! A case is one text file of `integration/corpus/`; `README.md` there has its form. [`Case`] reads
//! it, [`BaseImages`] are the images that its `FROM` lines may name, a [`Builder`] (kiln or
//! `BuildKit`) turns it into an [`Answer`], and [`compare`] says where two answers differ.
//!
//! Does not know what a right answer is: that is what `BuildKit` said.

mod answer;
mod base;
mod builder;
mod case;
mod compare;
mod context;
mod entry;
mod lint;
mod web;
mod words;

use std::path::Path;

pub use answer::Answer;
pub use base::BaseImages;
pub use builder::{BuildKit, Builder, Kiln};
pub use case::{Case, read_cases};
pub use compare::{Change, compare, compare_calls};
pub use web::Web;

/// What cases find around them: base images, and files on the web.
#[derive(Debug)]
pub struct Surroundings {
    /// The base images.
    pub bases: BaseImages,
    /// The web.
    pub web: Web,
}

impl Surroundings {
    /// Makes what `cases` find around them, below the new directory `directory`.
    pub fn make(cases: &[Case], directory: &Path) -> Self {
        Self {
            bases: BaseImages::make(cases, &directory.join("bases")),
            web: Web::serve(cases, directory),
        }
    }
}
