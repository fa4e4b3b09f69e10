//! The `web-server` template and the clients of others: curl, Python's http.client, wrk, h2load, ab.
//!
//! `docs/src/evaluation/clients.md` has the table of what is checked.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use test_harness::external;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, suite};

fn main() -> ExitCode {
    suite::run(
        Site::serve,
        &facts![
            curl_speaks_every_version_and_method,
            curl_keeps_connections_and_opens_several,
            curl_fetches_parts_and_goes_on_where_it_stopped,
            curl_decodes_compressed_files,
            curl_fetches_only_what_is_new,
            curl_uploads_in_every_way_and_is_told_no,
            curl_is_told_what_is_wrong,
            python_http_client_is_satisfied,
            wrk_finds_no_errors,
            h2load_finds_no_errors,
            ab_finds_no_errors,
        ],
    )
}

/// Requests of each load generator.
const REQUESTS: &str = "2000";

/// Connections of each load generator at once: QEMU's user network queues a single one it has not
/// accepted yet.
const CONNECTIONS: &str = "4";

/// Length of a file that is added to the template's, in bytes.
const LARGE: usize = 100_000;

struct Site {
    host: Host,
    url: String,
    curl: PathBuf,
}

impl Site {
    fn serve() -> Self {
        let host = Host::up(&[]);
        let project = Project::shared(host.home(), "web-server");
        let port = free_port();
        project.publish(port);
        fs::write(project.folder().join("static/large.txt"), large()).expect("a file");
        host.deploy(project.folder());
        let url = format!("http://127.0.0.1:{port}");
        let curl = external::program("curl", "curl");
        Self { host, url, curl }
    }

    /// Runs curl in the user's folder.
    fn curl(&self, arguments: &[&str], paths: &[&str]) -> Output {
        let mut command = Command::new(&self.curl);
        command.args(["--silent", "--show-error", "--max-time", "120"]);
        command.args(arguments).current_dir(self.host.home().path());
        for path in paths {
            command.arg(format!("{}{path}", self.url));
        }
        external::run(&mut command)
    }

    /// Runs curl and returns what it writes out of one transfer, and the body.
    fn ask(&self, written_out: &str, arguments: &[&str], path: &str) -> (String, Vec<u8>) {
        let format = format!("%{{stderr}}{written_out}");
        let output = self.curl(&[&["--write-out", &format], arguments].concat(), &[path]);
        let written = String::from_utf8_lossy(&output.stderr).into_owned();
        (written, output.stdout)
    }

    /// Runs curl and returns the status code.
    fn status(&self, arguments: &[&str], path: &str) -> String {
        self.ask("%{http_code}", arguments, path).0
    }
}

fn large() -> String {
    "0123456789abcdef".repeat(LARGE / 16)
}

fn curl_speaks_every_version_and_method(site: &Site) {
    for (version, spoken) in [("--http1.0", "1.1"), ("--http1.1", "1.1")] {
        let (written, body) = site.ask("%{http_code} %{http_version}", &[version], "/healthz");
        assert_eq!(written, format!("200 {spoken}"), "{version}");
        assert_eq!(body, b"ok\n");
    }
    let head = site.curl(&["--head"], &["/"]).stdout;
    let head = String::from_utf8_lossy(&head);
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        assert_eq!(site.status(&["--request", method], "/"), "405", "{method}");
    }
    for (arguments, path, status) in [
        (&[][..], "/hello/a%20b?c=d", "200"),
        (&["--path-as-is"][..], "/../../etc/passwd", "404"),
        (
            &["--request-target", "http://elsewhere/healthz"][..],
            "/",
            "200",
        ),
        (&["--request-target", "*"][..], "/", "400"),
        (&["--header", "Host:"][..], "/", "400"),
    ] {
        assert_eq!(site.status(arguments, path), status, "{arguments:?} {path}");
    }
}

fn curl_keeps_connections_and_opens_several(site: &Site) {
    let paths = ["/healthz", "/", "/style.css", "/healthz"];
    let connects = ["--write-out", "%{stderr}%{num_connects}"];
    let kept = site.curl(&connects, &paths);
    assert_eq!(kept.stderr, b"1000", "one connection for all");
    let close = [&connects[..], &["--header", "Connection: close"]].concat();
    assert_eq!(site.curl(&close, &paths).stderr, b"1111", "one for each");
    let parallel = ["--parallel", "--parallel-max", "4", "--fail"];
    let bodies = site.curl(&parallel, &["/healthz"; 20]).stdout;
    assert_eq!(bodies, b"ok\n".repeat(20));
}

