//! Makes new projects from the templates of the SDK.

use crate::cargo;
use crate::failure::{Failure, Status};
use crate::manifest;
use crate::sdk::{self, Part};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use toml_edit::DocumentMut;

/// The template of `cargo denali new` without `--template`.
pub const DEFAULT: &str = "minimal";

/// Stands for the project's name in templates.
const NAME: &str = "{{name}}";

/// A template's manifest; not called `Cargo.toml`, so that cargo does not take it for a package.
const MANIFEST: &str = "Cargo.toml.template";

/// Returns the templates by name, each with its one-line description.
///
/// # Errors
///
/// The SDK is damaged.
pub fn list() -> Result<BTreeMap<String, String>> {
    let mut templates = BTreeMap::new();
    for (path, contents) in sdk::files("templates")? {
        if let Some(name) = path
            .to_str()
            .and_then(|path| path.strip_suffix("/src/main.rs"))
        {
            templates.insert(name.to_owned(), description(&contents));
        }
    }
    Ok(templates)
}

/// Returns the first line of a program's `//!` comment.
fn description(main: &[u8]) -> String {
    let text = String::from_utf8_lossy(main);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("//! "))
        .unwrap_or_default();
    line.trim_end_matches('.').to_owned()
}

/// Makes the project `name` in the folder `parent` and returns its path.
///
/// It is made beside its place and renamed when complete, so that nothing half made remains.
///
/// # Errors
///
/// The name or template is wrong, the place is taken ([`Status::Usage`]), or it cannot be written.
pub fn instantiate(name: &str, template: &str, parent: &Path) -> Result<PathBuf> {
    check_name(name)?;
    let templates = list()?;
    if !templates.contains_key(template) {
        let known: Vec<&str> = templates.keys().map(String::as_str).collect();
        return Err(
            Failure::new(Status::Usage, format!("there is no template `{template}`"))
                .help(format!("choose one with --template: {}", known.join(", ")))
                .into(),
        );
    }
    let project = parent.join(name);
    if project.exists() {
        return Err(Failure::new(
            Status::Usage,
            format!("`{}` exists already", project.display()),
        )
        .help("choose another name, or remove it first")
        .into());
    }
    let temporary = tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .tempdir_in(parent)
        .with_context(|| format!("making a folder in `{}`", parent.display()))?;
    let unfinished = temporary.path().join(name);
    fill(name, template, &unfinished)?;
    crate::interrupt::check()?;
    std::fs::rename(&unfinished, &project)
        .with_context(|| format!("making `{}`", project.display()))?;
    init_repository(&project)?;
    Ok(project)
}

/// Writes the project's files into `folder`.
fn fill(name: &str, template: &str, folder: &Path) -> Result<()> {
    for (path, contents) in sdk::files(&format!("templates/{template}"))? {
        let contents = match String::from_utf8(contents) {
            Ok(text) => text.replace(NAME, name).into_bytes(),
            Err(binary) => binary.into_bytes(),
        };
        let path = if path == Path::new(MANIFEST) {
            PathBuf::from("Cargo.toml")
        } else {
            path
        };
        sdk::write(&folder.join(path), &contents)?;
    }
    let ignored = folder.join(".gitignore");
    if !ignored.exists() {
        sdk::write(&ignored, b"/target\n")?;
    }
    sdk::unpack(Part::Guest, &folder.join(".denali"))?;
    let lock_path = folder.join("Cargo.lock");
    // A template that needs more than the SDK brings the versions it was tested with.
    let lock = match std::fs::read_to_string(&lock_path) {
        Ok(own) => own,
        Err(_) => {
            String::from_utf8(sdk::file("Cargo.lock")?).context("reading the SDK's lock file")?
        }
    };
    sdk::write(&lock_path, lock_file(&lock, name)?.as_bytes())
}

/// Returns a lock file without the packages a project cannot use, so that the project builds with
/// the versions the SDK was tested with. Cargo adds the project itself.
fn lock_file(text: &str, name: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("reading the SDK's lock file")?;
    if let Some(packages) = document["package"].as_array_of_tables_mut() {
        // A package without a source is one of the SDK's own; one of them may bear the project's name.
        packages.retain(|package| {
            package.contains_key("source")
                || package.get("name").and_then(toml_edit::Item::as_str) != Some(name)
        });
    }
    Ok(document.to_string())
}

/// Lets cargo judge the name, by a dry run in an empty folder: its rules are the ones that count.
fn check_name(name: &str) -> Result<()> {
    manifest::check_name(name)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Failure::new(
            Status::Usage,
            format!("`{name}` is not a name of letters, digits, `-` and `_`"),
        )
        .help("for example: cargo denali new hello")
        .into());
    }
    let scratch = tempfile::tempdir().context("making a temporary folder")?;
    let output = cargo::command()
        .args(["new", "--vcs", "none", "--quiet", "--", name])
        .current_dir(scratch.path())
        .output()
        .context("starting cargo, which must be on the PATH")?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let reason = words
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    Err(Failure::new(Status::Usage, reason)
        .help("for example: cargo denali new hello")
        .into())
}

/// Makes a git repository, as `cargo new` does, unless the project lies in one or git is missing.
fn init_repository(project: &Path) -> Result<()> {
    let git = |arguments: &[&str]| {
        Command::new("git")
            .args(arguments)
            .current_dir(project)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    let Ok(status) = git(&["rev-parse", "--is-inside-work-tree"]) else {
        return Ok(());
    };
    if !status.success() {
        git(&["init", "--quiet"]).context("making a git repository")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_becomes_a_complete_project() {
        let parent = tempfile::tempdir().unwrap();
        for template in list().unwrap().keys() {
            let name = format!("my-{template}");
            let project = instantiate(&name, template, parent.path()).unwrap();
            for file in ["Cargo.toml", "Cargo.lock", "src/main.rs", ".gitignore"] {
                assert!(project.join(file).exists(), "{template}: {file}");
            }
            assert!(!project.join(MANIFEST).exists());
            let text = std::fs::read_to_string(project.join("Cargo.toml")).unwrap();
            assert!(text.contains(&format!("name = \"{name}\"")), "{text}");
            manifest::parse(&text, "Cargo.toml").unwrap();
        }
        let left: Vec<_> = std::fs::read_dir(parent.path()).unwrap().collect();
        assert_eq!(left.len(), list().unwrap().len());
    }

    #[test]
    fn a_wrong_name_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["", "1st", "fn", "test", "a b", "../up", &"x".repeat(33)] {
            let error = instantiate(name, DEFAULT, parent.path()).unwrap_err();
            let (status, text) = crate::failure::describe(&error);
            assert_eq!(status, Status::Usage, "{text}");
        }
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_unknown_template_is_answered_with_the_known_ones() {
        let parent = tempfile::tempdir().unwrap();
        let error = instantiate("hello", "nonsense", parent.path()).unwrap_err();
        let (_, text) = crate::failure::describe(&error);
        let known: Vec<String> = list().unwrap().into_keys().collect();
        assert!(
            known.len() > 2 && text.contains(&known.join(", ")),
            "{text}"
        );
    }
}
