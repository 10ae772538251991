//! Changing a tree.

use std::collections::BTreeMap;

use super::path::RepoPath;
use crate::git::{Entry, Mode, Oid, Tree};
use crate::reply::{HubError, HubResult};
use crate::state::Hub;

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Puts a blob at a path, in place of the file that may be there.
    Put(RepoPath, Oid),
    /// Removes a file.
    DeleteFile(RepoPath),
    /// Removes a folder and all that is in it.
    DeleteFolder(RepoPath),
    /// Removes whatever is there.
    DeleteEntry(RepoPath),
}

/// A tree being changed. Folders are read when a change reaches them.
#[derive(Debug)]
pub(crate) struct TreeEdit {
    root: Folder,
}

#[derive(Debug)]
enum Node {
    File(Oid),
    /// A folder no change has reached.
    Untouched(Oid),
    Folder(Folder),
}

#[derive(Debug, Default)]
struct Folder {
    children: BTreeMap<String, Node>,
}

impl Folder {
    async fn read(hub: &Hub, oid: Oid) -> HubResult<Self> {
        let tree = hub.tree(oid).await?;
        let children = tree
            .entries()
            .iter()
            .map(|entry| {
                let node = match entry.mode {
                    Mode::File => Node::File(entry.oid),
                    Mode::Directory => Node::Untouched(entry.oid),
                };
                (entry.name.clone(), node)
            })
            .collect();
        Ok(Self { children })
    }
}

impl TreeEdit {
    /// Starts from a tree, or from nothing.
    pub(crate) async fn new(hub: &Hub, root: Option<Oid>) -> HubResult<Self> {
        let root = match root {
            Some(oid) => Folder::read(hub, oid).await?,
            None => Folder::default(),
        };
        Ok(Self { root })
    }

    /// Makes one change.
    ///
    /// # Errors
    /// 404 `EntryNotFound` if what is to be removed is not there; 400 if a file is in the way of a folder or the other
    /// way round.
    pub(crate) async fn apply(&mut self, hub: &Hub, change: &Change) -> HubResult<()> {
        match change {
            Change::Put(path, oid) => self.put(hub, path, *oid).await,
            Change::DeleteFile(path) => self.delete_file(hub, path).await,
            Change::DeleteFolder(path) => {
                let found =
                    self.at(hub, path)
                        .await?
                        .filter(|(folder, name)| match folder.children.get(*name) {
                            Some(Node::Folder(inner)) => !is_empty(inner),
                            Some(Node::Untouched(_)) => true,
                            Some(Node::File(_)) | None => false,
                        });
                let (folder, name) = found.ok_or_else(|| missing("folder", path))?;
                folder.children.remove(name);
                Ok(())
            }
            Change::DeleteEntry(path) => {
                let removed = match self.at(hub, path).await? {
                    Some((folder, name)) => folder.children.remove(name),
                    None => None,
                };
                match removed {
                    Some(Node::Folder(inner)) if is_empty(&inner) => Err(missing("file or folder", path)),
                    Some(_) => Ok(()),
                    None => Err(missing("file or folder", path)),
                }
            }
        }
    }

    async fn delete_file(&mut self, hub: &Hub, path: &RepoPath) -> HubResult<()> {
        if let Some((folder, name)) = self.at(hub, path).await?
            && let Some(Node::File(_)) = folder.children.get(name)
        {
            folder.children.remove(name);
            return Ok(());
        }
        Err(missing("file", path))
    }

    async fn put(&mut self, hub: &Hub, path: &RepoPath, oid: Oid) -> HubResult<()> {
        let (folders, name) = path.split();
        let mut folder = &mut self.root;
        for part in folders {
            let node = folder
                .children
                .entry(part.to_owned())
                .or_insert_with(|| Node::Folder(Folder::default()));
            if let Node::Untouched(oid) = *node {
                *node = Node::Folder(Folder::read(hub, oid).await?);
            }
            match node {
                Node::Folder(inner) => folder = inner,
                Node::File(_) | Node::Untouched(_) => {
                    return Err(HubError::bad_request(format!(
                        "Can't write {path}: {part} in it is a file"
                    )));
                }
            }
        }
        // A folder that was emptied by this commit is no folder any more.
        if let Some(Node::Folder(inner)) = folder.children.get(name)
            && is_empty(inner)
        {
            folder.children.remove(name);
        }
        match folder.children.get(name) {
            Some(Node::Folder(_) | Node::Untouched(_)) => Err(HubError::bad_request(format!(
                "Can't write {path}: it is a folder"
            ))),
            Some(Node::File(_)) | None => {
                folder.children.insert(name.to_owned(), Node::File(oid));
                Ok(())
            }
        }
    }

    /// Finds the folder a path is in, and the last part of the path.
    async fn at<'a, 'p>(
        &'a mut self,
        hub: &Hub,
        path: &'p RepoPath,
    ) -> HubResult<Option<(&'a mut Folder, &'p str)>> {
        let (folders, name) = path.split();
        let mut folder = &mut self.root;
        for part in folders {
            let Some(node) = folder.children.get_mut(part) else {
                return Ok(None);
            };
            if let Node::Untouched(oid) = *node {
                *node = Node::Folder(Folder::read(hub, oid).await?);
            }
            match node {
                Node::Folder(inner) => folder = inner,
                Node::File(_) | Node::Untouched(_) => return Ok(None),
            }
        }
        Ok(Some((folder, name)))
    }

    /// Returns the name of the changed tree and the trees it needs, those in it before those that hold them. Folders
    /// without a file are left out, as git has none.
    pub(crate) fn finish(self) -> (Oid, Vec<(Oid, Vec<u8>)>) {
        let mut trees = Vec::new();
        let root = write(self.root, &mut trees).unwrap_or_else(|| {
            let body = Tree::default().encode();
            let oid = Oid::of("tree", &body);
            trees.push((oid, body));
            oid
        });
        (root, trees)
    }
}

fn is_empty(folder: &Folder) -> bool {
    folder
        .children
        .values()
        .all(|node| matches!(node, Node::Folder(inner) if is_empty(inner)))
}

fn write(folder: Folder, trees: &mut Vec<(Oid, Vec<u8>)>) -> Option<Oid> {
    let mut entries = Vec::with_capacity(folder.children.len());
    for (name, node) in folder.children {
        let (mode, oid) = match node {
            Node::File(oid) => (Mode::File, oid),
            Node::Untouched(oid) => (Mode::Directory, oid),
            Node::Folder(inner) => match write(inner, trees) {
                Some(oid) => (Mode::Directory, oid),
                None => continue,
            },
        };
        entries.push(Entry { name, mode, oid });
    }
    if entries.is_empty() {
        return None;
    }
    let body = Tree::new(entries).encode();
    let oid = Oid::of("tree", &body);
    trees.push((oid, body));
    Some(oid)
}

fn missing(what: &str, path: &RepoPath) -> HubError {
    HubError::entry_not_found(format!("A {what} with this name doesn't exist: {path}"))
}
