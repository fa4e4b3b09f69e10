//! What scripts do, on a host that notes what it is asked.

use denali_shell::interpreter::{Ended, Host, Interpreter};
use denali_shell::limits;
use denali_shell::sink::{Closed, Flow, Sink};
use std::fmt::Write as _;

/// A host with services `api`, `web-1` and `web-2`.
#[derive(Default)]
struct Notes {
    ran: Vec<String>,
    output: Vec<u8>,
    errors: String,
    /// Output after which the terminal is gone.
    patience: Option<usize>,
}

const SERVICES: [&str; 3] = ["api", "web-1", "web-2"];

impl Host for Notes {
    fn run(&mut self, words: &[String], sink: &mut dyn Sink) -> Result<u32, Closed> {
        self.ran.push(words.join("|"));
        let text: Vec<String> = match words[0].as_str() {
            "ls" => SERVICES
                .iter()
                .map(|it| format!("{it} running\n"))
                .collect(),
            "endless" => (0..1_000_000).map(|it| format!("{it}\n")).collect(),
            "fail" => return Ok(words.get(1).and_then(|it| it.parse().ok()).unwrap_or(1)),
            _ => Vec::new(),
        };
        for line in text {
            let flow = sink.write(line.as_bytes(), &mut |bytes| self.print(bytes))?;
            if flow == Flow::Enough {
                break;
            }
        }
        Ok(0)
    }