fn curl_fetches_parts_and_goes_on_where_it_stopped(site: &Site) {
    let large = large();
    for (range, part) in [
        ("0-9", 0..10),
        ("5000-", 5000..LARGE),
        ("-7", LARGE - 7..LARGE),
    ] {
        let (status, body) = site.ask("%{http_code}", &["--range", range], "/large.txt");
        assert!(status == "206" && body == large[part].as_bytes(), "{range}");
    }
    let format = "%{http_code} %{content_type}";
    let (written, body) = site.ask(format, &["--range", "0-1,4-5"], "/large.txt");
    assert!(
        written.starts_with("206 multipart/byteranges; boundary="),
        "{written}"
    );
    assert_eq!(
        String::from_utf8_lossy(&body)
            .matches("Content-Range: bytes ")
            .count(),
        2
    );

    let file = site.host.home().path().join("partial");
    fs::write(&file, &large[..30_000]).expect("a file of ours");
    site.curl(
        &["--continue-at", "-", "--output", "partial"],
        &["/large.txt"],
    );
    assert!(fs::read(&file).expect("a file") == large.as_bytes());
    let behind = ["--range", "100000-"];
    assert_eq!(site.status(&behind, "/large.txt"), "416");
}

fn curl_decodes_compressed_files(site: &Site) {
    let (written, body) = site.ask("%{size_download}", &["--compressed"], "/large.txt");
    assert!(body == large().as_bytes());
    let size: usize = written.parse().expect("a number");
    assert!(size < LARGE / 10, "{size} bytes came");
    let (written, _) = site.ask("%{size_download}", &[], "/large.txt");
    assert_eq!(written, LARGE.to_string());
}

fn curl_fetches_only_what_is_new(site: &Site) {
    let save = ["--etag-save", "tag", "--output", "page", "--remote-time"];
    site.curl(&save, &["/"]);
    assert_eq!(site.status(&["--etag-compare", "tag"], "/"), "304");
    assert_eq!(site.status(&["--etag-compare", "tag"], "/style.css"), "200");
    // The file has got the time that the server said.
    assert_eq!(site.status(&["--time-cond", "page"], "/"), "304");
    assert_eq!(site.status(&["--time-cond", "1994-11-06"], "/"), "200");
    let long_ago = "-Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(site.status(&["--time-cond", long_ago], "/"), "412");
}

fn curl_uploads_in_every_way_and_is_told_no(site: &Site) {
    let file = site.host.home().path().join("upload");
    fs::write(&file, &large()[..50_000]).expect("a file of ours");
    let continued = "Expect: 100-continue";
    for arguments in [
        &["--data", "a=b"][..],
        &["--data-binary", "@upload"],
        &["--form", "file=@upload"],
        &["--upload-file", "upload"],
        &["--upload-file", "upload", "--header", continued],
        &[
            "--upload-file",
            "upload",
            "--header",
            "Transfer-Encoding: chunked",
        ],
    ] {
        assert_eq!(site.status(arguments, "/healthz"), "405", "{arguments:?}");
    }
    fs::write(&file, large()).expect("a file of ours");
    for arguments in [
        &["--upload-file", "upload", "--header", continued][..],
        &[
            "--upload-file",
            "upload",
            "--header",
            "Transfer-Encoding: chunked",
        ],
    ] {
        assert_eq!(site.status(arguments, "/healthz"), "413", "{arguments:?}");
    }
}

fn curl_is_told_what_is_wrong(site: &Site) {
    let long = format!("X-Long: {}", "x".repeat(9_000));
    for (header, status) in [
        (long.as_str(), "431"),
        ("Transfer-Encoding: gzip", "501"),
        ("Expect: nonsense", "417"),
        ("Host: a\r\nHost: b", "400"),
    ] {
        let shown: String = header.chars().take(30).collect();
        assert_eq!(site.status(&["--header", header], "/"), status, "{shown}");
    }
}

