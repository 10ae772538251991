//! When a schedule is due.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// How far a next time is looked for: a 29th of February can be eight years away.
const LONGEST_WAIT_DAYS: u32 = 366 * 9;

/// A schedule: `@hourly` and its kind, or a cron expression of numbers, lists, ranges, steps and `*`.
///
/// Five fields are minute, hour, day of the month, month, day of the week; a sixth in front is the second, a seventh at
/// the end the year. Where both days are given, either is enough, as in other crons. All in UTC: the Hub's zone is not known.
///
/// # Source
/// Hub OpenAPI, the pattern of `schedule` in `POST /api/scheduled-jobs/{namespace}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cron {
    seconds: Set,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    years: Option<Vec<i16>>,
    text: String,
}

/// Some of the numbers from 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    bits: u64,
    /// Whether it was written `*`.
    any: bool,
}

impl Set {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.bits & (1 << number) != 0)
    }

    fn from(self, first: i8) -> impl Iterator<Item = i8> {
        (first..60).filter(move |&number| self.has(number))
    }
}

/// Why a text is no schedule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoSchedule;

impl FromStr for Cron {
    type Err = NoSchedule;

    fn from_str(text: &str) -> Result<Self, NoSchedule> {
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let mut fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let years = match fields.len() {
            6 => None,
            7 => fields.pop(),
            _ => return Err(NoSchedule),
        };
        let mut weekdays = set(fields[5], 0, 7)?;
        // Sunday is both 0 and 7.
        if weekdays.has(7) {
            weekdays.bits |= 1;
        }
        Ok(Self {
            seconds: set(fields[0], 0, 59)?,
            minutes: set(fields[1], 0, 59)?,
            hours: set(fields[2], 0, 23)?,
            days: set(fields[3], 1, 31)?,
            months: set(fields[4], 1, 12)?,
            weekdays,
            years: match years {
                None | Some("*") => None,
                Some(field) => Some(numbers(field, 1970, 2099)?.collect()),
            },
            text: text.to_owned(),
        })
    }
}

fn set(field: &str, least: i16, most: i16) -> Result<Set, NoSchedule> {
    let bits = numbers(field, least, most)?.fold(0, |bits, number| bits | 1 << number);
    Ok(Set {
        bits,
        any: field == "*",
    })
}

/// The numbers a field names.
fn numbers(field: &str, least: i16, most: i16) -> Result<impl Iterator<Item = i16> + use<>, NoSchedule> {
    let number = |text: &str| {
        let known = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<i16>().ok().filter(|_| known);
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or(NoSchedule)
    };
    let mut ranges = Vec::new();
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => {
                let step = step.parse::<usize>().map_err(|_no_number| NoSchedule)?;
                (range, Some(step).filter(|step| *step > 0).ok_or(NoSchedule)?)
            }
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None if range == "*" => (least, most),
            // `5/10` goes on to the end, plain `5` does not.
            None if item.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(NoSchedule);
        }
        ranges.push((first..=last).step_by(step));
    }
    Ok(ranges.into_iter().flatten())
}

