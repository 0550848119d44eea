//! `srm_check`: do the arms of an experiment have the shares they should have?

use super::{
    Asked, Call, DATASET, Desk, FILTER, Kind, Shape, Signature,
    answer::{OverRows, refused},
    call::{Spot, literal},
    optional,
    report::{Cell, Rows, batch},
    required,
};
use crate::{
    error::Error,
    statistics::allocation::{Sequential, chi_squared},
};

/// Below this p the arms are called mismatched: the field's usual threshold, since a false alarm stops an experiment.
const ALPHA: f64 = 0.001;

/// First events of the earliest units that are shown for each variant.
const EXAMPLES: usize = 3;

pub(super) static SRM_CHECK: Signature = Signature {
    name: "srm_check",
    summary: "Sample ratio mismatch: units per variant against the shares they should have (those given, else the last declared ramp's, else equal \
              ones), counted since the last ramp. invalid means that nothing else of the experiment can be believed: explain_diff of one \
              variant against the other names the slice that is missing.",
    example: "SELECT variant, units, expected_units, p_value, verdict FROM srm_check('13', shares => ['A=0.5', 'B=0.5'])",
    parameters: &[
        required("experiment", Kind::Text),
        optional("shares", Kind::Texts),
        optional("unit", Kind::Text),
        FILTER,
        DATASET,
    ],
    columns: &[
        ("experiment", Shape::Text),
        ("variant", Shape::Text),
        ("units", Shape::Count),
        ("expected_units", Shape::Number),
        ("expected_share", Shape::Number),
        ("chi_squared", Shape::Number),
        ("p_value", Shape::Number),
        ("sequential_p_value", Shape::Number),
        ("verdict", Shape::Text),
        ("since", Shape::Time),
        ("units_in_several_variants", Shape::Count),
        ("example_event_ids", Shape::Texts),
    ],
    ask,
};

fn ask(call: &Call, desk: &Desk<'_>) -> Result<Asked, Error> {
    let Some(experiment) = call.spot("experiment") else { return Err(Error::invalid("no experiment", call.at)) };
    let given = call.texts("shares").map(shares).transpose()?;
    let variant = desk.variant(experiment, "")?;
    let unit = desk.unit(call.spot("unit"), "")?;
    let mut checks = Vec::new();
    let narrowed = desk.narrowed(call, "events", &mut checks);
    let ramps = format!(
        "FROM system.changes WHERE kind IN ('experiment', 'flag') AND experiment = {} AND share IS NOT NULL AND coalesce(inferred, FALSE) = FALSE \
         AND status = 'succeeded'",
        literal(&experiment.text)
    );
    // With shares given, all of the filter's time counts; else the shares hold since the last ramp only.
    let since = if given.is_some() {
        String::new()
    } else {
        format!(" AND time >= coalesce((SELECT max(time) {ramps}), TIMESTAMP '1970-01-01T00:00:00Z')")
    };
    let units = format!(
        "SELECT variant, first_time, count(*) AS units, sum(several) AS several, min(example) AS example FROM (\
         SELECT unit, first_value(variant ORDER BY time, event_id) AS variant, min(time) AS first_time, \
         first_value(event_id ORDER BY time, event_id) AS example, CASE WHEN min(variant) <> max(variant) THEN 1 ELSE 0 END AS several \
         FROM (SELECT {unit} AS unit, {variant} AS variant, time, event_id FROM {} WHERE {variant} IS NOT NULL{since}{narrowed}) GROUP BY unit) \
         GROUP BY variant, first_time",
        desk.table("events")
    );
    let declared =
        format!("SELECT coalesce(variant, 'B') AS variant, share, time {ramps} AND time = (SELECT max(time) {ramps})");
    let signature = call.signature;
    let name = experiment.text.clone();
    let answer = OverRows::of(move |inputs| answer(signature, &name, given.as_deref(), &inputs[0], &inputs[1]));
    Ok(Asked { checks, inputs: vec![units, declared], answer })
}

/// `['A=0.5', 'B=0.5']`
fn shares(given: &[Spot]) -> Result<Vec<(String, f64)>, Error> {
    let one = |spot: &Spot| {
        let parsed =
            spot.text.split_once('=').and_then(|(name, share)| Some((name.trim(), share.trim().parse::<f64>().ok()?)));
        match parsed.filter(|(_, share)| *share > 0.0 && share.is_finite()) {
            Some((name, share)) => Ok((name.to_owned(), share)),
            None => Err(Error::invalid(format!("{:?} is no share such as 'A=0.5'", spot.text), spot.at)),
        }
    };
    given.iter().map(one).collect()
}

