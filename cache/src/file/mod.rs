// SPDX-License-Identifier: Apache-2.0
//! One file, reached through the handle of its directory.
//!
//! Everything in this crate that touches a tree does it with the functions here: a name is one
//! component, the last symlink is never followed, and an error always says what was tried on which
//! path. Knows nothing of layers, snapshots or keys.

mod dir;
mod error;
mod meta;
mod xattr;

pub(crate) use dir::{
    chmod_fd, chown_fd, create_new, list, lstat, make_dir, open_dir, open_file, open_path_dir,
    read_link, set_times, set_times_at, stat_fd, unlink,
};
pub(crate) use error::Attempt;
pub use error::FileError;
pub use meta::{Kind, Meta, Timestamp};
pub use xattr::XattrMap;
pub(crate) use xattr::{get_xattr, list_xattrs, set_xattr};
