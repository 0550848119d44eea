//! `compare_variants` and `compare_sections`: what a metric costs per execution in two variants, and why it differs.

mod judge;

use super::{
    Asked, Call, Check, DATASET, Desk, FILTER, Kind, Parameter, Shape, Signature, Wants, answer::OverRows,
    call::literal, desk::enclosed, optional, required,
};
use crate::{
    catalog::EVENT,
    error::Error,
    statistics::sequence::{Design, Method},
};
use judge::{Arms, sections, variants};
pub(super) use judge::{both, difference};

const PARAMETERS: &[Parameter] = &[
    required("experiment", Kind::Text),
    required("metric", Kind::Sql),
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
];

pub(super) static COMPARE_VARIANTS: Signature = Signature {
    name: "compare_variants",
    summary: "A metric per execution (or per unit) in two variants of an experiment: the difference and the ratio with intervals that hold \
              at every look, split into dearer executions (cost_effect) and more visits of dear sections (mix_effect). A metric over a \
              field of the probes counts in all sections the experiment guards.",
    example: "SELECT ratio, ratio_low, ratio_high, cost_effect, mix_effect FROM compare_variants('13', 'sql_ms', release => '64fd32f')",
    parameters: PARAMETERS,
    columns: &[
        ("experiment", Shape::Text),
        ("control", Shape::Text),
        ("treatment", Shape::Text),
        ("verdict", Shape::Text),
        ("control_value", Shape::Number),
        ("treatment_value", Shape::Number),
        ("estimate", Shape::Number),
        ("ci_low", Shape::Number),
        ("ci_high", Shape::Number),
        ("ratio", Shape::Number),
        ("ratio_low", Shape::Number),
        ("ratio_high", Shape::Number),
        ("p_value", Shape::Number),
        ("e_value", Shape::Number),
        ("cost_effect", Shape::Number),
        ("mix_effect", Shape::Number),
        ("minimum_detectable_effect", Shape::Number),
        ("control_units", Shape::Count),
        ("treatment_units", Shape::Count),
        ("control_executions", Shape::Number),
        ("treatment_executions", Shape::Number),
        ("example_event_ids", Shape::Texts),
    ],
    ask: |call, desk| ask(call, desk, None),
};

pub(super) static COMPARE_SECTIONS: Signature = Signature {
    name: "compare_sections",
    summary: "The same comparison for each section of code an experiment guards, or with by => 'statement' for each statement of SQL they ran: \
              cost_effect and mix_effect of all rows add up to the whole difference; presence says what only one variant runs.",
    example: "SELECT section, statement, presence, cost_effect + mix_effect AS adds, example_statement FROM compare_sections('13', 'sql_ms', \
              by => 'statement') ORDER BY abs(cost_effect + mix_effect) DESC",
    parameters: &[
        required("experiment", Kind::Text),
        required("metric", Kind::Sql),
        optional("control", Kind::Text),
        optional("treatment", Kind::Text),
        optional("release", Kind::Text),
        optional("by", Kind::Text),
        optional("method", Kind::Text),
        optional("source", Kind::Text),
        optional("unit", Kind::Text),
        optional("alpha", Kind::Number),
        optional("planned_units", Kind::Number),
        FILTER,
        DATASET,
    ],
    columns: &[
        ("section", Shape::Text),
        ("statement", Shape::Text),
        ("presence", Shape::Text),
        ("verdict", Shape::Text),
        ("control_value", Shape::Number),
        ("treatment_value", Shape::Number),
        ("estimate", Shape::Number),
        ("ci_low", Shape::Number),
        ("ci_high", Shape::Number),
        ("p_value", Shape::Number),
        ("e_value", Shape::Number),
        ("cost_effect", Shape::Number),
        ("mix_effect", Shape::Number),
        ("control_units", Shape::Count),
        ("treatment_units", Shape::Count),
        ("control_executions", Shape::Number),
        ("treatment_executions", Shape::Number),
        ("example_statement", Shape::Text),
        ("example_event_ids", Shape::Texts),
    ],
    ask: |call, desk| {
        let by = call.word_or("by", &["section", "statement"])?;
        ask(call, desk, Some(by))
    },
};

/// The rows an experiment's metric is made of.
pub(super) struct Observed {
    /// `SELECT side, unit, section, m, d, event_id, time, statement FROM …`: one row per event, or per probe.
    pub(super) sql: String,
    pub(super) checks: Vec<Check>,
    /// One row per probe: it has a section.
    pub(super) of_probes: bool,
}

