//! Whole conversations; the answers are memcached's own (1.6.18) unless a comment says otherwise.

use super::*;
use crate::clock::Moment;
use crate::limits::Limits;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

denali_rt::thread_local! {
    static TICK: Cell<u32> = const { Cell::new(1) };
}

/// A point in a time that passes only when a test says so.
fn test_time() -> Moment {
    let tick = TICK.get();
    Moment {
        tick,
        unix: 1_700_000_000 + u64::from(tick),
    }
}

fn pass(seconds: u32) {
    TICK.set(TICK.get() + seconds);
}

/// A client that has sent everything beforehand.
#[derive(Debug)]
struct Client<'a> {
    sent: &'a [u8],
    /// Most bytes that arrive together.
    together: usize,
    received: &'a mut Vec<u8>,
    /// Whether it stays silent after that, instead of going away.
    stays: bool,
    /// How long its silence is borne at present.
    timeout: &'a Cell<Option<Duration>>,
}

impl io::ErrorType for Client<'_> {
    type Error = io::Error;
}

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stays && self.sent.is_empty() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let len = buffer.len().min(self.sent.len()).min(self.together);
        let (now, later) = self.sent.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.sent = later;
        Ok(len)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.received.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Client<'_> {
    fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout.set(timeout);
        Ok(())
    }
}

fn cache() -> Cache {
    let limits = Limits::new(4 << 20, ["-I", "1m"]).expect("plenty of memory");
    Cache::new(limits, [3, 4], test_time)
}

/// Returns what a cache answers to bytes that arrive a few at a time.
fn ask_slowly(cache: &Cache, sent: &[u8], together: usize) -> String {
    let mut received = Vec::new();
    let client = Client {
        sent,
        together,
        received: &mut received,
        stays: false,
        timeout: &Cell::default(),
    };
    // A client that leaves in the middle of a value is a test, too.
    let _ = Session::new(cache, client).serve();
    String::from_utf8_lossy(&received).into_owned()
}

fn ask(cache: &Cache, sent: &str) -> String {
    ask_slowly(cache, sent.as_bytes(), usize::MAX)
}

/// Sends each line with `\r\n`, and expects these lines, on a new cache.
#[track_caller]
fn converse(sent: &str, expected: &str) {
    let sent = sent.replace('\n', "\r\n");
    let expected = expected.replace('\n', "\r\n");
    for together in [usize::MAX, 7, 1] {
        assert_eq!(
            ask_slowly(&cache(), sent.as_bytes(), together),
            expected,
            "{sent:?}"
        );
    }
}

#[test]
fn what_is_stored_is_got() {
    converse(
        "set a 5 0 3\nabc\nget a\ngets a b\nget b\n",
        "STORED\nVALUE a 5 3\nabc\nEND\nVALUE a 5 3 1\nabc\nEND\nEND\n",
    );
    converse("set a 0 0 1 noreply\na\nget a\n", "VALUE a 0 1\na\nEND\n");
}

#[test]
fn each_way_of_storing_has_its_condition() {
    converse(
        "replace a 0 0 1\n1\nappend a 0 0 1\n1\ncas a 0 0 1 1\n1\nadd a 0 0 1\n1\nadd a 0 0 1\n2\n\
         append a 9 9 1\n2\nprepend a 9 9 1\n0\ngets a\ncas a 0 0 1 3\nx\ncas a 0 0 1 3\ny\nget a\n",
        "NOT_STORED\nNOT_STORED\nNOT_FOUND\nSTORED\nNOT_STORED\nSTORED\nSTORED\n\
         VALUE a 0 3 3\n012\nEND\nSTORED\nEXISTS\nVALUE a 0 1\nx\nEND\n",
    );
}

