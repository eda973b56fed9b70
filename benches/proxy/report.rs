//! Rounds become medians and lines of a table.
//! Ratios are taken round by round, between neighbours in time, and only then their median.
//! Must never show a mean: one stolen time slice would move it.

use crate::load::Taken;

/// One measurement of the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) path: &'static str,
    pub(crate) connections: u32,
    /// How many of `what` one request is.
    pub(crate) per: u32,
}

/// Every round of every target of one row. The second target is nginx, the last one no proxy.
pub(crate) struct Measured {
    row: Row,
    names: Vec<&'static str>,
    taken: Vec<Vec<Taken>>,
}

const NGINX: usize = 1;

impl Measured {
    pub(crate) fn new(row: Row, names: impl Iterator<Item = &'static str>) -> Self {
        let names: Vec<&'static str> = names.collect();
        let taken = names.iter().map(|_| Vec::new()).collect();
        Self { row, names, taken }
    }

    pub(crate) fn add(&mut self, place: usize, taken: Taken) {
        if let Some(rounds) = self.taken.get_mut(place) {
            rounds.push(taken);
        }
    }

    /// Prints the row; answers with the CPU ratio of the first target to nginx.
    pub(crate) fn print(&self) -> f64 {
        let Row { what, connections, per, .. } = self.row;
        println!("\n{what}, {connections} connections");
        println!(
            "{:<17}{:>9}{:>20}{:>9}{:>10}{:>11}{:>10}{:>10}{:>10}",
            "", "CPU us", "of nginx", "least", "of nginx", "rate /s", "of nginx", "+p50", "+p99"
        );
        let direct = self.names.len().saturating_sub(1);
        for (place, name) in self.names.iter().enumerate() {
            let cpu = median(self.each(place, |taken| taken.cpu_us)) / f64::from(per);
            let ratios = self.ratios(place, NGINX, |taken| taken.cpu_us);
            let rate = median(self.each(place, |taken| taken.per_second));
            let rates = median(self.ratios(place, NGINX, |taken| taken.per_second));
            if place == direct {
                let p50 = median(self.each(place, |taken| taken.p50_us));
                let p99 = median(self.each(place, |taken| taken.p99_us));
                println!(
                    "{name:<17}{:>9}{:>20}{:>9}{:>10}{rate:>11.0}{rates:>10.2}{p50:>10.0}{p99:>10.0}",
                    "", "", "", ""
                );
                continue;
            }
            let p50 = median(self.above(place, direct, |taken| taken.p50_us));
            let p99 = median(self.above(place, direct, |taken| taken.p99_us));
            let (low, high) = ends(&ratios);
            let spread = format!("{:.3} ({low:.2}-{high:.2})", median(ratios));
            // Other work on the machine only ever adds: the least of all rounds is nearest the truth.
            let least = |place| ends(&self.each(place, |taken| taken.cpu_us)).0;
            let (least, of_nginx) = (least(place) / f64::from(per), least(place) / least(NGINX));
            println!(
                "{name:<17}{cpu:>9.2}{spread:>20}{least:>9.2}{of_nginx:>10.3}{rate:>11.0}\
                 {rates:>10.2}{p50:>10.0}{p99:>10.0}"
            );
        }
        median(self.ratios(0, NGINX, |taken| taken.cpu_us))
    }

    fn each(&self, place: usize, figure: fn(&Taken) -> f64) -> Vec<f64> {
        self.taken.get(place).into_iter().flatten().map(figure).collect()
    }

    fn ratios(&self, place: usize, to: usize, figure: fn(&Taken) -> f64) -> Vec<f64> {
        let pairs = self.each(place, figure).into_iter().zip(self.each(to, figure));
        pairs.map(|(this, other)| this / other).collect()
    }

    fn above(&self, place: usize, base: usize, figure: fn(&Taken) -> f64) -> Vec<f64> {
        let pairs = self.each(place, figure).into_iter().zip(self.each(base, figure));
        pairs.map(|(this, base)| this - base).collect()
    }
}

/// Lowest and highest.
fn ends(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (low, values.iter().copied().fold(0.0, f64::max))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|below| values.get(below)).copied();
    (lower.unwrap_or(f64::NAN) + upper) / 2.0
}
