//! `minimum_detectable_effect`: would you notice?

use super::{
    Asked, Call, DATASET, Desk, FILTER, Kind, Shape, Signature,
    answer::{OverRows, refused},
    compare::{Observed, both, design, difference, moments, observed},
    optional,
    report::{Cell, Rows, batch},
    required,
};
use crate::{error::Error, statistics::sequence::Design};

/// Growth of the experiment that is looked at beyond its present size, in doublings.
const DOUBLINGS_MAX: i32 = 20;

pub(super) static MINIMUM_DETECTABLE_EFFECT: Signature = Signature {
    name: "minimum_detectable_effect",
    summary: "The smallest true difference of a metric between two variants that would be found with the given power at the present size, and \
              the units needed to find a given relative effect.",
    example: "SELECT minimum_detectable_effect, relative, units_needed FROM minimum_detectable_effect('13', 'status = 200', effect => 0.02)",
    parameters: &[
        required("experiment", Kind::Text),
        required("metric", Kind::Sql),
        optional("effect", Kind::Number),
        optional("power", Kind::Number),
        optional("control", Kind::Text),
        optional("treatment", Kind::Text),
        optional("release", Kind::Text),
        optional("per", Kind::Text),
        optional("method", Kind::Text),
        optional("source", Kind::Text),
        optional("unit", Kind::Text),
        optional("alpha", Kind::Number),
        optional("planned_units", Kind::Number),
        FILTER,
        DATASET,
    ],
    columns: &[
        ("control_value", Shape::Number),
        ("treatment_value", Shape::Number),
        ("minimum_detectable_effect", Shape::Number),
        ("relative", Shape::Number),
        ("power", Shape::Number),
        ("units", Shape::Count),
        ("effect", Shape::Number),
        ("units_needed", Shape::Number),
        ("example_event_ids", Shape::Texts),
    ],
    ask,
};

fn ask(call: &Call, desk: &Desk<'_>) -> Result<Asked, Error> {
    let design = design(call)?;
    let power = call.number_or("power", 0.8, 0.5..=0.999)?;
    let effect = call.number_or("effect", f64::NAN, 1e-9..=1e9)?;
    let d = if call.word_or("per", &["execution", "unit"])? == "unit" { "1.0" } else { "sum(d)" };
    let Observed { sql, checks, .. } = observed(call, desk)?;
    let signature = call.signature;
    let experiment = call.text_or("experiment", "").to_owned();
    let answer = OverRows::of(move |inputs| {
        let sides = both(&inputs[0]);
        let Some(found) = difference(&sides) else {
            return Err(refused(format!("two units at least in each variant of experiment {experiment} are needed")));
        };
        let detectable = design.detectable(found.error, found.units, power);
        let control = sides[0].ratio();
        let wanted = control.map(|value| (value * effect).abs()).filter(|wanted| *wanted > 0.0);
        let needed = wanted.and_then(|wanted| units_needed(design, found.error, found.units, power, wanted));
        #[expect(clippy::cast_possible_truncation, reason = "a count of units")]
        let units = found.units as i64;
        let row = vec![
            control.into(),
            sides[1].ratio().into(),
            detectable.into(),
            control.map(|value| detectable / value.abs()).into(),
            power.into(),
            units.into(),
            effect.into(),
            needed.into(),
            Cell::Texts(examples(&inputs[1])),
        ];
        batch(signature, &[row])
    });
    let first =
        format!("SELECT side, first_value(event_id ORDER BY time, event_id) AS example FROM ({sql}) GROUP BY side");
    Ok(Asked { checks, inputs: vec![moments(&sql, "", d), first], answer })
}

/// The first event of the control, then that of the treatment.
fn examples(first: &Rows) -> Vec<String> {
    let mut sides: Vec<(i64, String)> =
        (0..first.len()).filter_map(|row| Some((first.count(row, 0), first.text(row, 1)?.to_owned()))).collect();
    sides.sort();
    sides.into_iter().map(|(_, example)| example).collect()
}

/// Units at which `wanted` becomes detectable, when the error shrinks with the root of the units; `None` beyond a million times as many.
fn units_needed(design: Design, error: f64, units: f64, power: f64, wanted: f64) -> Option<f64> {
    let detectable = |n: f64| design.detectable(error * (units / n).sqrt(), n, power);
    let (mut low, mut high) = (4.0, units * 2.0_f64.powi(DOUBLINGS_MAX));
    if detectable(high) > wanted {
        return None;
    }
    // Detectable falls with n: bisection on the logarithm.
    for _ in 0..100 {
        let middle = (low * high).sqrt();
        if detectable(middle) > wanted { low = middle } else { high = middle }
    }
    Some(high.ceil())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::sequence::Method;

    #[test]
    fn the_units_needed_make_the_effect_just_detectable() {
        let design = Design { method: Method::Fixed, alpha: 0.05, planned_units: 5_000.0 };
        // 5 % against 5.5 %, 80 % power: n per arm = 2·(1.96 + .8416)²·.05·.95/.005² = 29,825 at equal variances.
        let error = (2.0 * 0.05 * 0.95 / 10_000.0_f64).sqrt();
        let needed = units_needed(design, error, 20_000.0, 0.8, 0.005).unwrap();
        assert!((needed / 2.0 - 29_825.0).abs() < 10.0, "{needed}");
        assert_eq!(units_needed(design, error, 20_000.0, 0.8, 1e-9), None);
    }
}
