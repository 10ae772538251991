//! The cheapest way to be right often enough.

use serde::{Deserialize, Serialize};

/// More models than this are not put into one cascade: their orders are all looked at.
const MOST_MEMBERS: usize = 6;

/// A model that may be part of a cascade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// How often it is right, on average, 0 to 1.
    pub mean: f64,
    /// The lower bound of that.
    pub low: f64,
    /// What a call of it costs on average, in billionths of a US dollar.
    pub cost: f64,
    /// What a call of it costs at most.
    pub worst: f64,
    /// What an answer of it takes, in milliseconds.
    pub latency_ms: f64,
    /// The share of its wrong answers that its confidence gives away, 0 to 1.
    pub catches: f64,
    /// The share of its right answers that are asked again for nothing, 0 to 1.
    pub false_alarms: f64,
}

/// Models, one after the other: each is asked when the answer before it did not seem right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cascade {
    /// The places of its members in the pool, in order.
    pub order: Vec<usize>,
    /// What it costs on average, in billionths of a US dollar.
    pub cost: f64,
    /// How often it is right, on average.
    pub success: f64,
    /// The same, from the lower bounds of its members.
    pub success_low: f64,
    /// What it takes on average, in milliseconds.
    pub latency_ms: f64,
    /// Whether it is right often enough.
    pub meets_floor: bool,
}

/// Finds the cascade that costs least among those whose lower bound of success reaches `floor`. Where none does, it is the one that is
/// right most often, and `meets_floor` says so. None where nothing is quick and cheap enough.
///
/// What it costs: `c1 + p(asked again) * (c2 + ...)`; the members' answers are taken as independent. All orders of all subsets are
/// looked at, of the first six members.
pub fn cheapest(
    pool: &[Member],
    floor: f64,
    latency_limit_ms: Option<f64>,
    remaining: Option<f64>,
) -> Option<Cascade> {
    let mut search = Search {
        pool: &pool[..pool.len().min(MOST_MEMBERS)],
        floor,
        latency_limit_ms,
        remaining,
        best: None,
    };
    search.extend(&mut Vec::new());
    search.best
}

struct Search<'a> {
    pool: &'a [Member],
    floor: f64,
    latency_limit_ms: Option<f64>,
    remaining: Option<f64>,
    best: Option<Cascade>,
}

