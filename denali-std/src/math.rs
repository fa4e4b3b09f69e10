//! The functions of `math.h` that `f32` and `f64` call, from the `libm` crate.

#![expect(unsafe_code, reason = "exports functions by C's names")]

/// Exports functions of one argument and result.
macro_rules! unary {
    ($kind:ty: $($name:ident)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name(x: $kind) -> $kind {
            libm::$name(x)
        })*
    };
}

/// Exports functions of two arguments and a result.
macro_rules! binary {
    ($kind:ty: $($name:ident)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name(x: $kind, y: $kind) -> $kind {
            libm::$name(x, y)
        })*
    };
}

unary! { f64:
    acos acosh asin asinh atan atanh cbrt cos cosh exp exp2 expm1 log log10 log1p log2 sin sinh tan
    tanh tgamma
}

unary! { f32:
    acosf acoshf asinf asinhf atanf atanhf cbrtf cosf coshf expf exp2f expm1f logf log10f log1pf
    log2f sinf sinhf tanf tanhf tgammaf
}

binary! { f64: atan2 fdim hypot pow }

binary! { f32: atan2f fdimf hypotf powf }
