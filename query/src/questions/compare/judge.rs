//! Two arms judged: values, intervals, and what each part adds to the difference.

use super::super::{
    Signature,
    answer::refused,
    report::{Cell, Rows, batch},
};
use crate::statistics::{
    ratio::Sums,
    sequence::{Design, Difference},
    split::Part,
};

/// Fewer units in an arm, or fewer successes of a metric that is true or false, than this give no verdict: the intervals are asymptotic.
const COUNT_MIN: f64 = 30.0;

/// What the arms are called.
pub(super) struct Arms {
    pub(super) experiment: String,
    pub(super) names: [String; 2],
}

impl Arms {
    fn missing(&self, side: usize) -> datafusion::common::DataFusionError {
        refused(format!(
            "there is nothing to compare: no event has variant {} of experiment {}",
            self.names[side], self.experiment
        ))
    }
}

fn sums_at(rows: &Rows, row: usize, first: usize) -> Sums {
    let at = |column: usize| rows.number(row, first + column);
    Sums { units: at(0), m: at(1), d: at(2), mm: at(3), md: at(4), dd: at(5) }
}

/// The moments of both sides of rows without further keys.
pub(in crate::questions) fn both(units: &Rows) -> [Sums; 2] {
    let mut sides = [Sums::default(); 2];
    for row in 0..units.len() {
        sides[usize::from(units.number(row, 0) > 0.5)] = sums_at(units, row, 1);
    }
    sides
}

/// A difference of two ratios, if both have enough units for a variance.
pub(in crate::questions) fn difference(sides: &[Sums; 2]) -> Option<Difference> {
    let [a, b] = sides;
    Some(Difference {
        estimate: b.ratio()? - a.ratio()?,
        error: (a.variance()? + b.variance()?).sqrt(),
        units: a.units + b.units,
    })
}

/// What an interval says, in a word.
fn verdict(sides: &[Sums; 2], estimate: f64, half_width: f64) -> &'static str {
    // A metric of zeros and ones has as many successes as its sum.
    let is_binary =
        sides.iter().all(|side| side.m >= 0.0 && (side.mm - side.m).abs() < 1e-9 && (side.dd - side.d).abs() < 1e-9);
    let too_few = sides
        .iter()
        .any(|side| side.units < COUNT_MIN || (is_binary && side.m < COUNT_MIN && side.d - side.m < COUNT_MIN));
    match () {
        () if too_few => "too little data",
        () if estimate - half_width > 0.0 => "higher",
        () if estimate + half_width < 0.0 => "lower",
        () => "inconclusive",
    }
}

/// Interval, p and e of a difference, as cells: verdict, estimate, low, high, p, e.
fn judged(sides: &[Sums; 2], design: Design) -> [Cell; 6] {
    match difference(sides) {
        Some(found) => {
            let judged = design.judge(found);
            let (low, high) = (found.estimate - judged.half_width, found.estimate + judged.half_width);
            [
                verdict(sides, found.estimate, judged.half_width).into(),
                found.estimate.into(),
                low.into(),
                high.into(),
                judged.p_value.into(),
                judged.e_value.into(),
            ]
        }
        None => {
            let estimate = sides[1].ratio().zip(sides[0].ratio()).map(|(b, a)| b - a);
            [
                "too little data".into(),
                estimate.into(),
                Cell::Number(None),
                Cell::Number(None),
                Cell::Number(None),
                Cell::Number(None),
            ]
        }
    }
}

pub(super) fn variants(
    signature: &Signature,
    arms: &Arms,
    design: Design,
    split: bool,
    units: &Rows,
    parts: &Rows,
) -> datafusion::common::Result<arrow::array::RecordBatch> {
    let sides = both(units);
    if let Some(missing) = sides.iter().position(|side| side.units == 0.0) {
        return Err(arms.missing(missing));
    }
    let [verdict, estimate, low, high, p, e] = judged(&sides, design);
    let ratio = ratio(&sides, design);
    let rows = part_rows(parts);
    let effect = |of: fn(&Part) -> f64| split.then(|| rows.iter().map(|row| of(&row.part(&rows))).sum::<f64>());
    let detectable = difference(&sides).map(|found| design.detectable(found.error, found.units, 0.8));
    let row = vec![
        arms.experiment.as_str().into(),
        arms.names[0].as_str().into(),
        arms.names[1].as_str().into(),
        verdict,
        sides[0].ratio().into(),
        sides[1].ratio().into(),
        estimate,
        low,
        high,
        ratio.map(|[ratio, ..]| ratio).into(),
        ratio.map(|[_, low, _]| low).into(),
        ratio.map(|[.., high]| high).into(),
        p,
        e,
        effect(Part::cost_effect).into(),
        effect(Part::mix_effect).into(),
        detectable.into(),
        whole(sides[0].units),
        whole(sides[1].units),
        sides[0].d.into(),
        sides[1].d.into(),
        Cell::Texts(examples(&rows)),
    ];
    batch(signature, &[row])
}

