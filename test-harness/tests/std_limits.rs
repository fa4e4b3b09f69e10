//! What programs with `std` can have of a system, and how they are told what they cannot.

use denali_protocol::ServiceState;
use std::fs;
use std::process::ExitCode;
use test_harness::home::Home;
use test_harness::host::Host;
use test_harness::project::Project;
use test_harness::{facts, suite};

fn main() -> ExitCode {
    suite::run(
        Workshop::open,
        &facts![
            files_of_the_image_are_read_and_never_changed,
            files_on_a_volume_are_those_of_posix,
            raw_system_calls_are_named_with_their_crate,
            missing_functions_are_named_with_who_needs_them,
            shared_libraries_are_named,
            two_panic_runtimes_are_explained,
            what_include_cannot_find_is_named,
        ],
    )
}

/// Crates to depend on, each with something that cannot work: their names, and what a program does with
/// them.
const OFFENDERS: [(&str, &str, &str); 3] = [
    (
        "raw",
        include_str!("std_limits/raw.rs.txt"),
        "raw::own_process_id()",
    ),
    (
        "needy",
        include_str!("std_limits/needy.rs.txt"),
        "needy::share()",
    ),
    (
        "shared",
        include_str!("std_limits/shared.rs.txt"),
        "shared::version()",
    ),
];

/// Programs that try what there is, by their names.
const PROGRAMS: [(&str, &str); 2] = [
    ("files", include_str!("std_limits/files.rs")),
    ("volume", include_str!("std_limits/volume.rs")),
];

/// A crate with `std`, for a service without.
const WITH_STD: &str = "pub fn hello() { println!(\"hello\"); }";

/// The exit status of a deploy whose service ended with an error before it was looked at.
const CRASHED: i32 = 7;

struct Workshop {
    host: Host,
    project: Project,
}

impl Workshop {
    fn open() -> Self {
        let host = Host::up(&["--data", "256M"]);
        let project = Project::new(host.home(), "limits", "std");
        project.edit("lto = true\ncodegen-units = 1\n", "");
        let call = |name: &str, call: &str| {
            let main =
                format!("use denali_std as _;\nfn main() {{ println!(\"{{:?}}\", {call}); }}");
            let path = project.folder().join(format!("src/bin/{name}.rs"));
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of ours");
            fs::write(path, main).expect("a folder of ours");
        };
        for (name, source, expression) in OFFENDERS {
            depend(&project, name, source);
            call(&format!("uses-{name}"), expression);
        }
        for (name, program) in PROGRAMS {
            let path = project.folder().join(format!("src/bin/{name}.rs"));
            fs::write(path, program).expect("a folder of ours");
        }
        let folder = project.folder().join("static/deep");
        fs::create_dir_all(&folder).expect("a folder of ours");
        fs::write(folder.join("../a.txt"), "0123456789").expect("a folder of ours");
        fs::write(folder.join("b.bin"), vec![7; 100_000]).expect("a folder of ours");
        // Programs that end are deployed beside each other.
        project.edit("publish = [\"7008:7008\"]", "publish = []");
        project.edit(
            "memory = ",
            "include = [\"static/\"]\nvolume = [\"data:40M\"]\nmemory = ",
        );
        Self { host, project }
    }

    /// Builds one of the programs, which must fail as a build.
    fn refuses(&self, bin: &str) -> String {
        let build = self.host.denali(["build", "--bin", bin]);
        build.within(self.project.folder()).fails(3).stderr
    }
}

/// Gives a project a crate of this name to depend on.
fn depend(project: &Project, name: &str, source: &str) {
    let folder = project.folder().join(name);
    fs::create_dir_all(folder.join("src")).expect("a folder of ours");
    fs::write(folder.join("src/lib.rs"), source).expect("a folder of ours");
    let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n");
    fs::write(folder.join("Cargo.toml"), manifest).expect("a folder of ours");
    let line = format!("[dependencies]\n{name} = {{ path = \"{name}\" }}");
    project.edit("[dependencies]", &line);
}

/// Runs one of [`PROGRAMS`], which must find all as it expects.
fn runs(workshop: &Workshop, name: &str) {
    let host = &workshop.host;
    let deploy = host.denali(["deploy", "--bin", name]);
    let outcome = deploy.within(workshop.project.folder()).run();
    assert!(matches!(outcome.code, Some(0 | CRASHED)), "{outcome}");
    let service = host.wait_for_end(name);
    let log = host.logs(name);
    assert!(log.contains(&format!("{name}: all as expected")), "{log}");
    assert_eq!(service.state, ServiceState::Exited, "{log}");
}

fn files_of_the_image_are_read_and_never_changed(workshop: &Workshop) {
    runs(workshop, "files");
}

fn files_on_a_volume_are_those_of_posix(workshop: &Workshop) {
    runs(workshop, "volume");
}

fn raw_system_calls_are_named_with_their_crate(workshop: &Workshop) {
    let words = workshop.refuses("uses-raw");
    let expected =
        "the function `raw::own_process_id` of the crate `raw` makes system calls of Linux";
    assert!(words.contains(expected), "{words}");
}

fn missing_functions_are_named_with_who_needs_them(workshop: &Workshop) {
    let words = workshop.refuses("uses-needy");
    let expected = "do not exist in a VM: `shm_open` (needed by `needy`)";
    assert!(words.contains(expected), "{words}");
}

fn shared_libraries_are_named(workshop: &Workshop) {
    let words = workshop.refuses("uses-shared");
    assert!(
        words.contains("links to shared libraries, which a VM does not have: `z`"),
        "{words}"
    );
}

fn two_panic_runtimes_are_explained(workshop: &Workshop) {
    let home: &Home = workshop.host.home();
    let project = Project::new(home, "lean", "minimal");
    depend(&project, "chatty", WITH_STD);
    let main = project.folder().join("src/main.rs");
    let text = fs::read_to_string(&main).expect("a program");
    let text = text.replacen(
        "fn main() ",
        "pub fn greet() { chatty::hello(); }\n\nfn main() ",
        1,
    );
    fs::write(&main, text).expect("a file of ours");
    let words = home
        .denali(["build"])
        .within(project.folder())
        .fails(3)
        .stderr;
    assert!(
        words.contains("two panic runtimes: `chatty` depends on `std`"),
        "{words}"
    );
}

fn what_include_cannot_find_is_named(workshop: &Workshop) {
    workshop.project.edit("\"static/\"", "\"public/\"");
    let build = workshop.host.denali(["build", "--bin", "files"]);
    let words = build.within(workshop.project.folder()).fails(2).stderr;
    workshop.project.edit("\"public/\"", "\"static/\"");
    assert!(words.contains("`include` names `public/`"), "{words}");
}