    fn print(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        if self
            .patience
            .is_some_and(|patience| self.output.len() >= patience)
        {
            return Err(Closed);
        }
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    fn complain(&mut self, message: &str) -> Result<(), Closed> {
        writeln!(self.errors, "{message}").expect("a string");
        Ok(())
    }

    fn services(&mut self, count: usize, wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
        let wanted = SERVICES.iter().filter(|name| wanted(name));
        wanted.take(count).map(|name| (*name).to_owned()).collect()
    }
}

/// Runs a script. Returns its status, output, errors, and the commands it ran.
fn run(script: &str) -> (u32, String, String, Vec<String>) {
    let mut host = Notes::default();
    let ended = Interpreter::default().run(script, &mut host);
    let status = ended.expect("the terminal stays").status;
    let output = String::from_utf8(host.output).expect("text");
    (status, output, host.errors, host.ran)
}

fn output(script: &str) -> String {
    let (_, output, errors, _) = run(script);
    assert_eq!(errors, "", "{script}");
    output
}

fn ran(script: &str) -> Vec<String> {
    run(script).3
}

#[test]
fn words_are_parted_and_quoted() {
    assert_eq!(ran("stop web-1 --deadline 5"), ["stop|web-1|--deadline|5"]);
    assert_eq!(ran("a 'b  c' \"d  e\" f\\ g ''"), ["a|b  c|d  e|f g|"]);
    assert_eq!(ran("a # b\n\n;c;"), ["a", "c"]);
    assert_eq!(ran("a \\\n b"), ["a|b"]);
    assert_eq!(output("echo \"a$\" '$b' \\$c"), "a$ $b $c\n");
}

#[test]
fn variables_are_put_in() {
    assert_eq!(
        output("N=web-1; echo $N ${N}x \"$N\" '$N'"),
        "web-1 web-1x web-1 $N\n"
    );
    assert_eq!(
        ran("LIST='a b'; x $LIST; y \"$LIST\"; z $NONE"),
        ["x|a|b", "y|a b", "z"]
    );
    assert_eq!(output("fail 7; echo $?"), "7\n");
    assert_eq!(output("N=$(ls | grep web | count); echo $N"), "2\n");
    assert_eq!(output("N=x; N=${N}y; echo $N"), "xy\n");
}

#[test]
fn chains_go_on_as_far_as_they_should() {
    assert_eq!(ran("true && a || b"), ["a"]);
    assert_eq!(ran("false && a || b"), ["b"]);
    assert_eq!(ran("! true || a"), ["a"]);
    assert_eq!(run("fail 3 || fail 4").0, 4);
    assert_eq!(run("! fail 3").0, 0);
}

#[test]
fn conditions_choose() {
    let script = "if fail $N; then a; elif test $N = 2; then b; else c; fi";
    for (value, expected) in [("0", "a"), ("2", "b"), ("3", "c")] {
        let ran = ran(&format!("N={value}\n{script}"));
        assert_eq!(ran.last().expect("one"), expected);
    }
    assert_eq!(run("if false; then a; fi").0, 0);
}

#[test]
fn loops_go_over_words_and_services() {
    assert_eq!(output("for s in a b; do echo $s; done"), "a\nb\n");
    assert_eq!(
        ran("for s in web-*; do stop $s; done"),
        ["stop|web-1", "stop|web-2"]
    );
    assert_eq!(ran("for s in *; do x $s; done").len(), 3);
    assert_eq!(
        output("for s in 'web-*' none-*; do echo $s; done"),
        "web-*\nnone-*\n"
    );
    let nested = "for a in 1 2; do for b in 3 4; do echo $a$b; done; done | sort -r | head 1";
    assert_eq!(output(nested), "24\n");
}

#[test]
fn output_goes_through_filters() {
    assert_eq!(output("ls | grep web | head 1"), "web-1 running\n");
    assert_eq!(output("ls | count"), "3\n");
    assert_eq!(run("ls | grep nobody").0, 1);
    assert_eq!(run("fail 5 | grep x").0, 5);
    let (status, output, errors, _) = run("ls | rm web");
    assert_eq!((status, output.as_str()), (1, ""));
    assert!(errors.contains("`rm` takes no input"), "{errors}");
}

#[test]
fn a_filter_that_has_enough_ends_what_writes() {
    assert_eq!(output("endless | head 2; echo on"), "0\n1\non\n");
    let looped = "for s in a b c; do echo $s; x; done | head 1; y";
    assert_eq!(ran(looped), ["y"], "the first line was enough");
    let inner = "for s in a b c; do echo $s | head 5; x; done | head 1";
    assert_eq!(ran(inner), [] as [String; 0]);
}

#[test]
fn a_strict_script_ends_at_the_first_failure() {
    let (status, _, _, commands) = run("set -e; a; fail 3; b");
    assert_eq!(
        (status, &commands[..]),
        (3, &["a".into(), "fail|3".into()][..])
    );
    for tested in [
        "fail 3 || true",
        "! fail 0",
        "if fail 3; then a; fi",
        "fail 3 && a",
        "set +e; fail 3",
    ] {
        let ran = ran(&format!("set -e; {tested}; last"));
        assert_eq!(ran.last().expect("one"), "last", "{tested}");
    }
    assert_eq!(run("set -e; for s in a b; do fail 4; done; x").3.len(), 1);
    assert_eq!(run("set -e; ls | grep nobody; x").3.len(), 1);
    assert_eq!(run("set -e; X=$(fail 3); x").0, 3);
}

#[test]
fn exit_ends_with_its_status() {
    assert_eq!(run("exit 7; a"), (7, String::new(), String::new(), vec![]));
    assert_eq!(run("fail 3; exit").0, 3);
    assert_eq!(run("exit 256; true").0, 0);
    let mut host = Notes::default();
    let mut shell = Interpreter::default();
    let ended = shell.run("exit 4", &mut host).expect("it stays");
    assert_eq!(
        ended,
        Ended {
            status: 4,
            by_exit: true
        }
    );
}

#[test]
fn what_is_no_script_is_named_with_its_line() {
    for (script, expected) in [
        ("a\nif b; then c", "line 2: `fi` is missing"),
        ("for 1 in a; do b; done", "needs the name of a variable"),
        ("a 'b", "a `'` is not closed"),
        ("a \"b", "a `\"` is not closed"),
        ("a $(b", "a `$(` is not closed"),
        ("a | | b", "`|` is not expected here"),
        ("a &", "alone means nothing"),
        ("a > b", "no `>` in this language"),
        ("fi", "`fi` is not expected here"),
        ("a )", "`)` is not expected here"),
        ("a &&", "the end comes too early"),
        ("if ; then a; fi", "`then` is not expected here"),
        ("a ${", "needs a name"),
    ] {
        let (status, output, errors, ran) = run(script);
        assert_eq!((status, output.as_str(), ran.len()), (2, "", 0), "{script}");
        assert!(errors.contains(expected), "{script}: {errors}");
    }
}

#[test]
fn a_script_that_could_go_on_is_told_from_a_wrong_one() {
    for (script, expected) in [
        ("if a; then", true),
        ("for s in a; do b", true),
        ("a 'b", true),
        ("a &&", true),
        ("x $(ls", true),
        ("fi", false),
        ("a | | b", false),
        ("a > b", false),
    ] {
        let error = denali_shell::parser::parse(script).unwrap_err();
        assert_eq!(error.is_incomplete, expected, "{script}: {error}");
    }
}

#[test]
fn bounds_are_kept_and_said() {
    let rounds = "for b in 1 2 3 4 5 6 7 8 9 0; do";
    let script = format!(
        "{}true;{}",
        format!("{rounds} ").repeat(5),
        " done;".repeat(5)
    );
    let (status, _, errors, _) = run(&script);
    assert_eq!(status, 1);
    assert!(errors.contains("may take 10000 steps"), "{errors}");
    let deep = format!("echo {}x{}", "$(echo ".repeat(20), ")".repeat(20));
    assert!(run(&deep).2.contains("deep"));
    let nested = format!("{}true{}", "if true; then ".repeat(20), "; fi".repeat(20));
    assert!(run(&nested).2.contains("deep"));
    let doubling =
        "X=0123456789abcdef; for i in *****; do true; done;".to_owned() + &"X=$X$X;".repeat(12);
    assert!(run(&doubling).2.contains("more than"));
    assert!(run("x $(endless)").2.contains("cannot be substituted"));
    assert!(
        run(&"x".repeat(limits::SCRIPT_LEN_MAX + 1))
            .2
            .contains("at most")
    );
    let many = format!("x {}", "y ".repeat(limits::WORDS_MAX + 1));
    assert!(run(&many).2.contains("words"));
    let variables: String = (0..=limits::VARIABLES_MAX)
        .map(|n| format!("v{n}=1;"))
        .collect();
    assert!(run(&variables).2.contains("variables already"));
}

#[test]
fn a_terminal_that_goes_away_ends_everything() {
    let mut host = Notes {
        patience: Some(10),
        ..Notes::default()
    };
    let ended = Interpreter::default().run("endless; x", &mut host);
    assert_eq!(ended, Err(Closed));
    assert_eq!(host.ran, ["endless"]);
}

/// A generator of numbers that look random (Marsaglia 2003, xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

/// Pieces that scripts are made of, and some that they are not.
const PIECES: [&str; 44] = [
    "if ", "then ", "elif ", "else ", "fi", "for ", "in ", "do ", "done", "x", "a=", "$a", "${a}",
    "$?", "$(", ")", "'", "\"", "\\", ";", "\n", "&&", "||", "|", "grep ", "head 1", "count",
    "sort ", "ls ", "endless", "echo ", "set -e", "exit ", "test ", "*", "web-*", " ", "#", "!",
    "ä", "\u{0}", "fail 3", "0", "&",
];

/// `DENALI_SEED` sets the first seed, `DENALI_SCRIPTS` how many scripts are tried (3,000).
#[test]
fn no_text_makes_it_panic_or_take_more_than_its_bounds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let first: u64 = number("DENALI_SEED").unwrap_or(1);
    let scripts: u64 = number("DENALI_SCRIPTS").unwrap_or(3000);
    for seed in first..first + scripts {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut script = String::new();
        for _ in 0..random.below(60) {
            script.push_str(PIECES[random.below(PIECES.len())]);
            if random.below(3) == 0 {
                script.push(' ');
            }
        }
        let mut host = Notes {
            patience: Some(100_000),
            ..Notes::default()
        };
        let _ = Interpreter::default().run(&script, &mut host);
        let steps = usize::try_from(limits::STEPS_MAX).expect("fits");
        assert!(host.ran.len() <= steps, "seed {seed}: {script}");
    }
}
