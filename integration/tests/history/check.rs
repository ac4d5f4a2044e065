// SPDX-License-Identifier: Apache-2.0
//! Answers that no order of events explains.
//!
//! For each read it asks whether some order of the events around it, each at one moment between its
//! start and its end, gives that answer. The conditions are necessary ones: what they report is
//! wrong for certain.
//!
//! | Seen | Must be |
//! |---|---|
//! | a value | put by an event that began before, and not surely replaced or deleted since |
//! | nothing, at a tag or manifest | not surely put, unless something may have deleted it since |
//! | nothing, at a blob | not named by a manifest that was surely put, unless either may have been deleted since: the collector may take other blobs |

use std::collections::BTreeMap;

use super::client::blobs_of;
use super::record::{Deed, Event, Object};

/// Events by what they are about.
struct History<'a> {
    by_object: BTreeMap<Object, Vec<&'a Event>>,
}

/// Returns a line for each wrong answer.
pub(super) fn violations(events: &[Event]) -> Vec<String> {
    let mut by_object: BTreeMap<Object, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_object.entry(event.object).or_default().push(event);
    }
    let history = History { by_object };
    let mut wrong = Vec::new();
    for event in events {
        let Deed::Read(seen) = event.deed else {
            continue;
        };
        let explained = match seen {
            Some(value) => history.may_be(event, value),
            None => history.may_be_absent(event),
        };
        if !explained {
            wrong.push(history.tell(event));
        }
    }
    wrong
}

