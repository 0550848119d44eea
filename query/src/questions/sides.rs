//! `messages_only_in` and `new_messages`: messages one side has and the other lacks, with the chance that the absence is luck.

use super::{
    Asked, Call, Check, DATASET, Desk, FILTER, Kind, Shape, Signature,
    answer::{OverRows, refused},
    call::literal,
    desk::enclosed,
    optional,
    report::{Cell, Rows, batch},
    required,
};
use crate::{
    catalog::EVENT,
    error::{Error, quoted},
    statistics::absence::{chance_of_luck, rate_max},
};

/// Mean weights of the two sides may differ by this factor before a comparison of counts is called unsound.
const SAMPLING_RATIO_MAX: f64 = 1.1;

const COLUMNS: &[(&str, Shape)] = &[
    ("template_id", Shape::Text),
    ("template", Shape::Text),
    ("level", Shape::Text),
    ("verdict", Shape::Text),
    ("count", Shape::Count),
    ("units", Shape::Count),
    ("chance_of_luck", Shape::Number),
    ("exposed_units", Shape::Count),
    ("exposed_units_other", Shape::Count),
    ("executions", Shape::Count),
    ("executions_other", Shape::Count),
    ("exposure_share", Shape::Number),
    ("rate_other_max", Shape::Number),
    ("first_seen", Shape::Time),
    ("last_seen", Shape::Time),
    ("example_text", Shape::Text),
    ("example_event_ids", Shape::Texts),
];

pub(super) static MESSAGES_ONLY_IN: Signature = Signature {
    name: "messages_only_in",
    summary: "Messages of one variant of an experiment that the other variant never has, likeliest no luck first: how many units \
              had them, how many units each side has, and the chance that the other side lacks them by luck.",
    example: "SELECT template, units, chance_of_luck, example_event_ids FROM messages_only_in('13', 'B', versus => 'A', release => '64fd32f') \
              WHERE verdict = 'only here'",
    parameters: &[
        required("experiment", Kind::Text),
        required("variant", Kind::Text),
        optional("versus", Kind::Text),
        optional("release", Kind::Text),
        optional("unit", Kind::Text),
        optional("alpha", Kind::Number),
        FILTER,
        DATASET,
    ],
    columns: COLUMNS,
    ask: ask_only_in,
};

pub(super) static NEW_MESSAGES: Signature = Signature {
    name: "new_messages",
    summary: "Messages that appear since a release and in no event of another release of the same services, with the instant they were \
              first seen and the chance that their absence before is luck.",
    example: "SELECT template, first_seen, example_text, chance_of_luck FROM new_messages('64fd32f')",
    parameters: &[
        required("release", Kind::Text),
        optional("unit", Kind::Text),
        optional("alpha", Kind::Number),
        FILTER,
        DATASET,
    ],
    columns: COLUMNS,
    ask: ask_new,
};

fn ask_only_in(call: &Call, desk: &Desk<'_>) -> Result<Asked, Error> {
    let Some(experiment) = call.spot("experiment") else { return Err(Error::invalid("no experiment", call.at)) };
    let variant = call.text_or("variant", "");
    let side = |prefix: &str| -> Result<[String; 2], Error> {
        let column = desk.variant(experiment, prefix)?;
        let other = match call.spot("versus") {
            Some(other) => format!("{column} = {}", literal(&other.text)),
            None => format!("{column} <> {}", literal(variant)),
        };
        Ok([format!("{column} = {}", literal(variant)), other])
    };
    let mut checks = Vec::new();
    let [events, messages] = ["events", "messages"].map(|table| desk.narrowed(call, table, &mut checks));
    let names = Names {
        here: format!("variant {variant} of experiment {}", experiment.text),
        other: match call.spot("versus") {
            Some(other) => format!("variant {}", other.text),
            None => "another variant".to_owned(),
        },
    };
    asked(call, desk, names, [side("")?, side(EVENT)?], [events, messages], checks)
}

fn ask_new(call: &Call, desk: &Desk<'_>) -> Result<Asked, Error> {
    let release = call.text_or("release", "");
    let side = |prefix: &str| {
        let rollout = quoted(&format!("{prefix}rollout"));
        let mut other = format!("{rollout} <> {}", literal(release));
        if desk.has("events", "service.name#text") {
            // A message that moves from one service to another is not new; another service never could have had it.
            let service = quoted(&format!("{prefix}service.name#text"));
            other.push_str(&format!(
                " AND {service} IN (SELECT DISTINCT \"service.name#text\" FROM {} WHERE rollout = {})",
                desk.table("events"),
                literal(release)
            ));
        }
        [format!("{rollout} = {}", literal(release)), other]
    };
    let mut checks = Vec::new();
    let narrowed = ["events", "messages"].map(|table| match call.spot("filter") {
        Some(filter) => {
            checks.push(Check { spot: filter.clone(), table: desk.table(table), wants: super::Wants::Condition });
            format!(" AND {}", enclosed(&filter.text))
        }
        None => String::new(),
    });
    let names = Names { here: format!("release {release}"), other: "another release of its services".to_owned() };
    asked(call, desk, names, [side(""), side(EVENT)], narrowed, checks)
}

/// What the sides are called in errors.
struct Names {
    here: String,
    other: String,
}