fn answer(
    signature: &Signature,
    experiment: &str,
    given: Option<&[(String, f64)]>,
    units: &Rows,
    declared: &Rows,
) -> datafusion::common::Result<arrow::array::RecordBatch> {
    let mut seen: Vec<String> = (0..units.len()).filter_map(|row| units.text(row, 0)).map(ToOwned::to_owned).collect();
    seen.extend(given.unwrap_or_default().iter().map(|(name, _)| name.clone()));
    seen.sort();
    seen.dedup();
    if units.len() == 0 {
        return Err(refused(format!("no event has a variant of experiment {experiment} in this time")));
    }
    let declared: Vec<(String, f64)> = (0..declared.len())
        .filter_map(|row| Some((declared.text(row, 0)?.to_owned(), declared.number(row, 1))))
        .collect();
    let shares = expected(&seen, given, &declared);
    if let Some(at) = shares.iter().position(|share| *share <= 0.0) {
        return Err(refused(format!("variant {} has no share: name all of them in shares => ['A=0.5', …]", seen[at])));
    }
    let mut counts = vec![0.0; seen.len()];
    let mut examples: Vec<Vec<String>> = vec![Vec::new(); seen.len()];
    let mut several = 0;
    let mut sequential = Sequential::new(&shares);
    // The statement's rows come in any order.
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|row| (units.time(*row, 1), units.text(*row, 0)));
    let since = order.iter().find_map(|row| units.time(*row, 1));
    for (place, row) in order.iter().copied().enumerate() {
        let Some(arm) = units.text(row, 0).and_then(|variant| seen.iter().position(|known| known == variant)) else {
            continue;
        };
        counts[arm] += units.number(row, 2);
        several += units.count(row, 3);
        if examples[arm].len() < EXAMPLES {
            examples[arm].extend(units.text(row, 4).map(ToOwned::to_owned));
        }
        (0..units.count(row, 2)).for_each(|_| sequential.add(arm));
        if order.get(place + 1).is_none_or(|next| units.time(*next, 1) != units.time(row, 1)) {
            sequential.look();
        }
    }
    let (chi, p) = chi_squared(&counts, &shares);
    let sequential_p = sequential.p_value();
    let verdict = if p < ALPHA || sequential_p < ALPHA { "invalid" } else { "ok" };
    let total: f64 = counts.iter().sum();
    let rows: Vec<Vec<Cell>> = seen
        .iter()
        .zip(counts.iter().zip(&shares).zip(examples))
        .map(|(variant, ((count, share), examples))| {
            #[expect(clippy::cast_possible_truncation, reason = "a count of units")]
            let units = *count as i64;
            vec![
                experiment.into(),
                variant.as_str().into(),
                units.into(),
                (total * share).into(),
                (*share).into(),
                chi.into(),
                p.into(),
                sequential_p.into(),
                verdict.into(),
                Cell::Time(since),
                several.into(),
                Cell::Texts(examples),
            ]
        })
        .collect();
    batch(signature, &rows)
}

/// The share of each variant: those given, scaled to 1; else declared ones, what is left dealt to the others; else equal ones.
fn expected(seen: &[String], given: Option<&[(String, f64)]>, declared: &[(String, f64)]) -> Vec<f64> {
    let of = |shares: &[(String, f64)], name: &String| {
        shares.iter().find(|(known, _)| known == name).map(|(_, share)| *share)
    };
    if let Some(given) = given {
        let total: f64 = given.iter().map(|(_, share)| share).sum();
        return seen.iter().map(|name| of(given, name).unwrap_or(0.0) / total).collect();
    }
    let known: Vec<Option<f64>> = seen.iter().map(|name| of(declared, name)).collect();
    let left = 1.0 - known.iter().flatten().sum::<f64>();
    let others = known.iter().filter(|share| share.is_none()).count();
    #[expect(clippy::cast_precision_loss, reason = "a handful of variants")]
    let rest = left / others.max(1) as f64;
    known.into_iter().map(|share| share.unwrap_or(rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_declared_or_equal() {
        let names = ["A", "B", "C"].map(ToOwned::to_owned);
        let b = [("B".to_owned(), 0.8)];
        assert_eq!(expected(&names, None, &[]), [1.0 / 3.0; 3]);
        let found = expected(&names[..2], None, &b);
        assert!((found[0] - 0.2).abs() < 1e-12 && (found[1] - 0.8).abs() < 1e-12);
        let given = [("A".to_owned(), 1.0), ("B".to_owned(), 3.0)];
        assert_eq!(expected(&names[..2], Some(&given), &b), [0.25, 0.75]);
        assert_eq!(expected(&names, Some(&given), &[]), [0.25, 0.75, 0.0]);
    }
}
