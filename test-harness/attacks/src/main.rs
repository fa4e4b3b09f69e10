//! The attacker: carries out the attack that its first argument names, or plays the victim.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use denali_attacks::{VICTIM, find, victim};

denali_rt::entry!(main);

fn main() -> Result<(), String> {
    let name = denali_rt::env::args().next().unwrap_or_default();
    if name == VICTIM {
        return victim::serve();
    }
    let attack = find(name).ok_or_else(|| format!("there is no attack `{name}`"))?;
    denali_attacks::upcalls::begin_without();
    (attack.run)()?;
    denali_rt::println!("through");
    Ok(())
}
