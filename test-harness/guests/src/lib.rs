//! Guests with one behaviour each, for the tests that boot a machine: see `src/bin`.

#![no_std]
