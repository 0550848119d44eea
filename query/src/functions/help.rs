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
        "aggregate",
        "weighted_var(value)",
        "Sample variance, each event sample_rate times.",
        "SELECT weighted_var(duration_ms) FROM events",
    ),
    (
        "aggregate",
        "weighted_stddev(value)",
        "Sample standard deviation, each event sample_rate times.",
        "SELECT weighted_stddev(duration_ms) FROM events",
    ),
    (
        "aggregate",
        "weighted_median(value)",
        "Median, each event sample_rate times; approximate (t-digest).",
        "SELECT weighted_median(duration_ms) FROM events",
    ),
    (
        "aggregate",
        "weighted_percentile(value, share)",
        "Percentile, each event sample_rate times; approximate (t-digest).",
        "SELECT weighted_percentile(duration_ms, 0.95) FROM events",
    ),
    (
        "aggregate",
        "welch_t_test(value, treatment)",
        "Difference of the means of two groups that need not vary alike: estimate, ci_low, ci_high (95 %), t, degrees_of_freedom, p_value (two-sided). \
         Each row is one independent unit; treatment is a condition.",
        "SELECT welch_t_test(duration_ms, experiments['13'] = 'B')['p_value'] FROM events",
    ),
    (
        "aggregate",
        "mann_whitney_u(value, treatment)",
        "Are values of the treatment larger, whatever their distribution? u, p_value (two-sided; exact below 50 values without ties), superiority (chance \
         that a treatment's value is larger), shift (Hodges and Lehmann's) with ci_low, ci_high (95 %). Keeps all values.",
        "SELECT mann_whitney_u(duration_ms, experiments['13'] = 'B')['shift'] FROM events",
    ),
    (
        "aggregate",
        "cuped(value, before, treatment)",
        "Difference of the means of two groups of units after what they did before the experiment is taken out: estimate, ci_low, ci_high (95 %), \
         standard_error, p_value, theta, variance_reduction, units. before is NULL for units without a past.",
        "SELECT cuped(after, before, variant = 'B') FROM (SELECT experiments['13'] AS variant, sum(duration_ms) AS after, count(*) AS before \
         FROM events GROUP BY 1, event_id)",
    ),
    (
        "aggregate",
        "ratio_delta(numerator, denominator)",
        "Σ numerator / Σ denominator over units, whose rows are not independent, by the delta method: ratio, ci_low, ci_high (95 %), standard_error, \
         units. One row per unit: sum by unit first.",
        "SELECT ratio_delta(ms, executions) FROM (SELECT sum(sql_ms) AS ms, sum(count) AS executions FROM probes GROUP BY event.event_id)",
    ),
    (
        "scalar",
        "risk_ratio(bad_inside, good_inside, bad_outside, good_outside)",
        "Bad rate inside over the bad rate outside of four counts: estimate, ci_low, ci_high (95 %).",
        "SELECT risk_ratio(360, 640, 40, 98960)['estimate']",
    ),
    (
        "scalar",
        "g_test(bad_inside, good_inside, bad_outside, good_outside)",
        "Likelihood-ratio test of four counts: g, p_value, bits of evidence. Below an expected count of 5, Fisher's exact test of more bad ones inside.",
        "SELECT rollout, g_test(bad, n - bad, sum(bad) OVER () - bad, sum(n) OVER () - n - (sum(bad) OVER () - bad))['bits'] AS bits \
         FROM (SELECT rollout, count(*) FILTER (WHERE status >= 500) AS bad, count(*) AS n FROM events GROUP BY rollout)",
    ),
    (
        "scalar",
        "always_valid_p(estimate, standard_error, units, [planned_units], [alpha])",
        "p-value of a difference that holds at every look, however often one looks (normal-mixture sequence); units of both groups together.",
        "SELECT always_valid_p(0.012, 0.003196, 20000)",
    ),
    (
        "scalar",
        "always_valid_e(estimate, standard_error, units, [planned_units], [alpha])",
        "The e-value behind always_valid_p: evidence against no difference; e-values of disjoint data may be multiplied.",
        "SELECT always_valid_e(0.012, 0.003196, 20000)",
    ),
    (
        "window",
        "benjamini_hochberg(p_value) OVER (...)",
        "The smallest false discovery rate at which each of many tests is reported (q-value): report those up to the rate you allow.",
        "SELECT name, benjamini_hochberg(p) OVER () AS q FROM (VALUES ('a', 0.004), ('b', 0.03), ('c', 0.6)) AS tests(name, p)",
    ),
    (
        "window",
        "e_bh(e_value) OVER (...)",
        "The same for e-values: it holds however the tests depend on each other, and at every look.",
        "SELECT name, e_bh(e) OVER () AS q FROM (VALUES ('a', 900.0), ('b', 130.0), ('c', 0.3)) AS tests(name, e)",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names of the functions and views SQL knows because of us.
    fn registered() -> BTreeSet<String> {
        let questions = questions::ALL.iter().map(|question| question.name.to_owned());
        let views =
            crate::catalog::DATASET_TABLES.iter().filter(|table| **table != "events").map(|view| (*view).to_owned());
        let weighted = crate::names::weighted::KNOWN.iter().map(|(name, ..)| (*name).to_owned());
        let scalars = super::super::scalars().into_iter().map(|function| function.name().to_owned());
        let aggregates = super::super::aggregates::all().into_iter().map(|function| function.name().to_owned());
        let windows = super::super::windows::all().into_iter().map(|function| function.name().to_owned());
        questions.chain(views).chain(weighted).chain(scalars).chain(aggregates).chain(windows).collect()
    }

    #[test]
    fn help_registry_and_docs_know_the_same_functions() {
        let state = datafusion::execution::SessionStateBuilder::new().build();
        let listed = help(&state);
        let names: BTreeSet<String> = listed.iter().map(|one| one.name.clone()).collect();
        assert_eq!(names, registered());
        assert_eq!(names.len(), listed.len(), "one entry each");
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sql.md");
        let page = std::fs::read_to_string(page).unwrap();
        for one in &listed {
            assert!(!one.summary.is_empty() && one.example.contains(&one.name), "{one:?}");
            let told = [format!("`{}(", one.name), format!("`{}`", one.name), format!(".{}`", one.name)];
            assert!(told.iter().any(|told| page.contains(told)), "docs/sql.md does not tell of {}", one.name);
        }
    }
}
