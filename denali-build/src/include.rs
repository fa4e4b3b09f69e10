//! Files of a project that are packed into its image.

use crate::failure::{Failure, Status};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the list that `denali-std`'s build script packs: a line for each file below `folder` that
/// `paths` name, with its path in the VM, a tab, and its path here.
///
/// # Errors
///
/// A path names nothing, or a file's name cannot be written in the list: [`Status::Usage`].
pub(crate) fn list(folder: &Path, paths: &[String]) -> Result<String> {
    let mut files = BTreeMap::new();
    for path in paths {
        let full = folder.join(path);
        if !full.exists() {
            let what = format!(
                "`include` names `{path}`, which is not in `{}`",
                folder.display()
            );
            return Err(Failure::new(Status::Usage, what).into());
        }
        collect(folder, &full, &mut files)?;
    }
    let lines = files.iter().map(|(path, full)| format!("{path}\t{full}\n"));
    Ok(lines.collect())
}

/// Adds the files at and below `path`.
fn collect(root: &Path, path: &Path, files: &mut BTreeMap<String, String>) -> Result<()> {
    if path.is_dir() {
        let entries =
            fs::read_dir(path).with_context(|| format!("reading `{}`", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading `{}`", path.display()))?;
            collect(root, &entry.path(), files)?;
        }
        return Ok(());
    }
    let relative: PathBuf = path
        .strip_prefix(root)
        .unwrap_or(path)
        .components()
        .collect();
    let text = |path: &Path| {
        let text = path.to_str().filter(|text| !text.contains(['\n', '\t']));
        text.map(str::to_owned).ok_or_else(|| {
            let what = format!("`{}` has no name that can be packed", path.display());
            Failure::new(Status::Usage, what).help("rename it, or leave it out of `include`")
        })
    };
    files.insert(text(&relative)?, text(path)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_packed_with_all_that_is_below_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["static/b.txt", "static/a/c.txt", "app.toml", "other.toml"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let paths = ["./static/", "app.toml", "static/a"].map(str::to_owned);
        let list = list(folder.path(), &paths).unwrap();
        let packed: Vec<_> = list
            .lines()
            .map(|line| line.split_once('\t').unwrap().0)
            .collect();
        assert_eq!(packed, ["app.toml", "static/a/c.txt", "static/b.txt"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = list(folder.path(), &["nothing".to_owned()]).unwrap_err();
        let (status, text) = crate::failure::describe(&error);
        assert_eq!(status, Status::Usage);
        assert!(text.contains("`include` names `nothing`"), "{text}");
    }
}