/// The ratio of the two values with its interval, normal on the logarithm.
fn ratio(sides: &[Sums; 2], design: Design) -> Option<[f64; 3]> {
    let [a, b] = sides;
    let (control, treatment) = (a.ratio()?, b.ratio()?);
    if control <= 0.0 || treatment <= 0.0 {
        return None;
    }
    let error = (a.variance()? / (control * control) + b.variance()? / (treatment * treatment)).sqrt();
    let half = design.multiplier(a.units + b.units) * error;
    let ratio = treatment / control;
    Some([ratio, ratio * (-half).exp(), ratio * half.exp()])
}

#[expect(clippy::cast_possible_truncation, reason = "a count of units")]
fn whole(count: f64) -> Cell {
    Cell::Count(Some(count.round() as i64))
}

/// One section or statement in both arms.
#[derive(Debug, Default)]
struct PartRow {
    section: Option<String>,
    template: Option<String>,
    m: [f64; 2],
    d: [f64; 2],
    example: [Option<String>; 2],
    statement: [Option<String>; 2],
}

impl PartRow {
    /// Its shares and costs among all parts.
    fn part(&self, all: &[Self]) -> Part {
        let executions = [0, 1].map(|arm| all.iter().map(|row| row.d[arm]).sum::<f64>());
        let cost = [0, 1].map(|arm| if self.d[arm] > 0.0 { Some(self.m[arm] / self.d[arm]) } else { None });
        // What only one arm runs is no dearer there: all of it is "more often".
        let cost = [cost[0].or(cost[1]).unwrap_or(0.0), cost[1].or(cost[0]).unwrap_or(0.0)];
        let share = [0, 1].map(|arm| if executions[arm] > 0.0 { self.d[arm] / executions[arm] } else { 0.0 });
        Part { share, cost }
    }
}

fn part_rows(parts: &Rows) -> Vec<PartRow> {
    let mut found: std::collections::BTreeMap<(Option<String>, Option<String>), PartRow> =
        std::collections::BTreeMap::new();
    for row in 0..parts.len() {
        let text = |column: usize| parts.text(row, column).map(ToOwned::to_owned);
        let side = usize::from(parts.number(row, 2) > 0.5);
        let part = found.entry((text(0), text(1))).or_insert_with(|| PartRow {
            section: text(0),
            template: text(1),
            ..PartRow::default()
        });
        part.m[side] = parts.number(row, 3);
        part.d[side] = parts.number(row, 4);
        part.example[side] = text(5);
        part.statement[side] = text(6);
    }
    found.into_values().collect()
}

/// An event of each arm: of the part that adds most to the difference.
fn examples(rows: &[PartRow]) -> Vec<String> {
    let adds = |row: &&PartRow| {
        let part = row.part(rows);
        (part.cost_effect() + part.mix_effect()).abs()
    };
    let most = rows.iter().max_by(|a, b| adds(a).total_cmp(&adds(b)));
    most.map(|row| row.example.iter().flatten().cloned().collect()).unwrap_or_default()
}

pub(super) fn sections(
    signature: &Signature,
    arms: &Arms,
    design: Design,
    units: &Rows,
    parts: &Rows,
) -> datafusion::common::Result<arrow::array::RecordBatch> {
    let rows = part_rows(parts);
    for side in [0, 1] {
        if rows.iter().all(|row| row.d[side] == 0.0) {
            return Err(arms.missing(side));
        }
    }
    let mut sums: std::collections::HashMap<(Option<&str>, Option<&str>), [Sums; 2]> = std::collections::HashMap::new();
    for row in 0..units.len() {
        let side = usize::from(units.number(row, 2) > 0.5);
        sums.entry((units.text(row, 0), units.text(row, 1))).or_default()[side] = sums_at(units, row, 3);
    }
    let mut cells = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = (row.section.as_deref(), row.template.as_deref());
        let sides = sums.get(&key).copied().unwrap_or_default();
        let [verdict, estimate, low, high, p, e] = judged(&sides, design);
        let part = row.part(&rows);
        let presence = match row.d.map(|d| d > 0.0) {
            [true, false] => format!("only in {}", arms.names[0]),
            [false, true] => format!("only in {}", arms.names[1]),
            _ => "both".to_owned(),
        };
        let statement = row.statement[1].as_deref().or(row.statement[0].as_deref());
        cells.push(vec![
            row.section.as_deref().into(),
            row.template.as_deref().into(),
            presence.as_str().into(),
            verdict,
            sides[0].ratio().into(),
            sides[1].ratio().into(),
            estimate,
            low,
            high,
            p,
            e,
            part.cost_effect().into(),
            part.mix_effect().into(),
            whole(sides[0].units),
            whole(sides[1].units),
            row.d[0].into(),
            row.d[1].into(),
            statement.into(),
            Cell::Texts(row.example.iter().flatten().cloned().collect()),
        ]);
    }
    batch(signature, &cells)
}