impl Search<'_> {
    fn extend(&mut self, order: &mut Vec<usize>) {
        if !order.is_empty() {
            self.consider(order);
        }
        for next in 0..self.pool.len() {
            if !order.contains(&next) {
                order.push(next);
                self.extend(order);
                order.pop();
            }
        }
    }

    fn consider(&mut self, order: &[usize]) {
        let worst: f64 = order.iter().map(|&it| self.pool[it].worst).sum();
        if self.remaining.is_some_and(|remaining| worst > remaining) {
            return;
        }
        let cascade = self.measure(order);
        if self
            .latency_limit_ms
            .is_some_and(|limit| cascade.latency_ms > limit)
        {
            return;
        }
        let better = self
            .best
            .as_ref()
            .is_none_or(|best| match (cascade.meets_floor, best.meets_floor) {
                (true, true) => (cascade.cost, -cascade.success) < (best.cost, -best.success),
                (false, false) => (-cascade.success_low, cascade.cost) < (-best.success_low, best.cost),
                (meets, _) => meets,
            });
        if better {
            self.best = Some(cascade);
        }
    }

    fn measure(&self, order: &[usize]) -> Cascade {
        let mut whole = Cascade {
            order: order.to_vec(),
            cost: 0.0,
            success: 0.0,
            success_low: 0.0,
            latency_ms: 0.0,
            meets_floor: false,
        };
        for (place, &member) in order.iter().enumerate().rev() {
            let it = &self.pool[member];
            if place + 1 == order.len() {
                (whole.cost, whole.latency_ms) = (it.cost, it.latency_ms);
                (whole.success, whole.success_low) = (it.mean, it.low);
                continue;
            }
            let again = |right: f64| (1.0 - right) * it.catches + right * it.false_alarms;
            let kept = |right: f64| right * (1.0 - it.false_alarms);
            whole.cost = it.cost + again(it.mean) * whole.cost;
            whole.latency_ms = it.latency_ms + again(it.mean) * whole.latency_ms;
            whole.success = kept(it.mean) + again(it.mean) * whole.success;
            whole.success_low = kept(it.low) + again(it.low) * whole.success_low;
        }
        whole.meets_floor = whole.success_low >= self.floor;
        whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(mean: f64, cost: f64, catches: f64) -> Member {
        Member {
            mean,
            low: mean,
            cost,
            worst: cost * 4.0,
            latency_ms: 100.0,
            catches,
            false_alarms: 0.0,
        }
    }

    #[test]
    fn the_known_optimum_of_a_constructed_pool_is_found() {
        // A free student that is right 7 times of 10 and knows nine tenths of its errors, a middling model, a dear teacher.
        let pool = [
            member(0.7, 0.0, 0.9),
            member(0.85, 200.0, 0.0),
            member(0.97, 1000.0, 0.0),
        ];
        let at = |floor| cheapest(&pool, floor, None, None).unwrap();
        assert_eq!(at(0.6).order, [0], "the student alone is enough");
        // 0.7 + 0.27 * 0.85 = 0.9295 for 0.27 * 200 = 54.
        let middle = at(0.9);
        assert_eq!(middle.order, [0, 1]);
        assert!((middle.success - 0.929_5).abs() < 1e-9 && (middle.cost - 54.0).abs() < 1e-9);
        // 0.7 + 0.27 * 0.97 = 0.9619 for 270.
        assert_eq!(at(0.95).order, [0, 2]);
        // Only the teacher alone is right 97 times of 100.
        assert_eq!(at(0.97).order, [2]);
        let none = at(0.99);
        assert_eq!((none.order.as_slice(), none.meets_floor), ([2].as_slice(), false));
        let poor = cheapest(&pool, 0.95, None, Some(900.0)).unwrap();
        assert_eq!(poor.order, [0, 1], "the teacher may cost more than is left");
        assert!(!poor.meets_floor);
        assert!(
            cheapest(&pool, 0.5, Some(50.0), None).is_none(),
            "nothing is so quick"
        );
        assert_eq!(cheapest(&pool, 0.9, Some(110.0), None).unwrap().order, [2]);
    }

    #[test]
    fn who_never_doubts_gains_nothing_from_a_second_model() {
        let pool = [member(0.7, 0.0, 0.0), member(0.97, 1000.0, 0.0)];
        assert_eq!(cheapest(&pool, 0.8, None, None).unwrap().order, [1]);
    }

    fn members() -> impl Strategy<Value = Vec<Member>> {
        let one = (
            0.0..1.0_f64,
            0.0..1.0_f64,
            0.0..1e6_f64,
            1.0..5.0_f64,
            1.0..9e3_f64,
            0.0..1.0_f64,
            0.0..0.5_f64,
        );
        let one = one.prop_map(
            |(mean, low, cost, worst, latency_ms, catches, false_alarms)| Member {
                mean,
                low: mean * low,
                cost,
                worst: cost * worst,
                latency_ms,
                catches,
                false_alarms,
            },
        );
        proptest::collection::vec(one, 1..5)
    }

    /// What a cascade comes to, by following every way a request can go.
    fn walk(pool: &[Member], order: &[usize], share: f64) -> (f64, f64) {
        let Some((&first, rest)) = order.split_first() else {
            return (0.0, 0.0);
        };
        let it = &pool[first];
        let mut total = (share * it.cost, 0.0);
        for (is_right, probability) in [(true, it.mean), (false, 1.0 - it.mean)] {
            let doubted = if rest.is_empty() {
                0.0
            } else if is_right {
                it.false_alarms
            } else {
                it.catches
            };
            total.1 += share * probability * (1.0 - doubted) * f64::from(u8::from(is_right));
            let later = walk(pool, rest, share * probability * doubted);
            total = (total.0 + later.0, total.1 + later.1);
        }
        total
    }

    proptest! {
        #[test]
        fn no_other_cascade_is_cheaper(pool in members(), floor in 0.0..1.0_f64) {
            let best = cheapest(&pool, floor, None, None).unwrap();
            let (cost, success) = walk(&pool, &best.order, 1.0);
            prop_assert!((cost - best.cost).abs() <= 1e-9 * cost.max(1.0));
            prop_assert!((success - best.success).abs() < 1e-9);
            let lows: Vec<Member> = pool.iter().map(|it| Member { mean: it.low, ..*it }).collect();
            let places = 0..pool.len();
            for mask in 1..(pool.len() + 1).pow(u32::try_from(pool.len()).unwrap()) {
                // Every word over the members and a blank, without repeats.
                let mut word = mask;
                let mut order = Vec::new();
                for _ in places.clone() {
                    let letter = word % (pool.len() + 1);
                    word /= pool.len() + 1;
                    if letter > 0 { order.push(letter - 1); }
                }
                let mut unique = order.clone();
                unique.sort_unstable();
                unique.dedup();
                if order.is_empty() || unique.len() < order.len() { continue; }
                let (cost, _) = walk(&pool, &order, 1.0);
                let (_, low) = walk(&lows, &order, 1.0);
                if low >= floor + 1e-9 {
                    prop_assert!(best.meets_floor && best.cost <= cost * (1.0 + 1e-9) + 1e-9, "{order:?}");
                } else if !best.meets_floor {
                    prop_assert!(low <= best.success_low + 1e-9);
                }
            }
        }
    }
}
