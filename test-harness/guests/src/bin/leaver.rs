//! Leaves with the exit code given as its first argument.

#![no_std]
#![cfg_attr(denali, no_main)]

denali_rt::entry!(main);

fn main() {
    let code = denali_rt::env::args()
        .next()
        .and_then(|code| code.parse().ok());
    denali_rt::process::exit(code.unwrap_or(0));
}
