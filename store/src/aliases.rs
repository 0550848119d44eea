//! Aliases: keys that name the same thing in different conventions. They are never stored: queries and first sights look the keys up.

use serde::{Deserialize, Serialize};

/// Keys of one thing, the first one set wins.
const KEYS_MAX: usize = 16;

/// Section `[store.aliases]`: which keys name an event's environment, its rollout and its unit; the first one set wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Aliases {
    /// Keys that name the environment: the column `environment` of SQL.
    pub environment: Vec<String>,
    /// Keys that name the rollout an event was made under: the column `rollout` of SQL.
    pub rollout: Vec<String>,
    /// Keys that name the unit experiments are split by and questions count.
    pub unit: Vec<String>,
}

impl Default for Aliases {
    fn default() -> Self {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        Self {
            environment: keys(&["environment", "deployment.environment.name", "deployment.environment"]),
            rollout: keys(&["rollout", "deployment.id", "service.version"]),
            unit: keys(&["user.id"]),
        }
    }
}

impl Aliases {
    /// The keys a column of SQL stands for; `None` for a column that is no alias.
    #[must_use]
    pub fn keys(&self, column: &str) -> Option<&[String]> {
        match column {
            "environment" => Some(&self.environment),
            "rollout" => Some(&self.rollout),
            _ => None,
        }
    }

    /// Everything wrong, each line with its key.
    pub(crate) fn problems(&self) -> Vec<String> {
        let lists = [("environment", &self.environment), ("rollout", &self.rollout), ("unit", &self.unit)];
        let mut problems = Vec::new();
        for (list, keys) in lists {
            if keys.is_empty() || keys.len() > KEYS_MAX {
                problems.push(format!("store.aliases.{list} must have 1 to {KEYS_MAX} keys"));
            }
            if keys.iter().any(String::is_empty) {
                problems.push(format!("store.aliases.{list} has an empty key"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_told() {
        assert_eq!(Aliases::default().problems(), [""; 0]);
        let wrong = Aliases { rollout: Vec::new(), unit: vec![String::new()], ..Aliases::default() };
        assert_eq!(
            wrong.problems(),
            ["store.aliases.rollout must have 1 to 16 keys", "store.aliases.unit has an empty key"]
        );
    }
}
