//! What an agent says of its limits.

use shaper_common::layout::Counters;

use super::Agent;
use crate::{
    error::AgentError,
    metrics::{LimitSnapshot, Snapshot},
    outside::Outside,
    spec::Direction,
};

impl Agent<'_> {
    /// One line on what is in force.
    pub(super) fn summary(&self) -> String {
        let there = self.held.values().filter(|held| !held.limits.is_empty()).count();
        format!("{there} of {} targets limited", self.held.len())
    }

    /// Tells whoever asks over HTTP how the limits are.
    pub(super) fn publish(&self, outside: &Outside) -> Result<(), AgentError> {
        if !outside.is_served() {
            return Ok(());
        }
        let mut limits = Vec::new();
        for (target, held) in &self.held {
            for direction in Direction::ALL {
                let Some(rate) = held.settings.rate(direction) else { continue };
                let limit = held.limits.iter().find(|limit| limit.record.direction == direction);
                limits.push(match (limit, &self.kernel) {
                    (Some(limit), Some(kernel)) => limit.snapshot(kernel, target)?,
                    _ => LimitSnapshot {
                        target: target.clone(),
                        iface: String::new(),
                        direction,
                        mode: held.settings.mode,
                        rate_bit_s: rate.bits_per_second(),
                        burst_bytes: 0,
                        in_force: false,
                        debt_seconds: 0.0,
                        counters: Counters::default(),
                    },
                });
            }
        }
        outside.publish(Snapshot { limits });
        Ok(())
    }

    pub(super) fn report(&mut self) -> Result<(), AgentError> {
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let alone = self.held.len() == 1;
        for held in self.held.values_mut() {
            for limit in &mut held.limits {
                // `set` may have changed it.
                if let Some(record) = kernel.record(limit.slot)? {
                    limit.record = record;
                }
                let (counters, debt) = (limit.counters(kernel)?, limit.debt(kernel)?);
                self.reporter.counters(limit, &counters, debt, alone);
            }
        }
        Ok(())
    }
}
