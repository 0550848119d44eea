//! `message_templates`: which statements in the code spoke, under which release and variant, and since when.

use super::{Asked, Call, DATASET, Desk, Shape, Signature, call::literal};
use crate::{
    catalog::EVENT,
    error::{Error, quoted},
};

/// The view of a dataset.
pub(crate) static MESSAGE_TEMPLATES: Signature = Signature {
    name: "message_templates",
    summary: "Templates of messages by release, experiment and variant; rows without an experiment count all messages.",
    example: "SELECT template, count, first_seen FROM message_templates WHERE experiment IS NULL AND release = '64fd32f'",
    parameters: &[DATASET],
    columns: &[
        ("template_id", Shape::Text),
        ("template", Shape::Text),
        ("release", Shape::Text),
        ("experiment", Shape::Text),
        ("variant", Shape::Text),
        ("first_seen", Shape::Time),
        ("last_seen", Shape::Time),
        ("count", Shape::Count),
        ("example_event_id", Shape::Text),
    ],
    ask,
};

fn ask(_call: &Call, desk: &Desk<'_>) -> Result<Asked, Error> {
    let keys = desk.dataset().columns().schema().columns.iter().map(|column| column.name.as_str());
    let experiments: Vec<&str> = keys.filter_map(|name| name.strip_prefix("experiments.")).collect();
    let none = "CAST(NULL AS VARCHAR)".to_owned();
    let list = |of: &dyn Fn(&&str) -> String| {
        let items: Vec<String> = std::iter::once(none.clone()).chain(experiments.iter().map(of)).collect();
        format!("unnest(make_array({}))", items.join(", "))
    };
    let names = list(&|name| literal(name));
    let variants = list(&|name| format!("CAST({} AS VARCHAR)", quoted(&format!("{EVENT}experiments.{name}#text"))));
    let statement = format!(
        "SELECT template_id, min(template) AS template, release, experiment, variant, min(time) AS first_seen, max(time) AS last_seen, \
         count(*) AS count, first_value(event_id ORDER BY time, event_id) AS example_event_id FROM (\
         SELECT template_id, template, {} AS release, {names} AS experiment, {variants} AS variant, \"event.time\" AS time, \"event.event_id\" AS event_id FROM {} \
         WHERE template_id IS NOT NULL) \
         WHERE experiment IS NULL OR variant IS NOT NULL GROUP BY template_id, release, experiment, variant",
        quoted(&format!("{EVENT}rollout")),
        desk.table("messages"),
    );
    Ok(Asked { checks: Vec::new(), inputs: vec![statement], answer: None })
}