const PYTHON: &str = r#"
import gzip, http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
def ask(method, path, body=None, headers={}, **more):
    c.request(method, path, body, headers, **more)
    response = c.getresponse()
    return response, response.read()
r, page = ask("GET", "/")
assert r.status == 200 and r.version == 11 and page.startswith(b"<!doctype html>")
first = c.sock
assert first is not None
r, nothing = ask("HEAD", "/")
assert r.status == 200 and nothing == b"" and int(r.getheader("Content-Length")) == len(page)
r, packed = ask("GET", "/", headers={"Accept-Encoding": "gzip"})
assert r.getheader("Content-Encoding") == "gzip" and gzip.decompress(packed) == page
r, nothing = ask("GET", "/", headers={"If-None-Match": r.getheader("ETag"), "Accept-Encoding": "gzip"})
assert r.status == 304 and nothing == b""
r, part = ask("GET", "/", headers={"Range": "bytes=2-5"})
assert r.status == 206 and part == page[2:6]
r, _ = ask("GET", "/missing")
assert r.status == 404 and r.reason == "Not Found"
for body, chunked in ((b"x" * 1000, False), (iter([b"abc", b"defg"]), True)):
    r, _ = ask("POST", "/", body, encode_chunked=chunked, headers={"Transfer-Encoding": "chunked"} if chunked else {})
    assert r.status == 405 and r.getheader("Allow") == "GET, HEAD"
for n in range(200):
    r, text = ask("GET", "/hello/%d" % n)
    assert text.startswith(b"Hello, %d! " % n)
assert c.sock is first, "all on one connection"
r, _ = ask("GET", "/healthz", headers={"Connection": "close"})
assert r.status == 200 and c.sock is None
print("satisfied")
"#;

fn python_http_client_is_satisfied(site: &Site) {
    let python = external::program("python3", "python3");
    let (_, port) = site.url.rsplit_once(':').expect("a port");
    let output = external::run(Command::new(python).args(["-c", PYTHON, port]));
    assert_eq!(output.stdout, b"satisfied\n");
}

/// Runs a load generator and returns its report.
fn report(site: &Site, name: &str, package: &str, arguments: &[&str], path: &str) -> String {
    let mut command = Command::new(external::program(name, package));
    command.args(arguments).arg(format!("{}{path}", site.url));
    String::from_utf8_lossy(&external::run(&mut command).stdout).into_owned()
}

fn wrk_finds_no_errors(site: &Site) {
    let arguments = [
        "--threads",
        "2",
        "--connections",
        CONNECTIONS,
        "--duration",
        "3s",
        "--timeout",
        "60s",
    ];
    for path in ["/healthz", "/large.txt"] {
        let report = report(site, "wrk", "wrk", &arguments, path);
        assert!(report.contains(" requests in "), "{report}");
        for error in ["Socket errors", "Non-2xx"] {
            assert!(!report.contains(error), "{report}");
        }
    }
}

fn h2load_finds_no_errors(site: &Site) {
    let load = ["--h1", "--requests", REQUESTS, "--clients", CONNECTIONS];
    for path in ["/healthz", "/"] {
        let report = report(site, "h2load", "nghttp2-client", &load, path);
        let succeeded = format!("{REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored");
        assert!(report.contains(&succeeded), "{report}");
    }
}

fn ab_finds_no_errors(site: &Site) {
    // Without `-k` each request has a connection of its own.
    let loads: [&[&str]; 2] = [&["-k"], &[]];
    for extra in loads {
        let load = [
            &["-q", "-s", "60", "-n", REQUESTS, "-c", CONNECTIONS],
            extra,
        ]
        .concat();
        let report = report(site, "ab", "apache2-utils", &load, "/style.css");
        let lines = report.lines();
        let line = |name: &str| {
            let found = lines.clone().find_map(|line| line.strip_prefix(name));
            found
                .unwrap_or_else(|| panic!("no {name:?} in {report}"))
                .trim()
        };
        assert_eq!(line("Complete requests:"), REQUESTS);
        assert_eq!(line("Failed requests:"), "0", "{report}");
        assert!(!report.contains("Non-2xx"), "{report}");
    }
}
