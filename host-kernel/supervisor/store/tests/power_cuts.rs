//! Power cuts at every point of random histories: what was acknowledged is there, what was not is
//! there as a whole or not at all, whatever of the writes since the last flush has landed, and in
//! which order, and torn where.
//!
//! The normal run cuts a sample of points; `DENALI_TRACES=100` cuts every one of 100 histories.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use denali_store::{BLOCK_LEN, Changes, Contents, Device, Digest, Error, IoError, Opened, Store};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Blocks of the device: small, so that areas of the log and blocks of blobs are used again soon.
const BLOCKS: u64 = 160;

const SECTOR: usize = 512;

/// What happened to a device.
#[derive(Clone, Debug)]
enum Event {
    Write(u64, Box<Contents>),
    Flush,
}

/// What a device holds, and how that came about.
#[derive(Debug, Default)]
struct Disk {
    blocks: BTreeMap<u64, Box<Contents>>,
    events: Vec<Event>,
    /// Operations until the device fails.
    fails_in: Option<u32>,
}

#[derive(Clone, Debug, Default)]
struct Recorder(Rc<RefCell<Disk>>);

impl Disk {
    fn check(&mut self) -> Result<(), IoError> {
        match &mut self.fails_in {
            Some(0) => Err(IoError),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Device for Recorder {
    fn blocks(&self) -> u64 {
        BLOCKS
    }

    fn read(&mut self, block: u64, contents: &mut Contents) -> Result<(), IoError> {
        let mut disk = self.0.borrow_mut();
        disk.check()?;
        *contents = disk.blocks.get(&block).map_or([0; BLOCK_LEN], |it| **it);
        Ok(())
    }

    fn write(&mut self, block: u64, contents: &Contents) -> Result<(), IoError> {
        assert!(block < BLOCKS);
        let mut disk = self.0.borrow_mut();
        disk.check()?;
        disk.events.push(Event::Write(block, Box::new(*contents)));
        disk.blocks.insert(block, Box::new(*contents));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IoError> {
        let mut disk = self.0.borrow_mut();
        disk.check()?;
        disk.events.push(Event::Flush);
        Ok(())
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn bytes(&mut self, longest: u64) -> Vec<u8> {
        let length = self.below(longest);
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

/// What a store should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Model {
    /// Returns what a store does hold.
    fn of(store: &mut Store<Recorder>) -> Self {
        let records = store.range(b"");
        let records = records
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect();
        let digests: Vec<Digest> = store.blobs().collect();
        let read = |digest| {
            let blob = store.read_blob(&digest).expect("blobs are whole");
            (digest, blob.expect("it is listed"))
        };
        Self {
            records,
            blobs: digests.into_iter().map(read).collect(),
        }
    }
}

/// Makes random changes and returns what the store should hold then.
fn step(store: &mut Store<Recorder>, model: &Model, random: &mut Random) -> Result<Model, Error> {
    let mut next = model.clone();
    let mut changes = Changes::new();
    for _ in 0..=random.below(4) {
        let key = format!("key-{}", random.below(20)).into_bytes();
        if random.below(4) == 0 {
            changes.remove(&key);
            next.records.remove(&key);
        } else {
            let value = random.bytes(1500);
            changes.put(&key, &value);
            next.records.insert(key, value);
        }
    }
    match random.below(5) {
        0 if model.blobs.len() < 8 => {
            let blob = random.bytes(40_000);
            let digest = store.commit_blob(&blob, &changes)?;
            next.blobs.insert(digest, blob);
        }
        1 => {
            let gone: Vec<Digest> = model.blobs.keys().take(2).copied().collect();
            for digest in &gone {
                next.blobs.remove(digest);
            }
            store.commit_removing(&gone, &changes)?;
        }
        _ => store.commit(&changes)?,
    }
    Ok(next)
}

/// A history: what happened to the device, and what the store held after which events.
struct History {
    events: Vec<Event>,
    acknowledged: Vec<(usize, Model)>,
}

fn history(seed: u64, steps: u32) -> History {
    let disk = Recorder::default();
    let mut random = Random(seed);
    let (mut store, opened) = Store::open(disk.clone(), seed).expect("blank");
    assert_eq!(opened, Opened::Made);
    let mut acknowledged = vec![(0, Model::default())];
    for nth in 0..steps {
        if nth % 40 == 39 {
            drop(store);
            store = Store::open(disk.clone(), 77).expect("sound").0;
        }
        let model = acknowledged.last().expect("the first").1.clone();
        match step(&mut store, &model, &mut random) {
            Ok(next) => {
                let events = disk.0.borrow().events.len();
                acknowledged.push((events, next));
            }
            Err(error) => assert_eq!(error, Error::Full),
        }
    }
    let events = disk.0.borrow().events.clone();
    History {
        events,
        acknowledged,
    }
}

/// Returns what a device may hold if the power is cut after so many events.
fn cut(events: &[Event], random: &mut Random) -> Recorder {
    let flushed = events
        .iter()
        .rposition(|event| matches!(event, Event::Flush))
        .map_or(0, |at| at + 1);
    let disk = Recorder::default();
    let mut landed: Vec<&Event> = events[flushed..].iter().collect();
    // Reordered: a later write to a block may land before an earlier one.
    for at in (1..landed.len()).rev() {
        landed.swap(at, random.below(at as u64 + 1) as usize);
    }
    let mode = random.below(4);
    let mut held = disk.0.borrow_mut();
    let blocks = &mut held.blocks;
    for event in &events[..flushed] {
        if let Event::Write(block, contents) = event {
            blocks.insert(*block, contents.clone());
        }
    }
    for event in landed {
        let Event::Write(block, contents) = event else {
            continue;
        };
        match if mode == 0 { 0 } else { random.below(3) } {
            0 => drop(blocks.insert(*block, contents.clone())),
            1 => {
                let mut torn = blocks.get(block).map_or([0; BLOCK_LEN], |it| **it);
                for sector in 0..BLOCK_LEN / SECTOR {
                    if random.below(2) == 0 {
                        let range = sector * SECTOR..(sector + 1) * SECTOR;
                        torn[range.clone()].copy_from_slice(&contents[range]);
                    }
                }
                blocks.insert(*block, Box::new(torn));
            }
            _ => {}
        }
    }
    drop(held);
    disk
}

/// Cuts the power after `events` of a history and checks what a new boot finds; then goes on from
/// there, and cuts again.
fn check_cut(history: &History, events: usize, random: &mut Random) {
    let disk = cut(&history.events[..events], random);
    let (mut store, _) = Store::open(disk.clone(), 99)
        .unwrap_or_else(|error| panic!("after {events} events: {error}"));
    let found = Model::of(&mut store);
    let last = history
        .acknowledged
        .iter()
        .rposition(|(at, _)| *at <= events)
        .expect("the first is at 0");
    let old = &history.acknowledged[last].1;
    let new = history.acknowledged.get(last + 1).map(|(_, model)| model);
    assert!(
        found == *old || Some(&found) == new,
        "after {events} events the store is neither old nor new"
    );
    // What was found counts: it goes on from there, and another cut keeps to it.
    disk.0.borrow_mut().events.clear();
    let base = disk.0.borrow().blocks.clone();
    let mut model = found;
    let mut before = model.clone();
    for _ in 0..3 {
        match step(&mut store, &model, random) {
            Ok(next) => before = std::mem::replace(&mut model, next),
            Err(error) => assert_eq!(error, Error::Full),
        }
    }
    let events = disk.0.borrow().events.clone();
    let Some(last_flush) = events
        .iter()
        .rposition(|event| matches!(event, Event::Flush))
    else {
        return;
    };
    let mut all: Vec<Event> = base
        .into_iter()
        .map(|(block, contents)| Event::Write(block, contents))
        .collect();
    all.push(Event::Flush);
    all.extend_from_slice(&events[..last_flush]);
    let disk = cut(&all, random);
    let (mut store, _) = Store::open(disk, 99).expect("a second cut does no more harm");
    let found = Model::of(&mut store);
    assert!(found == model || found == before);
}

#[test]
fn every_cut_leaves_the_old_or_the_new() {
    let traces = std::env::var("DENALI_TRACES").ok();
    let traces: Option<u64> = traces.and_then(|text| text.parse().ok());
    let mut cuts = 0;
    for seed in 1..=traces.unwrap_or(12) {
        let history = history(seed, 120);
        let mut random = Random(seed ^ 0x5eed);
        let ends = history.events.len();
        let points: Vec<usize> = match traces {
            Some(_) => (0..=ends).collect(),
            None => (0..100)
                .map(|_| random.below(ends as u64 + 1) as usize)
                .collect(),
        };
        cuts += points.len();
        for events in points {
            check_cut(&history, events, &mut random);
        }
    }
    println!("{cuts} cuts");
    assert!(cuts >= 1000);
}

#[test]
fn a_damaged_block_is_noticed_and_never_taken_for_the_end() {
    let disk = Recorder::default();
    let mut random = Random(3);
    let (mut store, _) = Store::open(disk.clone(), 3).expect("blank");
    let mut model = Model::default();
    for _ in 0..6 {
        model = step(&mut store, &model, &mut random).expect("room");
    }
    let blob = vec![0x42; 20_000];
    let digest = store.commit_blob(&blob, &Changes::new()).expect("room");
    model.blobs.insert(digest, blob);
    store
        .commit(Changes::new().put(b"last", b"one"))
        .expect("room");
    model.records.insert(b"last".to_vec(), b"one".to_vec());
    drop(store);
    let whole = disk.0.borrow().blocks.clone();
    let last = whole.keys().filter(|block| **block < 20).max().copied();
    for (&block, contents) in &whole {
        let damaged = Recorder::default();
        let mut bytes = contents.clone();
        bytes[200] ^= 0x10;
        damaged.0.borrow_mut().blocks = whole.clone();
        damaged.0.borrow_mut().blocks.insert(block, bytes);
        match Store::open(damaged, 4) {
            // The other superblock is as good.
            Ok((mut store, _)) if block < 2 => assert_eq!(Model::of(&mut store), model),
            // The last transaction may have been under way.
            Ok(_) if Some(block) == last => {}
            Ok((mut store, _)) => {
                let read = store.read_blob(&digest);
                let others = store.blobs().filter(|it| *it != digest).collect::<Vec<_>>();
                let noticed = matches!(read, Err(Error::Corrupt(_)))
                    || others.iter().any(|it| store.read_blob(it).is_err());
                // A blob that was removed, or the padding of one.
                let found = Model {
                    blobs: model.blobs.clone(),
                    records: store
                        .range(b"")
                        .map(|(k, v)| (k.to_vec(), v.to_vec()))
                        .collect(),
                };
                assert!(noticed || found == model, "block {block}");
            }
            Err(error) => assert_eq!(error, Error::Corrupt(block)),
        }
    }
}

#[test]
fn the_format_comes_first_and_what_is_no_store_is_left_alone() {
    let disk = Recorder::default();
    drop(Store::open(disk.clone(), 3).expect("blank"));
    for block in 0..2 {
        disk.0.borrow_mut().blocks.get_mut(&block).expect("written")[8] = 2;
    }
    let refused = Store::open(disk.clone(), 3).map(|_| ());
    assert_eq!(refused, Err(Error::Version(2)));
    for block in 0..2 {
        disk.0
            .borrow_mut()
            .blocks
            .insert(block, Box::new([0x9c; BLOCK_LEN]));
    }
    let before = disk.0.borrow().events.len();
    assert_eq!(
        Store::open(disk.clone(), 3).map(|_| ()),
        Err(Error::Foreign)
    );
    assert_eq!(disk.0.borrow().events.len(), before);
}

#[test]
fn a_device_that_fails_is_told_and_nothing_is_lost() {
    for fails_in in 0..60 {
        let disk = Recorder::default();
        let (mut store, _) = Store::open(disk.clone(), 3).expect("blank");
        let mut random = Random(u64::from(fails_in));
        let mut model = Model::default();
        let next;
        disk.0.borrow_mut().fails_in = Some(fails_in);
        loop {
            let mut planned = Random(random.0);
            match step(&mut store, &model, &mut random) {
                Ok(new) => model = new,
                Err(Error::Full) => {}
                Err(error) => {
                    assert!(matches!(error, Error::Io | Error::Failed));
                    // What it would have held.
                    let healthy = Recorder::default();
                    let (mut other, _) = Store::open(healthy, 5).expect("blank");
                    next = step(&mut other, &model, &mut planned).ok();
                    break;
                }
            }
        }
        disk.0.borrow_mut().fails_in = None;
        drop(store);
        let (mut store, _) = Store::open(disk, 4).expect("sound");
        let found = Model::of(&mut store);
        assert!(found == model || Some(found) == next, "{fails_in}");
    }
}

#[test]
fn a_full_store_says_so_and_works_on() {
    let disk = Recorder::default();
    let (mut store, _) = Store::open(disk.clone(), 3).expect("blank");
    let mut stored = 0_u32;
    let refused = loop {
        let key = stored.to_le_bytes();
        match store.commit(Changes::new().put(&key, &[7; 3000])) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Error::Full);
    assert!(stored > 2);
    let too_much = vec![1; usize::try_from(BLOCKS).expect("few") * BLOCK_LEN];
    assert_eq!(
        store.commit_blob(&too_much, &Changes::new()),
        Err(Error::Full)
    );
    store
        .commit(Changes::new().remove(&0_u32.to_le_bytes()))
        .expect("that makes room");
    store
        .commit(Changes::new().put(b"more", &[7; 1000]))
        .expect("there is room");
    drop(store);
    let (store, _) = Store::open(disk, 4).expect("sound");
    assert_eq!(
        store.range(b"").count(),
        usize::try_from(stored).expect("few")
    );
}
