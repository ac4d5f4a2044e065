// SPDX-License-Identifier: Apache-2.0
//! Builds file vertices: a chain of actions over one tree, reading from others.

use graph::{
    ActionInput, Chown, Edge, FileAction, FileActionKind, FileOp, Graph, MkfileAction, Op,
    Principal, VertexMeta,
};

/// A chain of actions in the making.
#[derive(Debug)]
pub(super) struct FileBuilder {
    inputs: Vec<Edge>,
    actions: Vec<FileAction>,
    /// The tree that the chain started from.
    base: ActionInput,
    /// The tree that the next action changes.
    current: ActionInput,
}

impl FileBuilder {
    /// Returns a chain that starts from `tree`; none is the empty tree.
    pub(super) fn new(tree: Option<Edge>) -> Self {
        let base = match tree {
            Some(_) => ActionInput::Input(0),
            None => ActionInput::Scratch,
        };
        Self {
            base,
            current: base,
            inputs: tree.into_iter().collect(),
            actions: Vec::new(),
        }
    }

    /// Returns the owner that `user[:group]` names. Names are looked up in the tree that the chain
    /// started from.
    ///
    /// # Errors
    ///
    /// The name that cannot be looked up, because that tree is empty.
    pub(super) fn owner(&self, text: &str) -> Result<Chown, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        Ok(Chown {
            user: Some(self.principal(user)?),
            group: group.map(|group| self.principal(group)).transpose()?,
        })
    }

    fn principal(&self, name: &str) -> Result<Principal, String> {
        // `--chown=user:` has an empty group, which is 0 and not the user's own.
        if name.is_empty() || name == "root" {
            return Ok(Principal::Id(0));
        }
        // A number that does not fit 31 bits is a name. `Observed:` BuildKit 73ed6825.
        if let Ok(id) = name.parse::<i32>() {
            return Ok(Principal::Id(id.cast_unsigned()));
        }
        if self.base == ActionInput::Scratch {
            return Err(format!(
                "`{name}` cannot be looked up: there is no /etc/passwd to find it in"
            ));
        }
        Ok(Principal::Name {
            name: name.to_owned(),
            input: self.base,
        })
    }

    /// Makes a tree readable by actions.
    pub(super) fn input(&mut self, tree: Option<Edge>) -> ActionInput {
        let Some(tree) = tree else {
            return ActionInput::Scratch;
        };
        let known = self.inputs.iter().position(|known| *known == tree);
        ActionInput::Input(known.unwrap_or_else(|| {
            self.inputs.push(tree);
            self.inputs.len() - 1
        }))
    }

    /// Appends an action on the current tree.
    pub(super) fn push(&mut self, secondary: ActionInput, kind: FileActionKind) {
        self.actions.push(FileAction {
            input: self.current,
            secondary,
            output: None,
            kind,
        });
        self.current = ActionInput::Action(self.actions.len() - 1);
    }

    /// Adds the vertex; the result of the last action is its output.
    pub(super) fn finish(mut self, graph: &mut Graph, meta: VertexMeta) -> Edge {
        if let Some(last) = self.actions.last_mut() {
            last.output = Some(0);
        }
        let op = Op::File(FileOp {
            actions: self.actions,
        });
        Edge::first(graph.add(op, self.inputs, None, meta))
    }
}

/// Adds a tree that holds one file.
pub(super) fn inline_document(graph: &mut Graph, name: &str, mode: u32, content: Vec<u8>) -> Edge {
    let mut file = FileBuilder::new(None);
    file.push(
        ActionInput::Scratch,
        FileActionKind::Mkfile(MkfileAction {
            path: crate::paths::resolve("/", name),
            mode,
            content,
            owner: None,
            timestamp: None,
        }),
    );
    let meta = VertexMeta {
        name: "[internal] preparing inline document".to_owned(),
        ..VertexMeta::default()
    };
    file.finish(graph, meta)
}
