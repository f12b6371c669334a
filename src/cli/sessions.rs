//! `kvmdesk sessions`: who was and who is connected; `--end N` ends one.

use crate::agent::control::{self, Answer, AskError, Request};
use crate::agent::logbook::{self, unix_now};
use crate::agent::store::Store;

use super::args::{Place, Sessions};
use super::{Failure, UNAVAILABLE, place};

pub(super) fn run(place: &Place, args: &Sessions) -> Result<(), Failure> {
    let store = Store::at(&place::state_dir(place)?);
    if let Some(session) = args.end {
        return print_done(control::ask(&store.socket(), &Request::EndSession { session })?);
    }
    let here: Vec<u64> = match control::ask(&store.socket(), &Request::Status) {
        Ok(Answer::Status(status)) => status.target.sessions.iter().map(|s| s.session).collect(),
        Ok(
            Answer::Done { .. }
            | Answer::Failed { .. }
            | Answer::OneTimePassword { .. }
            | Answer::Picture(_)
            | Answer::Typing { .. },
        )
        | Err(AskError::NotRunning(_)) => vec![],
        Err(error) => return Err(error.into()),
    };
    let kept = logbook::read(&store)?;
    if kept.is_empty() {
        println!("Nobody has logged in yet.");
        return Ok(());
    }
    println!(
        "{:>5}  {:<19}  {:<10}  {:<8}  {:<15}  {:<12}  {:<16}  PLATFORM",
        "N", "FROM (UTC)", "HOW LONG", "ROUTE", "ADDRESS", "ID", "NAME"
    );
    for log_in in kept {
        let long = match log_in.seconds {
            _ if here.contains(&log_in.session) => {
                format!("{} +", duration(unix_now().saturating_sub(log_in.started)))
            }
            Some(seconds) => duration(seconds),
            None => "unknown".to_owned(),
        };
        println!(
            "{:>5}  {:<19}  {long:<10}  {:<8}  {:<15}  {:<12}  {:<16}  {}",
            log_in.session,
            utc(log_in.started),
            log_in.route,
            log_in.address,
            log_in.my_id,
            log_in.my_name,
            log_in.platform
        );
    }
    println!("`+`: still connected; `kvmdesk sessions --end N` ends it.");
    Ok(())
}

/// Shows what a deed came to.
pub(super) fn print_done(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Done { text } => {
            println!("{text}");
            Ok(())
        }
        Answer::Failed { text } => Err(Failure::new(UNAVAILABLE, text)),
        Answer::Status(_) | Answer::OneTimePassword { .. } | Answer::Picture(_) | Answer::Typing { .. } => {
            Err(Failure::new(UNAVAILABLE, "the daemon answered something else"))
        }
    }
}

/// `2d 3h`, `3h 5m`, `5m 7s` or `7s`.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (_, _, _) => format!("{days}d {hours}h"),
    }
}

/// Unix seconds as `YYYY-MM-DD hh:mm:ss` (days to civil date, proleptic Gregorian).
pub(super) fn utc(unix: u64) -> String {
    let days = unix / 86_400;
    // Eras of 400 years that begin on 1 March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(utc(951_868_800), "2000-03-01 00:00:00");
        assert_eq!(utc(1_767_225_599), "2025-12-31 23:59:59");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00");
        let long: Vec<String> = [7, 307, 11_100, 183_600].into_iter().map(duration).collect();
        assert_eq!(long, ["7s", "5m 7s", "3h 5m", "2d 3h"]);
    }
}
