// SPDX-License-Identifier: Apache-2.0
//! The operation that changes files without a process: copy, make, remove, link.
//!
//! Spec: BuildKit `ops.proto`, message `FileOp` and its actions.

/// Actions carried out in order; each reads the result of an earlier one or an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileOp {
    /// The actions.
    pub actions: Vec<FileAction>,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAction {
    /// The tree that is changed.
    pub input: ActionInput,
    /// The tree that is read from (copy).
    pub secondary: ActionInput,
    /// Output index of the vertex under which the result is handed on; none for a tree that only a
    /// later action uses.
    pub output: Option<u32>,
    /// What is done.
    pub kind: FileActionKind,
}

/// A tree that an action works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionInput {
    /// The empty tree.
    Scratch,
    /// An input of the vertex, by index.
    Input(usize),
    /// The result of an earlier action, by index.
    Action(usize),
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileActionKind {
    /// Copies from `secondary` to `input`.
    Copy(Box<CopyAction>),
    /// Writes a file.
    Mkfile(MkfileAction),
    /// Makes a directory.
    Mkdir(MkdirAction),
    /// Removes a path.
    Remove(RemoveAction),
    /// Makes a symbolic link.
    Symlink(SymlinkAction),
}

/// Owner and group of what an action makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chown {
    /// Owner; none keeps the default.
    pub user: Option<Principal>,
    /// Group; none keeps the default.
    pub group: Option<Principal>,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// By number.
    Id(u32),
    /// By name, looked up in `/etc/passwd` or `/etc/group` of a tree.
    Name {
        /// The name.
        name: String,
        /// The tree.
        input: ActionInput,
    },
}

/// Copies files from one tree to another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields of BuildKit's FileActionCopy, one by one"
)]
pub struct CopyAction {
    /// Path or pattern in the source tree, absolute.
    pub src: String,
    /// Path in the target tree, absolute; a trailing `/` or `/.` makes it a directory.
    pub dest: String,
    /// Owner; none keeps the source's.
    pub owner: Option<Chown>,
    /// Permission bits; none keeps the source's.
    pub mode: Option<u32>,
    /// Permissions in `chmod`'s symbolic form; empty for none.
    pub mode_str: String,
    /// Whether a symbolic link named as source is followed.
    pub follow_symlink: bool,
    /// Whether a directory named as source means its content.
    pub dir_copy_contents: bool,
    /// Whether a tar archive named as source is unpacked.
    pub attempt_unpack: bool,
    /// Whether missing parents of `dest` are made.
    pub create_dest_path: bool,
    /// Whether `src` is a pattern.
    pub allow_wildcard: bool,
    /// Whether a pattern without a match is fine.
    pub allow_empty_wildcard: bool,
    /// Modification time of everything made, nanoseconds since 1970; none keeps the source's.
    pub timestamp: Option<i64>,
    /// If not empty, only matching paths are copied.
    pub include_patterns: Vec<String>,
    /// Matching paths are left out.
    pub exclude_patterns: Vec<String>,
    /// Whether a target of another type is replaced rather than an error.
    pub always_replace: bool,
    /// Paths that must exist in the source.
    pub required_paths: Vec<String>,
}

impl Default for CopyAction {
    fn default() -> Self {
        Self {
            src: "/".into(),
            dest: "/".into(),
            owner: None,
            mode: None,
            mode_str: String::new(),
            follow_symlink: false,
            dir_copy_contents: false,
            attempt_unpack: false,
            create_dest_path: false,
            allow_wildcard: false,
            allow_empty_wildcard: false,
            timestamp: None,
            include_patterns: Vec::new(),
            exclude_patterns: Vec::new(),
            always_replace: false,
            required_paths: Vec::new(),
        }
    }
}

/// Writes a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MkfileAction {
    /// Where, absolute.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
    /// Owner; none is root.
    pub owner: Option<Chown>,
    /// Modification time, nanoseconds since 1970; none is the time of the build.
    pub timestamp: Option<i64>,
}

/// Makes a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MkdirAction {
    /// Where, absolute.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Whether missing parents are made and an existing directory is fine.
    pub make_parents: bool,
    /// Owner; none is root.
    pub owner: Option<Chown>,
    /// Modification time, nanoseconds since 1970; none is the time of the build.
    pub timestamp: Option<i64>,
}

/// Removes a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveAction {
    /// Path or pattern, absolute.
    pub path: String,
    /// Whether a missing path is fine.
    pub allow_not_found: bool,
    /// Whether `path` is a pattern.
    pub allow_wildcard: bool,
}

/// Makes a symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymlinkAction {
    /// What the link says.
    pub target: String,
    /// Where the link is, absolute.
    pub path: String,
    /// Owner; none is root.
    pub owner: Option<Chown>,
    /// Modification time, nanoseconds since 1970; none is the time of the build.
    pub timestamp: Option<i64>,
}
