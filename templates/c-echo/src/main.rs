//! Sends back what clients send, in C: the program is `src/echo.c`.

#![no_std]
#![cfg_attr(denali, no_main)]

denali_rt::c_entry!();
