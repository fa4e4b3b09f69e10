//! Cargo, as a user's shell starts it.

use std::process::Command;

/// Returns the environment variables that cargo sets for what it runs, and no user's shell has.
/// Build scripts look at some, so a build that inherits them builds again what was built already.
pub fn variables() -> impl Iterator<Item = String> {
    const ABOUT_THE_PROGRAM: [&str; 4] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
    ];
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| {
        let is_about_it = ABOUT_THE_PROGRAM
            .iter()
            .any(|start| name.starts_with(start));
        is_about_it || name == "CARGO"
    })
}

/// Prepares the cargo that built this program, without what it told this program.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO"));
    for variable in variables() {
        command.env_remove(variable);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_hears_nothing_of_the_program_that_starts_it() {
        let command = command();
        let removed: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect();
        for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(removed.iter().any(|it| *it == name), "{name}: {removed:?}");
        }
    }
}