#[test]
fn numbers_are_counted() {
    converse(
        "set n 0 0 2\n10\nincr n 5\ndecr n 6\ndecr n 100\nget n\nincr n 18446744073709551615\n\
         incr n 1\nincr n x\nincr n\nincr zz 1\nincr n 1 noreply\nset t 0 0 1\nx\nincr t 1\n",
        "STORED\n15\n9\n0\nVALUE n 0 2\n0 \nEND\n18446744073709551615\n0\n\
         CLIENT_ERROR invalid numeric delta argument\nERROR\nNOT_FOUND\nSTORED\n\
         CLIENT_ERROR cannot increment or decrement non-numeric value\n",
    );
}

#[test]
fn mistakes_are_answered_in_memcacheds_words() {
    let long = "k".repeat(251);
    for (sent, expected) in [
        ("\n", "ERROR\n"),
        ("nonsense\n", "ERROR\n"),
        ("GET a\n", "ERROR\n"),
        ("get\n", "ERROR\n"),
        ("set a 0 0\n", "ERROR\n"),
        (
            "set a 0 0 x\nabc\n",
            "CLIENT_ERROR bad command line format\nERROR\n",
        ),
        (
            "set a 0 0 -1\n\n",
            "CLIENT_ERROR bad command line format\nERROR\n",
        ),
        (
            "set a -1 0 1\na\n",
            "CLIENT_ERROR bad command line format\nERROR\n",
        ),
        (
            "set a 0 0 3\nabcd\n",
            "CLIENT_ERROR bad data chunk\nERROR\n",
        ),
        (
            "set a 0 0 3\nabcdefgh\nget a\n",
            "CLIENT_ERROR bad data chunk\nERROR\nEND\n",
        ),
        ("cas a 0 0 1\n", "ERROR\n"),
        ("touch a x\n", "CLIENT_ERROR invalid exptime argument\n"),
        ("gat x a\n", "CLIENT_ERROR invalid exptime argument\n"),
        (
            "delete a 1\n",
            "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\n",
        ),
        ("flush_all x\n", "CLIENT_ERROR invalid exptime argument\n"),
        ("verbosity\n", "ERROR\n"),
        ("stats nonsense\n", "ERROR\n"),
        ("ms a\n", "CLIENT_ERROR bad command line format\n"),
        (
            "ms a 1 Mx\nc\nmn\n",
            "CLIENT_ERROR invalid mode for ms M token\nMN\n",
        ),
        (
            "ms a 1 T\nc\nmn\n",
            "CLIENT_ERROR bad token in command line format\nMN\n",
        ),
        ("mg a v v\n", "CLIENT_ERROR duplicate flag\n"),
        ("mg !!! b v\n", "CLIENT_ERROR error decoding key\n"),
        ("me a b c\n", "CLIENT_ERROR bad command line format\n"),
        (
            &format!("get {long}\n"),
            "CLIENT_ERROR bad command line format\n",
        ),
        (
            &format!("mg a O{long}\n"),
            "CLIENT_ERROR opaque token too long\n",
        ),
        (
            &format!("set a 0 0 1048577\n{}\nversion\n", "x".repeat(1_048_577)),
            "SERVER_ERROR object too large for cache\nVERSION 1.6.18-denali\n",
        ),
    ] {
        let sent = sent.replace('\n', "\r\n");
        let shown: String = sent.chars().take(80).collect();
        assert_eq!(
            ask(&cache(), &sent),
            expected.replace('\n', "\r\n"),
            "{shown:?}"
        );
    }
}

#[test]
fn who_wants_no_answer_gets_none() {
    converse(
        "set a 0 0 1 noreply\nx\nincr a 1 noreply\ntouch a x noreply\nset a 0 0 1 noreply\nxyz\nmn\n",
        "ERROR\nMN\n",
    );
    converse(
        "ms a 1 q\nxyz\nmn\n",
        "CLIENT_ERROR bad data chunk\nERROR\nMN\n",
    );
}

