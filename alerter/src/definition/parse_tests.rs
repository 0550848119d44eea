use super::*;

const GOOD: &str = r#"
[[metric]]
name = "bookings"
title = "Bookings"
unit = "bookings"
dataset = "shop"
environment = "production"
kind = "count"
filter = "route = '/checkout/pay' AND status = 200"
slices = ["country"]
zone = "Europe/Amsterdam"
channels = ["oncall"]
budget_share = 0.005
owner = "checkout-team"
runbook = "https://wiki.example/bookings"

[[metric]]
name = "slow"
dataset = "shop"
kind = "latency"
value = "duration_ms"
threshold_ms = 500

[[channel]]
name = "oncall"
kind = "pagerduty"
routing_key_env = "PD_KEY"
"#;

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let definitions = parse("shop.toml", GOOD).unwrap();
    let bookings = &definitions.metrics[0];
    assert_eq!((bookings.smallest_drop, bookings.direction), (0.12, Direction::Down));
    assert_eq!((bookings.zone, bookings.line), (chrono_tz::Europe::Amsterdam, 2));
    let budget = Some(crate::burn::Budget { share: 0.005, limits: [0.02, 0.05] });
    assert_eq!((bookings.budget, definitions.metrics[1].budget), (budget, None));
    let slow = &definitions.metrics[1];
    assert_eq!((slow.direction, slow.title.as_str()), (Direction::Up, "slow"));
    assert_eq!(slow.measure, Measure::Latency { value: "duration_ms".into(), threshold_ms: 500.0 });
    assert_eq!(definitions.channels[0].url.as_deref(), Some(PAGERDUTY_URL));
}

/// Each line of `expect` must be found, in order, as `line: part of the message`.
fn check(text: &str, expect: &[(u32, &str)]) {
    let problems = parse("m.toml", text).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), expect.len(), "{shown:#?}");
    for (problem, (line, part)) in problems.iter().zip(expect) {
        assert_eq!(problem.line, *line, "{problem}");
        assert!(problem.message.contains(part), "{problem} does not say {part:?}");
    }
}

#[test]
fn a_limit_of_the_budget_needs_a_budget() {
    let text = "[[metric]]\nname = \"a\"\ndataset = \"shop\"\nburn_1h = 0.1\nburn_6h = 2\n";
    check(
        text,
        &[(4, "`burn_1h` is a part of the error budget: it needs `budget_share`"), (5, "must be within 0 and 1")],
    );
}

#[test]
fn a_typo_names_file_line_and_the_nearest_key() {
    let text = "[[metric]]\nname = \"a\"\ndataset = \"shop\"\nsmalest_drop = 0.2\n";
    check(text, &[(4, "unknown key `smalest_drop` in [[metric]]: did you mean `smallest_drop`?")]);
    let shown = parse("metrics/a.toml", text).unwrap_err()[0].to_string();
    assert!(shown.starts_with("metrics/a.toml:4: "), "{shown}");
}

#[test]
fn all_problems_are_reported_at_once() {
    check(
        "[[metric]]\nname = \"A\"\nkind = \"cuont\"\nzone = \"Europe/Amsterdm\"\nchannels = \"oncall\"\nsmallest_drop = 7\n\n[[metrik]]\nname = \"b\"\n",
        &[
            (1, "[[metric]] has no `dataset`"),
            (2, "must be [a-z][a-z0-9_]*"),
            (3, "did you mean \"count\"?"),
            (4, "did you mean \"Europe/Amsterdam\"?"),
            (5, "must be an array of strings, it is a string"),
            (6, "must be within 0.01 and 0.95"),
            (8, "did you mean [[metric]]?"),
        ],
    );
}

#[test]
fn broken_toml_names_its_line() {
    let problems = parse("m.toml", "[[metric]]\nname = \"a\ndataset = \"shop\"\n").unwrap_err();
    assert!(
        problems.iter().any(|problem| problem.line == 2 && problem.message.contains("not valid TOML")),
        "{problems:?}"
    );
}

#[test]
fn keys_must_fit_the_kind() {
    check("[[metric]]\nname = \"a\"\ndataset = \"shop\"\nkind = \"sum\"\n", &[(4, "kind \"sum\" needs `value`")]);
    check(
        "[[metric]]\nname = \"a\"\ndataset = \"shop\"\nkind = \"ratio\"\ndenominator = \"true\"\n",
        &[(1, "a ratio needs `filter`")],
    );
    check(
        "[[metric]]\nname = \"a\"\ndataset = \"shop\"\nvalue = \"price\"\n",
        &[(4, "`value` has no meaning for kind \"count\"")],
    );
}

#[test]
fn channels_need_their_secret_and_never_hold_it() {
    check("[[channel]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://x.example\"\n", &[(1, "secret_file")]);
    check(
        "[[channel]]\nname = \"a\"\nkind = \"pagerduty\"\nrouting_key = \"0123\"\n",
        &[(1, "needs `routing_key_file`"), (4, "unknown key `routing_key`")],
    );
    check("[[channel]]\nname = \"a\"\nkind = \"slack\"\nurl = \"ftp://x\"\n", &[(1, "exactly one of"), (4, "http://")]);
}

#[test]
fn twins_are_refused() {
    let one = "[[metric]]\nname = \"a\"\ndataset = \"shop\"\n";
    check(&format!("{one}{one}"), &[(4, "metric \"a\" is already defined in line 1")]);
}
