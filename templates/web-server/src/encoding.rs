//! Whether a client prefers gzip (RFC 9110 §12.5.3).

/// Returns whether an `Accept-Encoding` field, or several joined, prefers gzip to the plain form.
pub fn prefers_gzip<'a>(fields: impl Iterator<Item = &'a str>) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for element in fields.flat_map(|field| field.split(',')) {
        let (coding, weight) = match element.split_once(';') {
            Some((coding, parameters)) => (coding.trim(), weight(parameters)),
            None => (element.trim(), 1000),
        };
        match coding {
            "*" => any = Some(weight),
            _ if coding.eq_ignore_ascii_case("identity") => identity = Some(weight),
            _ if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                gzip = Some(weight);
            }
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    // What a client says nothing of is welcome in its plain form, but not more than what it names.
    let identity = identity.unwrap_or(match any {
        Some(0) => 0,
        _ => 1,
    });
    gzip > 0 && gzip >= identity
}

/// Returns a weight such as `q=0.5` in thousandths; one that makes no sense is none at all.
fn weight(parameters: &str) -> u32 {
    let Some((name, value)) = parameters.split_once('=') else { return 0 };
    if !name.trim().eq_ignore_ascii_case("q") {
        return 0;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let thousandths = fraction
        .bytes()
        .fold((0, 100), |(sum, place), digit| (sum + u32::from(digit - b'0') * place, place / 10));
    match whole {
        "0" => thousandths.0,
        "1" if thousandths.0 == 0 => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide() {
        for (field, gzip) in [
            ("gzip", true),
            ("GZip, deflate, br", true),
            ("x-gzip", true),
            ("deflate, br", false),
            ("", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip; q=0.001", true),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0.5, identity;q=0.4", true),
            ("identity;q=0, gzip;q=0.1", true),
            ("gzip;q=1.001", false),
            ("gzip;q=x", false),
            ("gzip;level=9", false),
        ] {
            assert_eq!(prefers_gzip([field].into_iter()), gzip, "{field}");
        }
        assert!(prefers_gzip(["br", "gzip"].into_iter()));
        assert!(!prefers_gzip([].into_iter()));
    }
}
