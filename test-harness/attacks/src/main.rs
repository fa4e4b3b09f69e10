//! The attacker: carries out the attack that its first argument names, or plays another part.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use denali_attacks::client::{self, CLIENT};
use denali_attacks::director::{self, DIRECTOR};
use denali_attacks::{VICTIM, find, victim};

denali_rt::entry!(main);

fn main() -> Result<(), String> {
    let mut arguments = denali_rt::env::args();
    let name = arguments.next().unwrap_or_default();
    match name {
        VICTIM => return victim::serve(),
        CLIENT => return client::ask(arguments.next().unwrap_or_default()),
        DIRECTOR => return director::direct(&arguments.collect::<Vec<_>>()),
        _ => {}
    }
    let attack = find(name).ok_or_else(|| format!("there is no attack `{name}`"))?;
    denali_attacks::upcalls::begin_without();
    (attack.run)()?;
    denali_rt::println!("through");
    Ok(())
}
