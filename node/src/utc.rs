//! Instants as people read them: by the wall clock, in UTC, to the second.

use time::OffsetDateTime;

/// `2026-11-21 14:25:01 UTC`; `-` for an instant that nobody noted.
pub(crate) fn utc(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) if unix_ms > 0 => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Ok(_) | Err(_) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_a_date_and_a_time() {
        assert_eq!(utc(1_795_271_101_999), "2026-11-21 14:25:01 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(0), "-");
        assert_eq!(utc(u64::MAX), "-");
    }
}
