//! Looks up the name given as its first argument and prints what it finds.

#![no_std]
#![cfg_attr(denali, no_main)]

denali_rt::entry!(main);

fn main() -> Result<(), &'static str> {
    let name = denali_rt::env::args().next().ok_or("no name given")?;
    match denali_rt::net::lookup(&name) {
        Ok(addresses) => denali_rt::println!("{name} is {addresses:?}"),
        Err(error) => denali_rt::println!("{name}: {error}"),
    }
    Ok(())
}
