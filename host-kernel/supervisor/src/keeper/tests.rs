//! The keeper on a device in memory that outlives it.

use super::*;
use crate::fixtures::Memory;

fn facts(name: &str) -> Facts<'_> {
    Facts {
        name,
        version: "1.2.3",
        build_id: "b1",
        by: "SHA256:key",
        at: 100,
        of: None,
        signature: None,
    }
}

fn open(memory: &Memory) -> Keeper {
    Keeper::open(Box::new(memory.clone()), 7).unwrap().0
}

#[test]
fn a_release_is_current_only_when_it_succeeded() {
    let memory = Memory::new(512);
    let mut keeper = open(&memory);
    let first = keeper.begin(&facts("web"), b"one").unwrap();
    assert_eq!(keeper.entry("web").unwrap().current, None);
    keeper.succeed("web", first, 101).unwrap();
    let second = keeper.begin(&facts("web"), b"two").unwrap();
    keeper.fail("web", second, "it crashed").unwrap();
    drop(keeper);
    let mut keeper = open(&memory);
    assert_eq!((first, second), (1, 2));
    assert_eq!(keeper.entry("web").unwrap().current, Some(1));
    let outcomes: Vec<Outcome> = keeper
        .releases("web")
        .into_iter()
        .map(|release| release.outcome)
        .collect();
    let failed = Outcome::Failed("it crashed".into());
    assert_eq!(outcomes, [failed, Outcome::Current]);
    assert_eq!(keeper.package("web", 1).unwrap().unwrap(), b"one");
    let third = keeper.begin(&facts("web"), b"one").unwrap();
    keeper.succeed("web", third, 102).unwrap();
    assert_eq!(keeper.release("web", 1).unwrap().outcome, Outcome::Replaced);
}

#[test]
fn old_releases_and_packages_of_nobody_go() {
    let memory = Memory::new(512);
    let mut keeper = open(&memory);
    for number in 0..15_u8 {
        let release = keeper.begin(&facts("web"), &[number; 100]).unwrap();
        keeper.succeed("web", release, 1).unwrap();
    }
    assert_eq!(keeper.releases("web").len(), RELEASES_MAX);
    assert_eq!(keeper.store.blobs().count(), RELEASES_MAX);
    let other = keeper.begin(&facts("other"), &[14; 100]).unwrap();
    keeper.succeed("other", other, 2).unwrap();
    keeper.set_secret("web", "TOKEN", b"s3cret").unwrap();
    keeper.forget("web").unwrap();
    assert_eq!(keeper.entry("web"), None);
    assert!(keeper.secrets("web").is_empty() && keeper.releases("web").is_empty());
    assert_eq!(keeper.package("other", other).unwrap().unwrap(), [14; 100]);
    assert_eq!(keeper.store.blobs().count(), 1);
}

#[test]
fn services_come_in_the_order_of_their_use() {
    let mut keeper = open(&Memory::new(512));
    for (name, used) in [("a", 5), ("b", 9), ("c", 7), ("a", 8)] {
        let release = keeper.begin(&facts(name), b"same").unwrap();
        keeper.succeed(name, release, used).unwrap();
    }
    let names: Vec<String> = keeper.entries().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "a", "c"]);
}

#[test]
fn secrets_are_bounded_and_those_of_one_service() {
    let memory = Memory::new(512);
    let mut keeper = open(&memory);
    keeper.set_secret("web", "TOKEN", b"one").unwrap();
    keeper.set_secret("web-2", "TOKEN", b"two").unwrap();
    assert_eq!(keeper.secrets("web"), [("TOKEN".into(), "one".into())]);
    for number in 1..SECRETS_MAX {
        keeper
            .set_secret("web", &format!("K{number}"), b"x")
            .unwrap();
    }
    assert_eq!(keeper.set_secret("web", "MORE", b"x"), Err(Error::Full));
    keeper.set_secret("web", "TOKEN", b"new").unwrap();
    assert_eq!(keeper.remove_secret("web", "TOKEN"), Ok(true));
    assert_eq!(keeper.remove_secret("web", "TOKEN"), Ok(false));
    drop(keeper);
    assert_eq!(open(&memory).secret_keys("web").len(), SECRETS_MAX - 1);
}