/// `side` is 0 in the control, 1 in the treatment; `m` the metric and `d` the executions, both weighted.
pub(super) fn observed(call: &Call, desk: &Desk<'_>) -> Result<Observed, Error> {
    let (Some(experiment), Some(metric)) = (call.spot("experiment"), call.spot("metric")) else {
        return Err(Error::invalid("no metric", call.at));
    };
    let (control, treatment) = (literal(call.text_or("control", "A")), literal(call.text_or("treatment", "B")));
    let of_probes = match call.spot("source").map(|spot| spot.text.as_str()) {
        Some("probes") => true,
        Some("events") => false,
        Some(other) => {
            let message = format!("source of {} is {other:?}, not events or probes", call.signature.name);
            return Err(Error::invalid(message, call.at));
        }
        None => desk.columns_of("events", metric).is_err() && desk.columns_of("probes", metric).is_ok(),
    };
    let table = if of_probes { "probes" } else { "events" };
    let mut checks = vec![Check { spot: metric.clone(), table: desk.table(table), wants: Wants::Number }];
    let narrowed = desk.narrowed(call, table, &mut checks);
    let value = format!("CAST({} AS DOUBLE)", enclosed(&metric.text));
    let prefix = if of_probes { EVENT } else { "" };
    let (unit, weight) = (desk.unit(call.spot("unit"), prefix)?, desk.weight(prefix));
    let guards = of_probes && desk.has_list("probes.experiment") && desk.has_list("probes.variant");
    let variant = if guards { "variant".to_owned() } else { desk.variant(experiment, prefix)? };
    let guarded = if guards { format!(" AND experiment = {}", literal(&experiment.text)) } else { String::new() };
    // A section that ran no statement took no time in them: its executions count all the same.
    let (m, d, known) = if of_probes {
        let count = if desk.has_list("probes.count") { "coalesce(CAST(count AS DOUBLE), 1.0)" } else { "1.0" };
        (format!("coalesce({value}, 0.0) * {weight}"), format!("{count} * {weight}"), String::new())
    } else {
        (format!("{value} * {weight}"), weight.clone(), format!(" AND {value} IS NOT NULL"))
    };
    let section = if of_probes { desk.text_or_null("probes", "section") } else { "CAST(NULL AS VARCHAR)".to_owned() };
    let statement = if of_probes { desk.text_or_null("probes", "sql") } else { "CAST(NULL AS VARCHAR)".to_owned() };
    let sql = format!(
        "SELECT CASE WHEN {variant} = {treatment} THEN 1 ELSE 0 END AS side, {unit} AS unit, {section} AS section, {m} AS m, {d} AS d, \
         \"{prefix}event_id\" AS event_id, \"{prefix}time\" AS time, {statement} AS statement FROM {} WHERE {variant} IN ({control}, {treatment}){guarded}{known}{narrowed}",
        desk.table(table)
    );
    Ok(Observed { sql, checks, of_probes })
}

/// Moments over units, by side, of rows `unit, side, m, d` and more group keys.
pub(super) fn moments(observed: &str, keys: &str, d: &str) -> String {
    format!(
        "SELECT {keys}side, count(*) AS units, sum(m) AS m, sum(d) AS d, sum(m * m) AS mm, sum(m * d) AS md, sum(d * d) AS dd FROM (\
         SELECT {keys}side, unit, sum(m) AS m, {d} AS d FROM ({observed}) GROUP BY {keys}side, unit) GROUP BY {keys}side"
    )
}

pub(super) fn design(call: &Call) -> Result<Design, Error> {
    let method = match call.word_or("method", &["always_valid", "fixed"])? {
        "fixed" => Method::Fixed,
        _ => Method::AlwaysValid,
    };
    let alpha = call.number_or("alpha", 0.05, 1e-9..=0.5)?;
    Ok(Design { method, alpha, planned_units: call.number_or("planned_units", 5_000.0, 10.0..=1e12)? })
}

fn ask(call: &Call, desk: &Desk<'_>, by: Option<&'static str>) -> Result<Asked, Error> {
    let design = design(call)?;
    let per_unit = by.is_none() && call.word_or("per", &["execution", "unit"])? == "unit";
    let Observed { sql, checks, of_probes } = observed(call, desk)?;
    let sql = match by {
        Some("statement") => format!(
            "SELECT side, unit, section, m, d, event_id, time, message_template(statement) AS template, statement FROM ({sql})"
        ),
        _ => format!(
            "SELECT side, unit, section, m, d, event_id, time, CAST(NULL AS VARCHAR) AS template, statement FROM ({sql})"
        ),
    };
    let parts = format!(
        "SELECT section, template, side, sum(m) AS m, sum(d) AS d, \
         first_value(event_id ORDER BY m DESC, event_id) AS example, first_value(statement ORDER BY m DESC, event_id) AS statement \
         FROM ({sql}) GROUP BY section, template, side"
    );
    let names = Arms {
        experiment: call.text_or("experiment", "").to_owned(),
        names: [call.text_or("control", "A").to_owned(), call.text_or("treatment", "B").to_owned()],
    };
    let signature = call.signature;
    let d = if per_unit { "1.0" } else { "sum(d)" };
    if by.is_some() {
        let units = moments(&sql, "section, template, ", d);
        let answer = OverRows::of(move |inputs| sections(signature, &names, design, &inputs[0], &inputs[1]));
        return Ok(Asked { checks, inputs: vec![units, parts], answer });
    }
    let units = moments(&sql, "", d);
    let split = of_probes && !per_unit;
    let answer = OverRows::of(move |inputs| variants(signature, &names, design, split, &inputs[0], &inputs[1]));
    Ok(Asked { checks, inputs: vec![units, parts], answer })
}

impl Desk<'_> {
    /// True if the dataset has this list among its elements.
    fn has_list(&self, list: &str) -> bool {
        self.dataset().columns().schema().column(list).is_some_and(|column| column.class == store::Class::List)
    }
}
