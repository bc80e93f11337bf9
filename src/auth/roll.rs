//! What is said of consumers beside how they prove who they are: which plan they have, and what groups they are in.
//!
//! It may stand in the configuration or in a file of keys, which may name a million of them: two bytes each.

use std::collections::BTreeMap;

use super::config::ConsumersConfig;
use super::consumer::Registry;
use crate::diagnostic::At;

/// The plans and groups of all consumers, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Roll {
    plans: Vec<Named>,
    /// By the number of a consumer: the place of its plan and one, or zero. Shorter than the list of consumers.
    of: Vec<u16>,
    groups: BTreeMap<String, Vec<u32>>,
}

/// A plan by its name, which need not be that of one.
#[derive(Debug)]
struct Named {
    name: Box<str>,
    /// Where a file of keys names it first: the place of that file, and its line.
    first: Option<(At, Box<str>)>,
}

impl Roll {
    /// What the configuration itself says.
    pub(super) fn of(consumers: &ConsumersConfig, registry: &Registry) -> Self {
        let mut roll = Self::default();
        for (name, consumer) in &consumers.0 {
            let Some(id) = registry.find(name).and_then(|consumer| consumer.id()) else { continue };
            if let Some(plan) = &consumer.plan {
                roll.buy(id, plan, || None);
            }
            for group in &consumer.groups.0 {
                roll.join(id, group);
            }
        }
        roll
    }

    /// Gives a consumer a plan; false if it has another, or there are too many. `at` tells where a file says so.
    pub(super) fn buy(
        &mut self,
        consumer: u32,
        plan: &str,
        at: impl FnOnce() -> Option<(At, Box<str>)>,
    ) -> bool {
        let known = self.plans.iter().position(|known| *known.name == *plan);
        let place = known.unwrap_or(self.plans.len());
        let Ok(number) = u16::try_from(place + 1) else { return false };
        match known {
            None => self.plans.push(Named { name: plan.into(), first: at() }),
            Some(place) if self.plans[place].first.is_none() => self.plans[place].first = at(),
            Some(_) => {}
        }
        let consumer = consumer as usize;
        if self.of.len() <= consumer {
            self.of.resize(consumer + 1, 0);
        }
        let of = &mut self.of[consumer];
        if *of == 0 {
            *of = number;
        }
        *of == number
    }

    /// Makes a consumer one of a group.
    pub(super) fn join(&mut self, consumer: u32, group: &str) {
        match self.groups.get_mut(group) {
            // The lines of one consumer mostly stand together.
            Some(members) if members.last() == Some(&consumer) => {}
            Some(members) => members.push(consumer),
            None => {
                self.groups.insert(group.to_owned(), vec![consumer]);
            }
        }
    }

    /// Nothing more is to come.
    pub(super) fn close(&mut self) {
        for members in self.groups.values_mut() {
            members.sort_unstable();
            members.dedup();
            members.shrink_to_fit();
        }
        self.of.shrink_to_fit();
    }

    /// The consumers of each group, by number.
    pub(super) const fn groups(&self) -> &BTreeMap<String, Vec<u32>> {
        &self.groups
    }

    /// The number of every consumer that has a plan, and the plan's name.
    pub(super) fn buyers(&self) -> impl Iterator<Item = (u32, &str)> {
        let plan = |number: &u16| self.plans.get(usize::from(*number).checked_sub(1)?);
        let all = (0..).zip(&self.of);
        all.filter_map(move |(id, number)| Some((id, &*plan(number)?.name)))
    }

    /// The plans that files of keys name, with the place of the file and the line.
    pub(super) fn named_in_files(&self) -> impl Iterator<Item = (&str, &At, &str)> {
        self.plans.iter().filter_map(|named| {
            let (at, line) = named.first.as_ref()?;
            Some((&*named.name, at, &**line))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_has_one_plan_and_is_in_a_group_once() {
        let mut roll = Roll::default();
        let at = |line: &str| Some((At::root().key("file"), line.into()));
        assert!(roll.buy(7, "gold", || None));
        assert!(roll.buy(2, "free", || at("line 1")));
        assert!(roll.buy(7, "gold", || at("line 2")));
        assert!(roll.buy(3, "gold", || at("line 3")));
        assert!(!roll.buy(7, "free", || at("line 4")), "it has another");
        for (consumer, group) in [(1, "a"), (2, "b"), (2, "b"), (3, "a"), (1, "a")] {
            roll.join(consumer, group);
        }
        roll.close();
        assert_eq!(roll.buyers().collect::<Vec<_>>(), [(2, "free"), (3, "gold"), (7, "gold")]);
        let named: Vec<_> = roll.named_in_files().map(|(name, _, line)| (name, line)).collect();
        assert_eq!(named, [("gold", "line 2"), ("free", "line 1")]);
        let groups = BTreeMap::from([("a".to_owned(), vec![1, 3]), ("b".to_owned(), vec![2])]);
        assert_eq!(*roll.groups(), groups);
    }
}