impl History<'_> {
    fn of(&self, object: Object) -> impl Iterator<Item = &Event> {
        self.by_object.get(&object).into_iter().flatten().copied()
    }

    fn puts(&self, object: Object) -> impl Iterator<Item = (&Event, usize)> {
        self.of(object).filter_map(|event| match event.deed {
            Deed::Put(value) => Some((event, value)),
            _ => None,
        })
    }

    fn deletes(&self, object: Object) -> impl Iterator<Item = &Event> {
        self.of(object).filter(|event| event.deed == Deed::Delete)
    }

    /// Tells whether `value` may be seen: some put of it may be the last event before the read.
    fn may_be(&self, read: &Event, value: usize) -> bool {
        let object = read.object;
        let mut puts = self.puts(object).filter(|(put, _)| put.start < read.end);
        puts.any(|(put, put_value)| {
            let surely =
                |event: &Event| event.is_certain && put.before(event) && event.before(read);
            let replaced = match object {
                Object::Tag(..) => self
                    .puts(object)
                    .any(|(other, other_value)| other_value != value && surely(other)),
                Object::Manifest(..) | Object::Blob(..) => false,
            };
            let under = match object {
                Object::Tag(repository, _) => Some(Object::Manifest(repository, value)),
                Object::Manifest(..) | Object::Blob(..) => None,
            };
            let deleted = self.deletes(object).any(surely)
                || under.is_some_and(|manifest| self.deletes(manifest).any(surely));
            put_value == value && !replaced && !deleted
        })
    }

    /// Tells whether a delete may have taken effect between the beginning of `put` and `read`.
    fn may_be_deleted(&self, object: Object, put: &Event, read: &Event) -> bool {
        self.deletes(object)
            .any(|delete| put.start < delete.end && delete.start < read.end)
    }

    fn may_be_absent(&self, read: &Event) -> bool {
        let object = read.object;
        let surely = |put: &Event| put.is_certain && put.before(read);
        match object {
            Object::Manifest(..) => !self
                .puts(object)
                .any(|(put, _)| surely(put) && !self.may_be_deleted(object, put, read)),
            Object::Tag(repository, _) => !self.puts(object).any(|(put, _)| {
                // A tag goes with the manifest that it has at that moment, whichever that is.
                let mut later = self
                    .puts(object)
                    .filter(|(other, _)| put.start < other.end && other.start < read.end);
                surely(put)
                    && !self.may_be_deleted(object, put, read)
                    && !later.any(|(_, value)| {
                        self.may_be_deleted(Object::Manifest(repository, value), put, read)
                    })
            }),
            Object::Blob(repository, blob) => {
                let manifests = self.by_object.keys().filter_map(|other| match other {
                    Object::Manifest(r, number) if *r == repository => Some(*number),
                    _ => None,
                });
                let mut naming = manifests.filter(|number| blobs_of(*number).contains(&blob));
                !naming.any(|number| {
                    let manifest = Object::Manifest(repository, number);
                    self.puts(manifest).any(|(put, _)| {
                        surely(put)
                            && !self.may_be_deleted(manifest, put, read)
                            && !self.may_be_deleted(object, put, read)
                    })
                })
            }
        }
    }

    /// Tells what is wrong, with everything about the object.
    fn tell(&self, read: &Event) -> String {
        let about = |other: &Object| other.repository() == read.object.repository();
        let mut around: Vec<&Event> = self
            .by_object
            .iter()
            .filter(|(object, _)| about(object))
            .flat_map(|(_, events)| events.iter().copied())
            .filter(|event| event.start < read.end && !matches!(event.deed, Deed::Read(_)))
            .collect();
        around.sort_by_key(|event| event.start);
        let first = around.len().saturating_sub(40);
        let around: Vec<String> = around
            .iter()
            .skip(first)
            .map(|event| format!("    {event:?}"))
            .collect();
        format!("{read:?} after\n{}", around.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Object = Object::Tag(0, 0);
    const MANIFEST: Object = Object::Manifest(0, 1);

    fn event(object: Object, deed: Deed, start: u64, end: u64) -> Event {
        Event {
            object,
            deed,
            start,
            end,
            is_certain: true,
        }
    }

    fn is_explained(events: &[Event]) -> bool {
        violations(events).is_empty()
    }

    #[test]
    fn the_last_put_is_read_and_an_older_one_is_not() {
        let (first, second) = (Deed::Put(1), Deed::Put(2));
        let history = |seen| {
            vec![
                event(TAG, first, 0, 1),
                event(TAG, second, 2, 3),
                event(TAG, Deed::Read(seen), 4, 5),
            ]
        };
        assert!(is_explained(&history(Some(2))));
        assert!(!is_explained(&history(Some(1))));
        assert!(!is_explained(&history(Some(3))));
        assert!(!is_explained(&history(None)));
    }

    #[test]
    fn events_at_the_same_time_have_any_order() {
        for seen in [Some(1), Some(2)] {
            assert!(is_explained(&[
                event(TAG, Deed::Put(1), 0, 10),
                event(TAG, Deed::Put(2), 5, 12),
                event(TAG, Deed::Read(seen), 13, 14),
            ]));
        }
    }

    #[test]
    fn an_unanswered_put_may_have_happened_or_not() {
        let unanswered = Event {
            is_certain: false,
            ..event(TAG, Deed::Put(1), 0, 1)
        };
        for seen in [None, Some(1)] {
            assert!(is_explained(&[
                unanswered,
                event(TAG, Deed::Read(seen), 2, 3)
            ]));
        }
    }

    #[test]
    fn a_tag_goes_with_its_manifest() {
        let history = |seen| {
            vec![
                event(MANIFEST, Deed::Put(1), 0, 1),
                event(TAG, Deed::Put(1), 0, 1),
                event(MANIFEST, Deed::Delete, 2, 3),
                event(TAG, Deed::Read(seen), 4, 5),
            ]
        };
        assert!(is_explained(&history(None)));
        assert!(!is_explained(&history(Some(1))));
    }

    #[test]
    fn a_blob_of_a_living_manifest_is_there() {
        let blob = blobs_of(1)[0];
        let read = event(Object::Blob(0, blob), Deed::Read(None), 4, 5);
        let put = event(MANIFEST, Deed::Put(1), 0, 1);
        assert!(!is_explained(&[put, read]));
        assert!(is_explained(&[read]));
        assert!(is_explained(&[
            put,
            event(MANIFEST, Deed::Delete, 2, 6),
            read
        ]));
    }
}
