//! Walking the files of a commit.

use std::sync::Arc;

use super::objects::Blob;
use super::path::RepoPath;
use crate::git::{Mode, Oid};
use crate::reply::HubResult;
use crate::state::Hub;

/// A file or folder of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) path: String,
    pub(crate) oid: Oid,
    /// None for a folder.
    pub(crate) blob: Option<Arc<Blob>>,
}

impl Hub {
    /// Lists a folder, or all below it: a folder comes before what is in it. Starts after the path `after`.
    /// Returns the items and whether there are more.
    pub(crate) async fn walk(
        &self,
        root: Oid,
        base: Option<&RepoPath>,
        recursive: bool,
        after: Option<&str>,
        limit: usize,
    ) -> HubResult<(Vec<Item>, bool)> {
        let prefix = base.map_or_else(String::new, |base| format!("{base}/"));
        let mut found: Vec<(String, Mode, Oid)> = Vec::new();
        // Folders still to be read, the next one last: (what their paths start with, tree, where to go on).
        let mut stack = vec![(prefix, self.tree(root).await?, 0_usize)];
        let mut passed = after.is_none();
        let mut more = false;
        'walk: while let Some((prefix, tree, at)) = stack.pop() {
            for (at, entry) in tree.entries().iter().enumerate().skip(at) {
                let path = format!("{prefix}{}", entry.name);
                // A folder that ends before the place to go on from need not be read.
                let holds_after = after.is_some_and(|after| after.starts_with(&format!("{path}/")));
                let go_in =
                    recursive && entry.is_dir() && (passed || holds_after || after == Some(path.as_str()));
                if passed {
                    if found.len() == limit {
                        more = true;
                        break 'walk;
                    }
                    found.push((path.clone(), entry.mode, entry.oid));
                } else if after == Some(path.as_str()) {
                    passed = true;
                }
                if go_in {
                    let inner = self.tree(entry.oid).await?;
                    stack.push((prefix, tree.clone(), at + 1));
                    stack.push((format!("{path}/"), inner, 0));
                    continue 'walk;
                }
            }
        }
        let oids: Vec<Oid> = found
            .iter()
            .filter(|(_, mode, _)| *mode == Mode::File)
            .map(|(_, _, oid)| *oid)
            .collect();
        let blobs = self.blobs(&oids).await?;
        let items = found
            .into_iter()
            .map(|(path, _, oid)| Item {
                blob: blobs.get(&oid).cloned(),
                path,
                oid,
            })
            .collect();
        Ok((items, more))
    }

    /// Lists all files below a folder, without folders.
    pub(crate) async fn all_files(&self, root: Oid, base: Option<&RepoPath>) -> HubResult<Vec<Item>> {
        let (mut items, _) = self.walk(root, base, true, None, usize::MAX).await?;
        items.retain(|item| item.blob.is_some());
        Ok(items)
    }
}
