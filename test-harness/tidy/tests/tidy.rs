//! The source tree itself under test: sizes, layering, unsafe inventory, links.

use denali_tidy::{budget, documents, hypercalls, layering, sources, unsafe_inventory};
use std::path::Path;

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the workspace");
    let files = sources(root);
    let mut findings = sources::check(&files);
    findings.extend(unsafe_inventory::check(&files));
    findings.extend(budget::check(&files));
    findings.extend(documents::check(root, &files));
    findings.extend(hypercalls::check(&files));
    findings.extend(layering::check(root).expect("cargo metadata"));
    findings.sort();
    let report: String = findings
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect();
    assert!(
        findings.is_empty(),
        "{} things to mend:\n{report}",
        findings.len()
    );
}
