// SPDX-License-Identifier: Apache-2.0
//! Whether what is there at the end can have come of a history.
//!
//! A tag is a register: its last value must be one that some request wrote and no acknowledged
//! request replaced afterwards. A manifest that was acknowledged is there unless a delete may have
//! come later. Requests that failed may have happened at any time after they began, or never.

use oci::Digest;

use crate::history::{Action, Event, Outcome};

/// Whether `tag` of `repository` may be at `found` in the end.
pub(crate) fn tag_is_explained(
    events: &[Event],
    repository: &str,
    tag: &str,
    found: Option<&Digest>,
) -> bool {
    let events: Vec<&Event> = of(events, repository).collect();
    let writes = |event: &Event| match &event.action {
        Action::Push {
            tag: pushed,
            digest,
        } => pushed == tag && Some(digest) == found,
        Action::Untag { tag: taken } => taken == tag && found.is_none(),
        Action::Delete { .. } => found.is_none(),
    };
    let replaces = |event: &Event| match &event.action {
        Action::Push { tag: pushed, .. } => pushed == tag,
        Action::Untag { tag: taken } => taken == tag,
        Action::Delete { digest } => Some(digest) == found,
    };
    let acknowledged = |event: &&&Event| event.outcome == Outcome::Done && replaces(event);
    let is_replaced = |write: &Event| {
        let mut later = events.iter().filter(acknowledged);
        later.any(|event| write.precedes(event))
    };
    let is_untouched = found.is_none() && !events.iter().any(|event| acknowledged(&event));
    is_untouched
        || events
            .iter()
            .any(|event| writes(event) && !is_replaced(event))
}

/// Whether the manifest `digest` must be in `repository` in the end.
pub(crate) fn manifest_must_be_there(events: &[Event], repository: &str, digest: &Digest) -> bool {
    let is_push = |event: &&Event| matches!(&event.action, Action::Push { digest: pushed, .. } if pushed == digest);
    let is_delete =
        |event: &&Event| matches!(&event.action, Action::Delete { digest: gone } if gone == digest);
    let deletes: Vec<&Event> = of(events, repository).filter(is_delete).collect();
    let survives = |push: &Event| deletes.iter().all(|delete| delete.precedes(push));
    of(events, repository)
        .filter(is_push)
        .any(|push| push.outcome == Outcome::Done && survives(push))
}

/// Whether the manifest `digest` may be in `repository` in the end.
pub(crate) fn manifest_may_be_there(events: &[Event], repository: &str, digest: &Digest) -> bool {
    let is_push = |event: &&Event| matches!(&event.action, Action::Push { digest: pushed, .. } if pushed == digest);
    let is_delete =
        |event: &&Event| matches!(&event.action, Action::Delete { digest: gone } if gone == digest);
    let gone = |push: &Event| {
        let mut deletes = of(events, repository).filter(is_delete);
        deletes.any(|delete| delete.outcome == Outcome::Done && push.precedes(delete))
    };
    of(events, repository)
        .filter(is_push)
        .any(|push| !gone(push))
}

fn of<'a>(events: &'a [Event], repository: &'a str) -> impl Iterator<Item = &'a Event> {
    events
        .iter()
        .filter(move |event| event.repository == repository)
}

fn digest(text: &str) -> Digest {
    oci::sha256(text.as_bytes())
}

fn event(action: Action, outcome: Outcome, began: u64, ended: u64) -> Event {
    let repository = "r".to_owned();
    Event {
        repository,
        action,
        outcome,
        began,
        ended,
    }
}

fn push(of: &str, outcome: Outcome, began: u64, ended: u64) -> Event {
    let tag = "t".to_owned();
    let action = Action::Push {
        tag,
        digest: digest(of),
    };
    event(action, outcome, began, ended)
}

fn delete(of: &str, outcome: Outcome, began: u64, ended: u64) -> Event {
    event(Action::Delete { digest: digest(of) }, outcome, began, ended)
}

#[test]
fn the_checker_knows_which_values_a_tag_may_have() {
    use Outcome::{Done, Unknown};
    let a = push("a", Done, 1, 2);
    let b = push("b", Done, 3, 4);
    let failed = push("a", Unknown, 1, 2);
    let slow = push("a", Done, 1, 4);
    let gone = delete("a", Done, 3, 4);
    let untag = |began, ended| event(Action::Untag { tag: "t".into() }, Done, began, ended);
    let at = Some("a");
    for (what, events, found, expected) in [
        ("never written", vec![], None, true),
        ("written by nobody", vec![], at, false),
        ("acknowledged", vec![&a], at, true),
        ("acknowledged and lost", vec![&a], None, false),
        ("failed and absent", vec![&failed], None, true),
        ("failed and there", vec![&failed], at, true),
        ("older", vec![&a, &b], at, false),
        ("concurrent", vec![&slow, &b], at, true),
        ("failed, and comes late", vec![&failed, &b], at, true),
        ("taken away", vec![&a, &untag(3, 4)], None, true),
        ("taken away and there", vec![&a, &untag(3, 4)], at, false),
        ("pushed again and lost", vec![&untag(0, 0), &a], None, false),
        ("gone with its manifest", vec![&a, &gone], None, true),
        ("manifest gone, tag there", vec![&a, &gone], at, false),
    ] {
        let events: Vec<Event> = events.into_iter().cloned().collect();
        let found = found.map(digest);
        let is_explained = tag_is_explained(&events, "r", "t", found.as_ref());
        assert_eq!(is_explained, expected, "{what}");
    }
}

#[test]
fn the_checker_knows_which_manifests_must_be_there() {
    use Outcome::{Done, Unknown};
    for (what, events, must, may) in [
        ("nothing", vec![], false, false),
        ("acknowledged", vec![push("a", Done, 1, 2)], true, true),
        ("failed", vec![push("a", Unknown, 1, 2)], false, true),
        (
            "deleted",
            vec![push("a", Done, 1, 2), delete("a", Done, 3, 4)],
            false,
            false,
        ),
        (
            "delete failed",
            vec![push("a", Done, 1, 2), delete("a", Unknown, 3, 4)],
            false,
            true,
        ),
        (
            "pushed again",
            vec![delete("a", Done, 1, 2), push("a", Done, 3, 4)],
            true,
            true,
        ),
        (
            "at the same time",
            vec![push("a", Done, 1, 3), delete("a", Done, 2, 4)],
            false,
            true,
        ),
    ] {
        let must_be = manifest_must_be_there(&events, "r", &digest("a"));
        let may_be = manifest_may_be_there(&events, "r", &digest("a"));
        assert_eq!((must_be, may_be), (must, may), "{what}");
    }
}
