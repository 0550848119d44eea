//! "Did you mean": the known names most like a mistyped one.

use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;

/// Suggestions given at most.
const COUNT: usize = 3;
/// Similarity from which a name is worth suggesting, 0 to 1.
const LIKENESS_MIN: f64 = 0.55;

/// The names most like `name`, best first: by spelling, or because they end in it (`status` and `http.status`).
pub(crate) fn nearest<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = all
        .filter_map(|candidate| {
            let likeness = likeness(&wanted, &candidate.to_lowercase());
            (likeness >= LIKENESS_MIN).then_some((likeness, candidate))
        })
        .collect();
    scored.sort_by(|(a, a_name), (b, b_name)| b.total_cmp(a).then_with(|| a_name.cmp(b_name)));
    scored.dedup_by_key(|(_, candidate)| *candidate);
    scored.into_iter().take(COUNT).map(|(_, candidate)| candidate.to_owned()).collect()
}

fn likeness(wanted: &str, candidate: &str) -> f64 {
    let spelled = normalized_levenshtein(wanted, candidate);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    // A shared last part is a weaker hint than the same spelling, a strong one still.
    if last(wanted) == last(candidate) || candidate.replace('.', "_") == wanted { spelled.max(0.8) } else { spelled }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expect: &[&str]) {
        let all = ["route", "status", "service.name", "http.status", "Route", "user.id", "experiments.13"];
        assert_eq!(nearest(name, all.into_iter()), expect, "{name}");
    }

    #[test]
    fn names_spelled_or_ending_alike_are_suggested() {
        check("rout", &["Route", "route"]);
        check("user_id", &["user.id"]);
        check("Status", &["status", "http.status"]);
        check("experiments.14", &["experiments.13"]);
        check("zebra", &[]);
    }
}