/// `sides`: the conditions of both sides over events and over messages; `narrowed`: what both have to meet.
fn asked(
    call: &Call,
    desk: &Desk<'_>,
    names: Names,
    sides: [[String; 2]; 2],
    narrowed: [String; 2],
    checks: Vec<Check>,
) -> Result<Asked, Error> {
    let alpha = call.number_or("alpha", 0.05, 1e-9..=0.5)?;
    let [unit, message_unit] = [desk.unit(call.spot("unit"), "")?, desk.unit(call.spot("unit"), EVENT)?];
    let [[here, other], [message_here, message_other]] = sides;
    let [of_events, of_messages] = narrowed;
    let exposed = format!(
        "SELECT side, count(*) AS executions, count(DISTINCT unit) AS units, avg(weight) AS weight FROM (\
         SELECT CASE WHEN {here} THEN 1 ELSE 0 END AS side, {unit} AS unit, {} AS weight FROM {} \
         WHERE (({here}) OR ({other})){of_events}) GROUP BY side",
        desk.weight(""),
        desk.table("events"),
    );
    let level = desk.text_or_null("messages", "level");
    let text = desk.text_or_null("messages", "text");
    let said = format!(
        "SELECT template_id, min(template) AS template, min(level) AS level, \
         count(*) FILTER (WHERE side = 1) AS here, count(*) FILTER (WHERE side = 0) AS other, \
         count(DISTINCT unit) FILTER (WHERE side = 1) AS units, \
         min(time) FILTER (WHERE side = 1) AS first_seen, max(time) FILTER (WHERE side = 1) AS last_seen, \
         first_value(text ORDER BY time, event_id, text) FILTER (WHERE side = 1) AS example, \
         first_value(event_id ORDER BY time, event_id) FILTER (WHERE side = 1) AS first_id, \
         last_value(event_id ORDER BY time, event_id) FILTER (WHERE side = 1) AS last_id FROM (\
         SELECT template_id, template, {level} AS level, {text} AS text, \"event.time\" AS time, \"event.event_id\" AS event_id, {message_unit} AS unit, \
         CASE WHEN {message_here} THEN 1 ELSE 0 END AS side FROM {} \
         WHERE (({message_here}) OR ({message_other})){of_messages}) GROUP BY template_id",
        desk.table("messages"),
    );
    let signature = call.signature;
    let answer = OverRows::of(move |inputs| answer(signature, &names, alpha, &inputs[0], &inputs[1]));
    Ok(Asked { checks, inputs: vec![exposed, said], answer })
}

/// One side's exposure.
#[derive(Debug, Clone, Copy, Default)]
struct Exposure {
    executions: i64,
    units: i64,
    weight: f64,
}

fn answer(
    signature: &Signature,
    names: &Names,
    alpha: f64,
    exposed: &Rows,
    said: &Rows,
) -> datafusion::common::Result<arrow::array::RecordBatch> {
    let mut sides = [Exposure::default(); 2];
    for row in 0..exposed.len() {
        let side = usize::from(exposed.number(row, 0) > 0.5);
        sides[side] = Exposure {
            executions: exposed.count(row, 1),
            units: exposed.count(row, 2),
            weight: exposed.number(row, 3),
        };
    }
    let [other, here] = sides;
    for (side, name) in [(here, &names.here), (other, &names.other)] {
        if side.executions == 0 {
            return Err(refused(format!("there is nothing to compare: no event has {name}")));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of units")]
    let (units, units_other) = (here.units as f64, other.units as f64);
    let share = units / (units + units_other);
    let sampled_alike = here.weight.max(other.weight) <= SAMPLING_RATIO_MAX * here.weight.min(other.weight);
    let templates = f64::from(u32::try_from(said.len()).unwrap_or(u32::MAX));
    let mut found: Vec<(f64, Vec<Cell>)> = Vec::new();
    for row in (0..said.len()).filter(|row| said.count(*row, 4) == 0 && said.count(*row, 3) > 0) {
        let chance = chance_of_luck(share, said.number(row, 5));
        let verdict = match (sampled_alike, chance * templates < alpha) {
            (false, _) => "sides sampled differently",
            (true, true) => "only here",
            (true, false) => "not seen, too little data",
        };
        let mut ids: Vec<String> = [9, 10].iter().filter_map(|id| said.text(row, *id)).map(ToOwned::to_owned).collect();
        ids.dedup();
        found.push((
            chance,
            vec![
                said.text(row, 0).into(),
                said.text(row, 1).into(),
                said.text(row, 2).into(),
                verdict.into(),
                said.count(row, 3).into(),
                said.count(row, 5).into(),
                chance.into(),
                here.units.into(),
                other.units.into(),
                here.executions.into(),
                other.executions.into(),
                share.into(),
                rate_max(units_other).into(),
                Cell::Time(said.time(row, 6)),
                Cell::Time(said.time(row, 7)),
                said.text(row, 8).into(),
                Cell::Texts(ids),
            ],
        ));
    }
    let text = |row: &[Cell]| if let Cell::Text(Some(id)) = &row[0] { id.clone() } else { String::new() };
    found.sort_by(|(a, a_row), (b, b_row)| a.total_cmp(b).then_with(|| text(a_row).cmp(&text(b_row))));
    batch(signature, &found.into_iter().map(|(_, row)| row).collect::<Vec<_>>())
}