impl Cron {
    /// The first time after `now`; none when the schedule names none in the years to come.
    pub(crate) fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let start = now.to_zoned(TimeZone::UTC).datetime();
        let start = start.checked_add(1.second()).ok()?;
        let mut date = start.date();
        let mut from = Time::constant(start.hour(), start.minute(), start.second(), 0);
        for _ in 0..LONGEST_WAIT_DAYS {
            if self.is_on(date)
                && let Some(time) = self.time_from(from)
            {
                return date
                    .to_datetime(time)
                    .to_zoned(TimeZone::UTC)
                    .ok()
                    .map(|due| due.timestamp());
            }
            date = date.tomorrow().ok()?;
            from = Time::midnight();
        }
        None
    }

    fn is_on(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let days = match (self.days.any, self.weekdays.any) {
            (true, _) => weekday,
            (_, true) => day,
            (false, false) => day || weekday,
        };
        let year = self
            .years
            .as_ref()
            .is_none_or(|years| years.contains(&date.year()));
        days && year && self.months.has(date.month())
    }

    /// The first time of a day that is not before `from`.
    fn time_from(&self, from: Time) -> Option<Time> {
        for hour in self.hours.from(from.hour()) {
            let first_minute = if hour == from.hour() { from.minute() } else { 0 };
            for minute in self.minutes.from(first_minute) {
                let same = hour == from.hour() && minute == from.minute();
                let first_second = if same { from.second() } else { 0 };
                if let Some(second) = self.seconds.from(first_second).next() {
                    return Time::new(hour, minute, second, 0).ok();
                }
            }
        }
        None
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(schedule: &str, now: &str) -> String {
        let cron: Cron = schedule.parse().unwrap();
        let due = cron.next_after(now.parse().unwrap()).unwrap();
        due.to_string()
    }

    #[test]
    fn the_next_time_is_the_first_one_after_now() {
        for (schedule, now, due) in [
            ("@hourly", "2026-11-22T18:30:00Z", "2026-11-22T19:00:00Z"),
            ("@hourly", "2026-11-22T19:00:00Z", "2026-11-22T20:00:00Z"),
            ("@daily", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
            ("@weekly", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"),
            ("@monthly", "2026-11-22T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("@yearly", "2026-11-22T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("*/5 * * * *", "2026-11-22T18:31:07.5Z", "2026-11-22T18:35:00Z"),
            // A Monday.
            ("0 9 * * 1", "2026-11-22T18:30:00Z", "2026-11-23T09:00:00Z"),
            ("0 9 * * 7", "2026-11-22T18:30:00Z", "2026-11-29T09:00:00Z"),
            // Either day is enough.
            ("0 0 1 * 3", "2026-11-22T18:30:00Z", "2026-11-25T00:00:00Z"),
            ("0 0 29 2 *", "2026-11-22T18:30:00Z", "2028-02-29T00:00:00Z"),
            (
                "30 */2 9-17/4 * * *",
                "2026-11-22T18:30:00Z",
                "2026-11-23T09:00:30Z",
            ),
            ("0 0 0 1 1 * 2030", "2026-11-22T18:30:00Z", "2030-01-01T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, now), due, "{schedule} after {now}");
        }
        let never: Cron = "0 0 31 2 *".parse().unwrap();
        assert_eq!(never.next_after("2026-11-22T18:30:00Z".parse().unwrap()), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "@often",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "1,,2 * * * *",
            "+1 * * * *",
            "* * * * * * * *",
        ] {
            assert_eq!(text.parse::<Cron>(), Err(NoSchedule), "{text}");
        }
    }

    fn field(least: i16, most: i16) -> impl Strategy<Value = String> {
        prop_oneof![
            Just("*".to_owned()),
            (least..=most).prop_map(|number| number.to_string()),
            (1..=most).prop_map(|step| format!("*/{step}")),
            (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        ]
    }

    proptest! {
        /// Compared with a walk over every minute of two days.
        #[test]
        fn no_time_is_missed_and_none_made_up(
            minute in field(0, 59), hour in field(0, 23), weekday in field(0, 6), start in 0_i64..4_000_000_000,
        ) {
            let cron: Cron = format!("{minute} {hour} * * {weekday}").parse().unwrap();
            let now = Timestamp::from_second(start).unwrap();
            let found = cron.next_after(now);
            let first_minute = start.div_euclid(60) + 1;
            let walked = (first_minute..first_minute + 2 * 24 * 60).find_map(|minute| {
                let at = Timestamp::from_second(minute * 60).unwrap().to_zoned(TimeZone::UTC);
                let due = cron.minutes.has(at.minute()) && cron.hours.has(at.hour())
                    && cron.weekdays.has(at.weekday().to_sunday_zero_offset());
                due.then(|| at.timestamp())
            });
            match (walked, found) {
                (Some(walked), found) => prop_assert_eq!(Some(walked), found),
                (None, Some(found)) => prop_assert!(found > now),
                // A weekday comes within a week, whatever the others say.
                (None, None) => prop_assert!(false, "never due"),
            }
        }

        #[test]
        fn any_text_is_survived(text in "[0-9*/, @a-z-]{0,24}") {
            if let Ok(cron) = text.parse::<Cron>() {
                let now = Timestamp::UNIX_EPOCH;
                prop_assert!(cron.next_after(now).is_none_or(|due| due > now));
            }
        }
    }
}
