//! Splits a difference in cost per execution into "slower" and "more often".

/// One part (a section of code, a statement) in both arms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Part {
    /// Share of the arm's executions: control, treatment.
    pub(crate) share: [f64; 2],
    /// Cost per execution: control, treatment; of an arm that never ran it, the other's.
    pub(crate) cost: [f64; 2],
}

impl Part {
    /// What the part adds because an execution costs more.
    pub(crate) fn cost_effect(&self) -> f64 {
        (self.share[0] + self.share[1]) / 2.0 * (self.cost[1] - self.cost[0])
    }

    /// What the part adds because it runs more often. Over all parts, both effects add up to the whole difference.
    pub(crate) fn mix_effect(&self) -> f64 {
        (self.share[1] - self.share[0]) * (self.cost[0] + self.cost[1]) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::check_near;

    #[test]
    fn the_worked_example_of_a_heavy_section_visited_more_often() {
        let parts = [
            Part { share: [0.6, 0.5], cost: [2.0, 2.0] },
            Part { share: [0.3, 0.3], cost: [10.0, 13.0] },
            Part { share: [0.1, 0.2], cost: [40.0, 40.0] },
        ];
        let whole = |arm: usize| parts.iter().map(|part| part.share[arm] * part.cost[arm]).sum::<f64>();
        check_near(whole(0), 8.2, 1e-12);
        check_near(whole(1), 12.9, 1e-12);
        let (cost, mix) =
            (parts.iter().map(Part::cost_effect).sum::<f64>(), parts.iter().map(Part::mix_effect).sum::<f64>());
        check_near(cost, 0.9, 1e-12);
        check_near(mix, 3.8, 1e-12);
        check_near(cost + mix, whole(1) - whole(0), 1e-12);
    }
}
