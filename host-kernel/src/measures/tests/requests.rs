//! The command line.

use super::super::{Measure, Request, decide};
use super::{on, profiles};
use std::string::{String, ToString};
use std::vec::Vec;

fn skylake(command_line: &str) -> (Vec<&'static str>, Vec<String>) {
    let mut unknown = Vec::new();
    let request = Request::parse(command_line, |error| unknown.push(error.to_string()));
    let (_, cpu) = profiles::all()
        .find(|&(name, _)| name == "Skylake")
        .unwrap();
    (on(&decide(&cpu, request)), unknown)
}

#[test]
fn every_base_and_every_name_can_be_chosen() {
    let automatic = ["pti", "ibpb", "ibpb_entry", "verw"];
    assert_eq!(skylake("").0, automatic);
    assert_eq!(skylake("panic=reboot measures=auto").0, automatic);
    assert_eq!(skylake("measures=off").0, [""; 0]);
    assert_eq!(skylake("measures=off,pti=on").0, ["pti"]);
    assert_eq!(
        skylake("measures=pti=off").0,
        ["ibpb", "ibpb_entry", "verw"]
    );
    assert_eq!(skylake("measures=pti=on measures=off").0, ["pti"]);
    assert_eq!(skylake("measures=pti=on,pti=off,off").0, [""; 0]);
    let all = [
        "pti",
        "ibpb",
        "ibpb_entry",
        "bhb_clear",
        "verw",
        "l1d_flush",
        "ssbd",
        "stibp",
    ];
    assert_eq!(skylake("measures=all").0, all);
    for measure in Measure::ALL {
        let (on, unknown) = skylake(&std::format!("measures=off,{measure}=on"));
        assert!(on.is_empty() || on == [measure.name()]);
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn an_unknown_word_is_named_and_changes_nothing() {
    for word in ["kpti", "pti", "pti=yes", "kpti=on", "", "=", "pti=on=off"] {
        let (on, unknown) = skylake(&std::format!("measures={word}"));
        assert_eq!(on, skylake("").0, "{word}");
        assert_eq!(unknown.len(), 1, "{word}");
        assert!(unknown[0].starts_with(&std::format!("measures={word} is unknown")));
    }
}

#[test]
fn what_the_cpu_cannot_do_is_refused_aloud() {
    let request = Request::parse("measures=ibrs=on,ssbd=on", |error| panic!("{error}"));
    let (_, cpu) = profiles::all()
        .find(|&(name, _)| name == "Skylake")
        .unwrap();
    let refused: Vec<_> = decide(&cpu, request).refused().collect();
    assert_eq!(refused, [Measure::Ibrs]);
}

#[test]
fn every_measure_cites_its_source() {
    for (index, measure) in Measure::ALL.into_iter().enumerate() {
        assert_eq!(measure as usize, index);
        assert!(measure.source().len() > 8, "{measure}");
        assert!(
            Measure::ALL[..index]
                .iter()
                .all(|other| other.name() != measure.name())
        );
    }
}

#[test]
fn every_measure_is_in_the_reference() {
    let page = include_str!("../../../../docs/src/reference/measures.md");
    for measure in Measure::ALL {
        let row = std::format!("| `{measure}` |");
        assert!(page.contains(&row), "{measure} is missing in measures.md");
    }
}
