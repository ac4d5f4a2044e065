// SPDX-License-Identifier: Apache-2.0
//! Extended attributes of an open file.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Extended attributes by name; sorted, because digests and tars depend on the order.
pub type XattrMap = BTreeMap<Vec<u8>, Vec<u8>>;

/// The kernel's limit on one value and on a list of names.
///
/// Docs: xattr(7), "limits".
const XATTR_BYTES_MAX: usize = 64 * 1024;

/// Returns the value of the attribute `name`, or `None` if the file has none or the file system
/// knows no attributes.
pub(crate) fn get_xattr(fd: impl AsFd, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::with_capacity(256);
    loop {
        match rustix::fs::fgetxattr(&fd, name, rustix::buffer::spare_capacity(&mut value)) {
            Ok(_) => return Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(Errno::RANGE) if value.capacity() < XATTR_BYTES_MAX => {
                value.reserve(XATTR_BYTES_MAX);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns all attributes that `keep` accepts by name.
pub(crate) fn list_xattrs(fd: impl AsFd, keep: impl Fn(&[u8]) -> bool) -> io::Result<XattrMap> {
    let mut names = Vec::new();
    match rustix::fs::flistxattr_query(&fd) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(XattrMap::new()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    names.reserve(XATTR_BYTES_MAX);
    rustix::fs::flistxattr(&fd, rustix::buffer::spare_capacity(&mut names))?;
    let mut found = XattrMap::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        if keep(name)
            && let Some(value) = get_xattr(&fd, name)?
        {
            found.insert(name.to_vec(), value);
        }
    }
    Ok(found)
}

/// Sets one attribute of an open file.
pub(crate) fn set_xattr(fd: impl AsFd, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())?)
}
