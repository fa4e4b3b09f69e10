//! The PC's real-time clock, as numbers (MC146818A data sheet).

/// One reading of the clock's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the registers")]
pub struct RtcReading {
    pub second: u8,
    pub minute: u8,
    pub hour: u8,
    pub day: u8,
    pub month: u8,
    /// Without the century.
    pub year: u8,
    /// Register B: binary or BCD, 12 or 24 hours.
    pub format: u8,
}

const BINARY: u8 = 0x04;
const HOURS_24: u8 = 0x02;
const AFTERNOON: u8 = 0x80;

/// Returns seconds since the Unix epoch, for years 2000 to 2099; `None` if a field is out of range.
#[must_use]
pub fn unix_seconds(reading: RtcReading) -> Option<u64> {
    let number = |field: u8| {
        let value = if reading.format & BINARY == 0 {
            (field >> 4) * 10 + (field & 0xf)
        } else {
            field
        };
        u64::from(value)
    };
    let hour = number(reading.hour & !AFTERNOON);
    let hour = match reading {
        RtcReading { format, .. } if format & HOURS_24 != 0 => hour,
        RtcReading { hour: raw, .. } if raw & AFTERNOON != 0 => hour % 12 + 12,
        _ => hour % 12,
    };
    let (minute, second) = (number(reading.minute), number(reading.second));
    let (year, month, day) = (
        number(reading.year),
        number(reading.month),
        number(reading.day),
    );
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && year < 100;
    if !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_epoch(2000 + year, month, day);
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Counts days of the Gregorian calendar from 1 January 1970, with years that begin in March, so
/// that the leap day comes last.
const fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - DAYS_FROM_YEAR_0_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: RtcReading = RtcReading {
        second: 0x59,
        minute: 0x30,
        hour: 0x23,
        day: 0x29,
        month: 0x02,
        year: 0x24,
        format: 2,
    };

    #[test]
    fn reads_binary_coded_decimals() {
        assert_eq!(unix_seconds(READING), Some(1_709_249_459));
    }

    #[test]
    fn reads_binary_numbers() {
        let reading = RtcReading {
            second: 59,
            minute: 30,
            hour: 23,
            day: 29,
            month: 2,
            year: 24,
            format: 6,
        };
        assert_eq!(unix_seconds(reading), Some(1_709_249_459));
    }

    #[test]
    fn reads_twelve_hour_clocks() {
        let evening = RtcReading {
            hour: 0x11 | AFTERNOON,
            format: 0,
            ..READING
        };
        assert_eq!(unix_seconds(evening), unix_seconds(READING));
        let midnight = RtcReading {
            hour: 0x12,
            format: 0,
            ..READING
        };
        assert_eq!(unix_seconds(midnight), Some(1_709_249_459 - 23 * 3600));
    }

    #[test]
    fn refuses_what_is_no_time() {
        assert_eq!(
            unix_seconds(RtcReading {
                month: 0,
                ..READING
            }),
            None
        );
        assert_eq!(
            unix_seconds(RtcReading {
                second: 0xff,
                format: 6,
                ..READING
            }),
            None
        );
    }
}