#[test]
fn a_line_may_be_endless_only_with_keys() {
    let keys: String = (0..2_000).map(|n| format!(" key-{n}")).collect();
    for together in [usize::MAX, 1000, 3] {
        let cache = cache();
        let sent = format!("set key-1999 0 0 1\r\nx\r\nget{keys}\r\nversion\r\n");
        let expected = "STORED\r\nVALUE key-1999 0 1\r\nx\r\nEND\r\nVERSION 1.6.18-denali\r\n";
        assert_eq!(ask_slowly(&cache, sent.as_bytes(), together), expected);
    }
    assert_eq!(
        ask(&cache(), &"x".repeat(5_000)),
        "CLIENT_ERROR line too long\r\n"
    );
    assert_eq!(
        ask(&cache(), &format!("get {}", "x".repeat(5_000))),
        "CLIENT_ERROR line too long\r\n"
    );
}

#[test]
fn items_expire() {
    let cache = cache();
    let store = "set s 0 5 1\r\nx\r\nset u 0 1700000009 1\r\nx\r\nset n 0 -1 1\r\nx\r\n\
                 set t 0 5 1\r\nx\r\ntouch t 100\r\nset g 0 5 1\r\nx\r\ngat 0 g\r\n";
    ask(&cache, store);
    let there = |cache| ask(cache, "get s u n t g\r\n").matches("VALUE").count();
    assert_eq!(there(&cache), 4, "the negative one is gone at once");
    pass(4);
    assert_eq!(there(&cache), 4);
    pass(1);
    assert_eq!(there(&cache), 3, "after five seconds");
    pass(10);
    assert_eq!(there(&cache), 2, "after the Unix time");
    pass(1_000);
    assert_eq!(there(&cache), 1, "the one that `gat` made last for ever");
}

#[test]
fn a_flush_forgets_everything() {
    let cache = cache();
    let store = "set a 0 0 1\r\nx\r\n";
    assert_eq!(
        ask(&cache, &format!("{store}flush_all\r\nget a\r\n")),
        "STORED\r\nOK\r\nEND\r\n"
    );
    ask(&cache, &format!("{store}flush_all 10\r\n"));
    assert!(ask(&cache, "get a\r\n").starts_with("VALUE"));
    pass(10);
    assert_eq!(ask(&cache, "get a\r\n"), "END\r\n");
}

#[test]
fn meta_commands_answer_flag_by_flag() {
    converse(
        "ms a 1 T0 F5 c\nb\nmg a v f t s k O77 c h l\nmg a h\nmg a v q k\nmg zz v q\nmn\n",
        "HD c1\nVA 1 f5 t-1 s1 ka O77 c1 h0 l0\nb\nHD h1\nVA 1 ka\nb\nMN\n",
    );
    converse(
        "ms YWJj 1 b k\nd\nget abc\nmg YWJj b k v\n",
        "HD kYWJj b\nVALUE abc 0 1\nd\nEND\nVA 1 kYWJj b\nd\n",
    );
    converse(
        "ms n 1\n5\nma n v\nma n v t D10\nma n v MD D100\nma zn N0 J13 v\nma zn N0 J13 v\nma zz\n",
        "HD\nVA 1\n6\nVA 2 t-1\n16\nVA 1\n0\nVA 2\n13\nVA 2\n14\nNF\n",
    );
    converse(
        "ms s 1 MA N30\na\nms s 1 MA N5\nb\nmg s v t\nmd s Cx\nmd s 0\nma s v v\n",
        "HD\nHD\nVA 2 t30\nab\nCLIENT_ERROR invalid or duplicate flag\n\
         CLIENT_ERROR invalid or duplicate flag\nCLIENT_ERROR invalid or duplicate flag\n",
    );
    converse(
        "ms s 1 MA\na\nms s 1 ME\na\nms s 1 ME\nb\nms s 1 C77\nb\nms zz 1 C77\nb\nmd s q\nmd s\n",
        "NS\nHD\nNS\nEX\nNF\nNF\n",
    );
}

