//! What functions there are: ours first, then those of the engine, as `GET /functions` lists them.

use datafusion::{execution::SessionState, logical_expr::Documentation};

use crate::questions;

/// One function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Help {
    pub(crate) name: String,
    /// `table`, `view`, `aggregate`, `scalar` or `window`.
    pub(crate) kind: &'static str,
    pub(crate) signature: String,
    pub(crate) summary: String,
    pub(crate) example: String,
}

/// Ours that are no table functions: kind, signature, summary, example.
const OWN: &[(&str, &str, &str, &str)] = &[
    (
        "view",
        "messages",
        "One row per message beside the columns of its event; template and template_id besides.",
        "SELECT template, count(*) FROM messages WHERE level = 'error' GROUP BY template",
    ),
    (
        "view",
        "probes",
        "One row per probe beside the columns of its event.",
        "SELECT section, sum(sql_ms) / sum(count) FROM probes GROUP BY section",
    ),
    (
        "view",
        "exposures",
        "Who saw which variant of which experiment first when.",
        "SELECT experiment, variant, count(*) FROM exposures GROUP BY experiment, variant",
    ),
    (
        "aggregate",
        "weighted_count([value])",
        "Events, each counted sample_rate times.",
        "SELECT weighted_count() FROM events",
    ),
    (
        "aggregate",
        "weighted_sum(value)",
        "Sum, each event sample_rate times.",
        "SELECT weighted_sum(cart.total) FROM events",
    ),
    (
        "aggregate",
        "weighted_avg(value)",
        "Mean, each event sample_rate times.",
        "SELECT weighted_avg(duration_ms) FROM events",
    ),
    (
        "scalar",
        "time_bucket(width, time)",
        "The start of the bucket an instant falls into.",
        "SELECT time_bucket('1 minute', time), count(*) FROM events GROUP BY 1",
    ),
    (
        "scalar",
        "message_template(text)",
        "A text with its variable parts masked.",
        "SELECT message_template('booked room 7')",
    ),
    ("scalar", "template_id(template)", "A fixed id of a template.", "SELECT template_id('booked room <*>')"),
    ("scalar", "list_json(list)", "A list as JSON text.", "SELECT list_json(\"messages.text\") FROM events"),
    (
        "scalar",
        "json_get(json, key, ...)",
        "A member of JSON text, as JSON; -> does the same.",
        "SELECT json_get(items, 0, 'sku') FROM events",
    ),
    (
        "scalar",
        "json_get_text(json, key, ...)",
        "A member of JSON text, as text; ->> does the same.",
        "SELECT json_get_text(items, 0, 'sku') FROM events",
    ),
    (
        "scalar",
        "json_get_int(json, key, ...)",
        "A member of JSON text, as an integer.",
        "SELECT json_get_int(items, 0, 'n') FROM events",
    ),
    (
        "scalar",
        "json_get_float(json, key, ...)",
        "A member of JSON text, as a double.",
        "SELECT json_get_float(items, 0, 'price') FROM events",
    ),
    (
        "scalar",
        "json_get_bool(json, key, ...)",
        "A member of JSON text, as a boolean.",
        "SELECT json_get_bool(items, 0, 'gift') FROM events",
    ),
    (
        "scalar",
        "json_contains(json, key, ...)",
        "True if JSON text has a member.",
        "SELECT json_contains(items, 0, 'sku') FROM events",
    ),
    ("scalar", "json_keys(json)", "The keys of a JSON object.", "SELECT json_keys(json_get(items, 0)) FROM events"),
    (
        "scalar",
        "json_length(json)",
        "Items of a JSON array, members of a JSON object.",
        "SELECT json_length(items) FROM events",
    ),
];

/// All of them, by name within ours and the engine's.
pub(crate) fn help(state: &SessionState) -> Vec<Help> {
    let table = |signature: &&'static questions::Signature, kind| Help {
        name: signature.name.to_owned(),
        kind,
        signature: signature.usage(),
        summary: signature.summary.to_owned(),
        example: signature.example.to_owned(),
    };
    let mut found: Vec<Help> = questions::ALL.iter().map(|signature| table(signature, "table")).collect();
    found.push(Help { signature: "message_templates".to_owned(), ..table(&&questions::MESSAGE_TEMPLATES, "view") });
    found.extend(OWN.iter().map(|(kind, signature, summary, example)| Help {
        name: signature.split('(').next().unwrap_or_default().to_owned(),
        kind,
        signature: (*signature).to_owned(),
        summary: (*summary).to_owned(),
        example: (*example).to_owned(),
    }));
    let mut engines: Vec<Help> = Vec::new();
    let scalars = state.scalar_functions().iter().map(|(name, one)| (name, "scalar", one.documentation()));
    let aggregates = state.aggregate_functions().iter().map(|(name, one)| (name, "aggregate", one.documentation()));
    let windows = state.window_functions().iter().map(|(name, one)| (name, "window", one.documentation()));
    for (name, kind, documentation) in scalars.chain(aggregates).chain(windows) {
        if !found.iter().any(|known| known.name == *name) {
            engines.push(engine_function(name, kind, documentation));
        }
    }
    engines.sort_by(|a, b| a.name.cmp(&b.name));
    found.extend(engines);
    found
}

fn engine_function(name: &str, kind: &'static str, documentation: Option<&Documentation>) -> Help {
    let text = |of: fn(&Documentation) -> &str| documentation.map(of).unwrap_or_default().trim().to_owned();
    let signature = text(|known| &known.syntax_example);
    Help {
        name: name.to_owned(),
        kind,
        signature: if signature.is_empty() { format!("{name}(...)") } else { signature },
        summary: text(|known| known.description.lines().next().unwrap_or_default()),
        example: String::new(),
    }
}
