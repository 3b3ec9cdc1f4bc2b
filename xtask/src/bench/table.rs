//! From samples to figures.

use serde::Serialize;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Seconds.
    pub seconds: f64,
    /// Bytes; `None` where nobody measured.
    pub peak: Option<u64>,
}

/// The figures of one contestant at one work.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The work.
    pub work: String,
    /// The contestant.
    pub contestant: String,
    /// Median of the rounds, in milliseconds.
    pub median_ms: f64,
    /// The fastest round, in milliseconds.
    pub min_ms: f64,
    /// The median as a multiple of crun's.
    pub times_crun: Option<f64>,
    /// The median as a multiple of the floor's.
    pub times_floor: Option<f64>,
    /// The largest peak of the memory that one process held, in MB (1000²).
    pub peak_mb: Option<f64>,
    /// How many rounds counted.
    pub rounds: usize,
}

/// The rows of one work, from each contestant's samples; a contestant without samples has no row.
pub fn rows(work: &str, samples: &[(String, Vec<Sample>)]) -> Vec<Row> {
    let median_of = |name: &str| {
        let (_, samples) = samples.iter().find(|(contestant, _)| contestant == name)?;
        median(samples)
    };
    let (crun, floor) = (median_of("crun"), median_of("floor"));
    let row = |(contestant, samples): &(String, Vec<Sample>)| {
        let seconds = median(samples)?;
        Some(Row {
            work: work.to_owned(),
            contestant: contestant.clone(),
            median_ms: seconds * 1e3,
            min_ms: samples.iter().map(|sample| sample.seconds).fold(f64::INFINITY, f64::min) * 1e3,
            times_crun: crun.map(|crun| seconds / crun),
            times_floor: floor.map(|floor| seconds / floor),
            peak_mb: samples.iter().filter_map(|sample| sample.peak).max().map(|bytes| bytes as f64 / 1e6),
            rounds: samples.len(),
        })
    };
    samples.iter().filter_map(row).collect()
}

/// The median in seconds: of an even number, the mean of the middle two.
pub fn median(samples: &[Sample]) -> Option<f64> {
    let mut seconds: Vec<f64> = samples.iter().map(|sample| sample.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let (low, high) = (seconds.get(seconds.len().checked_sub(1)? / 2)?, seconds.get(seconds.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// The rows as a table for a person.
pub fn print(rows: &[Row]) {
    println!(
        "{:8} {:12} {:>10} {:>10} {:>8} {:>8} {:>9}",
        "work", "contestant", "median ms", "min ms", "× crun", "× floor", "peak MB"
    );
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    for row in rows {
        println!(
            "{:8} {:12} {:10.2} {:10.2} {:>8} {:>8} {:>9}",
            row.work,
            row.contestant,
            row.median_ms,
            row.min_ms,
            optional(row.times_crun),
            optional(row.times_floor),
            optional(row.peak_mb)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(seconds: &[f64]) -> Vec<Sample> {
        seconds.iter().map(|seconds| Sample { seconds: *seconds, peak: Some(2_000_000) }).collect()
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&samples(&[3.0, 1.0, 2.0])), Some(2.0));
        assert_eq!(median(&samples(&[4.0, 1.0, 3.0, 2.0])), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_are_to_crun_and_the_floor_where_they_are_there() {
        let list = [("corten", 2.0), ("crun", 8.0), ("floor", 1.0)];
        let list = list.map(|(name, seconds)| (name.to_owned(), samples(&[seconds])));
        let rows = rows("run", &list);
        assert_eq!(
            (rows[0].times_crun, rows[0].times_floor, rows[0].peak_mb),
            (Some(0.25), Some(2.0), Some(2.0))
        );
        let alone = super::rows("run", &list[..1]);
        assert_eq!((alone[0].times_crun, alone[0].times_floor), (None, None));
    }

    #[test]
    fn who_has_no_samples_has_no_row() {
        assert!(rows("run", &[("runc".to_owned(), Vec::new())]).is_empty());
    }
}