#[test]
fn one_client_wins_the_right_to_bring_a_new_value() {
    converse(
        "mg v N30 v t\nmg v v t\nms v 1 T20\na\nmg v R30 v t\nmg v R30 v t\n",
        "VA 0 t30 W\n\nVA 0 t30 Z\n\nHD\nVA 1 t20 W\na\nVA 1 t20 Z\na\n",
    );
    converse(
        "ms s 1\na\nmd s I T30\nmg s v c t\nmg s v t\nms s 1\nb\nmg s v\n",
        "HD\nHD\nVA 1 c2 t30 X W\na\nVA 1 t30 Z X\na\nHD\nVA 1\nb\n",
    );
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let cache = cache();
    ask(&cache, "set a 0 0 100000\r\nonly a little");
    ask(&cache, "ms a 100 T\r\nrefused");
    assert_eq!(cache.with(|state| state.store.bytes().0), 0);
}

/// Sends bytes and stays silent then. Returns how long that was borne.
fn fall_silent_after(cache: &Cache, sent: &str) -> Option<Duration> {
    let timeout = Cell::default();
    let client = Client {
        sent: sent.as_bytes(),
        together: usize::MAX,
        received: &mut Vec::new(),
        stays: true,
        timeout: &timeout,
    };
    let ended = Session::new(cache, client).serve().expect_err("it ends");
    assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    timeout.get()
}

#[test]
fn silence_is_borne_longer_between_commands_than_within_a_value() {
    let cache = cache();
    let Patience { idle, stalled } = cache.limits.patience;
    for sent in [
        "",
        "get a\r\n",
        "set a 0 0 1\r\nx\r\n",
        "set a 0 0 1\r\nx\r\nget",
    ] {
        assert_eq!(fall_silent_after(&cache, sent), idle, "{sent:?}");
    }
    for sent in ["set a 0 0 9\r\n", "ms a 9\r\nx", "set a 0 0 9000000\r\nx"] {
        assert_eq!(fall_silent_after(&cache, sent), Some(stalled), "{sent:?}");
    }
    assert!(ask(&cache, "stats\r\n").contains("STAT idle_kicks 7\r\n"));
    ask(&cache, "delete a\r\n");
    assert_eq!(
        cache.with(|state| state.store.bytes().0),
        0,
        "nothing is left"
    );
}

#[test]
fn large_values_come_back_whole() {
    let cache = cache();
    for len in [0, 1, 1_900, 2_040, 2_048, 5_000, 1_000_000] {
        let value = "v".repeat(len);
        let sent = format!("set a 0 0 {len}\r\n{value}\r\nget a\r\nmg a v\r\n");
        let expected =
            format!("STORED\r\nVALUE a 0 {len}\r\n{value}\r\nEND\r\nVA {len}\r\n{value}\r\n");
        assert!(ask(&cache, &sent) == expected, "{len}");
    }
}

#[test]
fn every_statistic_is_a_line_and_reset_clears_counters() {
    let cache = cache();
    ask(&cache, "set a 0 0 1\r\nx\r\nget a b\r\n");
    let general = ask(&cache, "stats\r\n");
    for line in [
        "STAT get_hits 1\r\n",
        "STAT get_misses 1\r\n",
        "STAT curr_items 1\r\n",
    ] {
        assert!(general.contains(line), "{general}");
    }
    for which in ["", " settings", " items", " slabs"] {
        let answer = ask(&cache, &format!("stats{which}\r\n"));
        let lines: Vec<_> = answer.lines().collect();
        let (last, stats) = lines.split_last().expect("lines");
        assert_eq!(*last, "END");
        assert!(
            stats.iter().all(|line| line.starts_with("STAT ")),
            "{answer}"
        );
        assert!(stats.len() > 4, "{answer}");
    }
    assert_eq!(ask(&cache, "stats reset\r\n"), "RESET\r\n");
    assert!(ask(&cache, "stats\r\n").contains("STAT get_hits 0\r\n"));
}
