//! What the paper found: `paper-figures.json`, by figure and series.

use serde_json::Value;

use crate::picture::Series;

/// What was read off the paper's figures.
#[derive(Debug, Clone)]
pub struct Paper(Value);

impl Paper {
    /// All of it.
    ///
    /// # Panics
    /// Never: the file is part of this program.
    #[must_use]
    pub fn load() -> Self {
        let text = include_str!("paper-figures.json");
        Self(serde_json::from_str(text).expect("the file is JSON"))
    }

    /// A series of a figure over the numbers `x` beside it; no points if there is none.
    #[must_use]
    pub fn series(&self, figure: &str, [x, y]: [&str; 2], name: &str) -> Series {
        let numbers = |key: &str| {
            let pointer = format!("/{figure}/{key}");
            let list = self.0.pointer(&pointer).and_then(Value::as_array);
            let list = list.into_iter().flatten();
            list.filter_map(Value::as_f64).collect::<Vec<_>>()
        };
        named(name, numbers(x).into_iter().zip(numbers(y)).collect())
    }

    /// How much longer a kernel build took with self-ballooning, in percent, by its interval in ms (VEE 2009,
    /// figure 11).
    #[must_use]
    pub fn slowdown_percent(&self, vm: &str, name: &str) -> Series {
        const FIGURE: &str = "fig11_dsb_slowdown_s";
        let alone_s = self.0[FIGURE]["kernel_build_alone_s"].as_f64();
        let keys = ["interval_ms", "slowdown_s"];
        let mut series = self.series(&format!("{FIGURE}/{vm}"), keys, name);
        for (_, slowdown) in &mut series.points {
            *slowdown *= 100.0 / alone_s.unwrap_or(f64::NAN);
        }
        series
    }

    /// What a move of an application cost (VEE 2009, table 1 and the figures beside it), if the paper says.
    #[must_use]
    pub fn application(&self, application: &str, key: &str) -> Option<f64> {
        self.0["table1"][application][key].as_f64()
    }

    /// How much longer work took while its VM moved again and again, in percent, by the VM's size in MB (VEE
    /// 2009, figures 7 and 8).
    #[must_use]
    pub fn longer_percent(&self, figure: &str, mode: &str, name: &str) -> Series {
        let alone_s = self.0[figure]["alone"].as_f64().unwrap_or(f64::NAN);
        let mut series = self.series(figure, ["vm_mb", mode], name);
        for (_, took_s) in &mut series.points {
            *took_s = (*took_s / alone_s - 1.0) * 100.0;
        }
        series
    }

    /// One strategy of the table of sorts (OSR 2009, figure 17): network faults by number of processes.
    #[must_use]
    pub fn sorts(&self, strategy: &str, name: &str) -> Series {
        let strategies = self.0["osr17"]["series"].as_array();
        let place = strategies.and_then(|all| all.iter().position(|one| one == strategy));
        let of = |faults: &[f64]| faults.get(place?).copied();
        let mut points: Vec<_> = self
            .all_sorts()
            .filter_map(|(procs, faults)| Some((f64::from(procs), of(&faults)?)))
            .collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        named(name, points)
    }

    /// The fewest network faults of any strategy while so many processes sort, if the paper says.
    #[must_use]
    pub fn fewest_faults(&self, procs: u32) -> Option<f64> {
        let (_, faults) = self.all_sorts().find(|(of, _)| *of == procs)?;
        faults.into_iter().reduce(f64::min)
    }

    /// Processes, and the faults of each strategy.
    fn all_sorts(&self) -> impl Iterator<Item = (u32, Vec<f64>)> {
        let rows = self.0["osr17"]["rows"].as_object().into_iter().flatten();
        // `8x64`: 8 processes of 64 MB each.
        rows.filter_map(|(label, faults)| {
            let procs = label.split('x').next()?.parse().ok()?;
            let faults = faults.as_array()?.iter().filter_map(Value::as_f64);
            Some((procs, faults.collect()))
        })
    }
}

fn named(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: format!("paper: {name}"),
        points,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewest_faults_are_those_of_the_best_strategy() {
        let paper = Paper::load();
        let fewest = [1, 2, 4, 8, 16, 32, 64, 128].map(|procs| paper.fewest_faults(procs));
        let expected = [40.0, 103.0, 348.0, 637.0, 803.0, 1391.0, 1577.0, 1748.0];
        assert_eq!(fewest, expected.map(Some));
        assert_eq!(paper.fewest_faults(3), None);
    }

    #[test]
    fn series_have_their_points_in_order_and_unknown_ones_have_none() {
        let paper = Paper::load();
        let best = paper.sorts("dual_mp_lru", "best");
        assert_eq!(
            (best.points[0], best.points[7]),
            ((1.0, 40.0), (128.0, 1802.0))
        );
        let build = paper.slowdown_percent("vm128", "build");
        assert!((build.points[0].1 - 44.0 / 439.0 * 100.0).abs() < 1e-9);
        assert_eq!(paper.application("torrent", "down_pre_ms"), Some(61.0));
        assert_eq!(paper.application("torrent", "none"), None);
        let longer = paper.longer_percent("fig8_netperf_s", "post_copy", "netperf");
        assert_eq!(longer.points[0].0, 128.0);
        assert!((longer.points[0].1 - 19.0 / 119.0 * 100.0).abs() < 1e-9);
        assert!(paper.sorts("guessing", "none").points.is_empty());
        assert!(
            paper
                .series("fig4_total_s", ["ws_mb", "none"], "none")
                .points
                .is_empty()
        );
    }
}
