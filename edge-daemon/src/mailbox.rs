//! The one-slot mailbox between capture and the little model: the newest frame wins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::lock::lock;

/// A slot for one item, from one producer to one consumer.
#[derive(Debug)]
pub struct Mailbox<T> {
    slot: Mutex<Slot<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Slot<T> {
    item: Option<T>,
    replaced: u64,
    closed: bool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { slot: Mutex::new(Slot { item: None, replaced: 0, closed: false }), changed: Condvar::new() }
    }
}

impl<T> Mailbox<T> {
    /// Puts `item` into the slot; one that nobody has taken yet is replaced and counted. Never waits.
    pub fn put(&self, item: T) {
        let mut slot = lock(&self.slot);
        if !slot.closed && slot.item.replace(item).is_some() {
            slot.replaced += 1;
        }
        self.changed.notify_all();
    }

    /// Puts `item` into the slot once it is free; false, and the item is gone, if the mailbox was closed first.
    pub fn put_when_free(&self, item: T) -> bool {
        let mut slot = self.wait_while(|slot| slot.item.is_some() && !slot.closed);
        if slot.closed {
            return false;
        }
        slot.item = Some(item);
        self.changed.notify_all();
        true
    }

    /// Waits for an item; `None` once the mailbox is closed and empty.
    pub fn take(&self) -> Option<T> {
        let mut slot = self.wait_while(|slot| slot.item.is_none() && !slot.closed);
        let item = slot.item.take();
        self.changed.notify_all();
        item
    }

    /// Takes no more items. What is in the slot can still be taken.
    pub fn close(&self) {
        lock(&self.slot).closed = true;
        self.changed.notify_all();
    }

    /// How many items were replaced before anybody took them.
    pub fn replaced(&self) -> u64 {
        lock(&self.slot).replaced
    }

    fn wait_while(&self, condition: impl FnMut(&mut Slot<T>) -> bool) -> MutexGuard<'_, Slot<T>> {
        self.changed.wait_while(lock(&self.slot), condition).unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_and_the_replaced_are_counted() {
        let mailbox = Mailbox::default();
        for number in 0..5 {
            mailbox.put(number);
        }
        assert_eq!(mailbox.take(), Some(4));
        assert_eq!(mailbox.replaced(), 4);
    }

    #[test]
    fn the_last_item_outlives_the_close() {
        let mailbox = Mailbox::default();
        mailbox.put(1);
        mailbox.close();
        mailbox.put(2);
        assert!(!mailbox.put_when_free(3));
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.take(), None);
    }

    #[test]
    fn a_patient_producer_loses_nothing() {
        let mailbox = Mailbox::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..100).for_each(|number| assert!(mailbox.put_when_free(number)));
                mailbox.close();
            });
            let taken: Vec<i32> = std::iter::from_fn(|| mailbox.take()).collect();
            assert_eq!(taken, (0..100).collect::<Vec<_>>());
        });
        assert_eq!(mailbox.replaced(), 0);
    }
}
