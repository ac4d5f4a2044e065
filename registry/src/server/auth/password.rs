// SPDX-License-Identifier: Apache-2.0
//! Checks of passwords: slow on purpose, so bounded, remembered for a while, and delayed when wrong.
//!
//! A check runs on the blocking pool, as many at once as there are cores. One that succeeds is
//! remembered for a minute under a hash with a key of this process: a client that sends its password
//! with each request waits for one check a minute. A name that is not in the file costs a check as
//! well, of somebody else's hash.
//!
//! The answer to a wrong password waits, longer each time, and while too many wait for the same
//! source, it gets no further try. Waiting goes on if the client hangs up, and so does the check.
//! Nothing is counted by name: a name that is tried by strangers still belongs to its user.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::htpasswd::{PasswordHash, Users};
use crate::storage::store::random;

/// How long a success is remembered.
const REMEMBERED: Duration = Duration::from_mins(1);
/// How many successes are remembered.
const REMEMBERED_MAX: usize = 4096;
/// How long a check waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(10);
/// How many answers to one source may wait at once.
const WAITING_MAX: usize = 8;
/// How often the delay doubles.
const DOUBLINGS_MAX: u32 = 4;
/// How long a source's failures count.
const COUNTED: Duration = Duration::from_mins(15);
/// How many sources are counted.
const SOURCES_MAX: usize = 4096;
/// The longest password that is looked at.
const PASSWORD_MAX_BYTES: usize = 4096;

/// A password on its way to be checked.
#[derive(Clone)]
pub(super) struct Password(String);

impl Password {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is the password.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// Nothing was checked; the next try makes sense after so long.
    Busy(Duration),
}

/// Checks passwords.
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    key: hmac::Key,
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    failures: Mutex<HashMap<IpAddr, Failures>>,
    delay: Duration,
}

/// What one source got wrong.
struct Failures {
    count: u32,
    last: Instant,
    /// Until when answers wait.
    waiting: Vec<Instant>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// Returns a checker whose first delay is `delay`.
    pub(super) fn new(delay: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Arc::new(Semaphore::new(cores)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()),
            remembered: Mutex::default(),
            failures: Mutex::default(),
            delay,
        }
    }

    /// Checks the password of `name`, which came from `source`.
    ///
    /// # Cancellation
    ///
    /// A check that has begun ends, and counts.
    pub(super) async fn check(
        self: &Arc<Self>,
        users: &Arc<Users>,
        (name, password): (&str, Password),
        source: IpAddr,
    ) -> Checked {
        let source = counted_as(source);
        let hash = users.get(name);
        let proof = self.proof(name, &password, hash);
        if hash.is_some() && self.remembers(&proof) {
            return Checked::Right;
        }
        if let Some(busy) = self.is_busy(source) {
            return Checked::Busy(busy);
        }
        let turn = Arc::clone(&self.turns).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(TURN_MAX, turn).await else {
            return Checked::Busy(TURN_MAX);
        };
        // Others may have made the same check meanwhile, or too many wrong ones.
        if hash.is_some() && self.remembers(&proof) {
            return Checked::Right;
        }
        if let Some(busy) = self.is_busy(source) {
            return Checked::Busy(busy);
        }
        let work = Work {
            hash: hash.cloned(),
            // Whose hash stands in depends on the name, so that a name always costs the same.
            stand_in: users
                .any(usize::from(u16::from_be_bytes([proof[0], proof[1]])))
                .cloned(),
            password,
            proof,
            source,
        };
        let passwords = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let until = passwords.work(&work);
            drop(turn);
            until
        });
        match task.await {
            Ok(None) => Checked::Right,
            Ok(Some(until)) => {
                tokio::time::sleep_until(until).await;
                Checked::Wrong
            }
            Err(_) => Checked::Wrong,
        }
    }

    /// Checks; returns until when the answer waits if the password is wrong.
    fn work(&self, work: &Work) -> Option<Instant> {
        let fits = work.password.0.len() <= PASSWORD_MAX_BYTES;
        let hash = work.hash.as_ref().or(work.stand_in.as_ref());
        let same = fits && hash.is_some_and(|hash| hash.is_of(&work.password.0));
        if same && work.hash.is_some() {
            self.remember(work.proof);
            return None;
        }
        Some(self.fail(work.source))
    }

    /// Returns what a success is remembered under; other passwords, names and hashes give others.
    fn proof(&self, name: &str, password: &Password, hash: Option<&PasswordHash>) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name, hash.map_or("", PasswordHash::as_str), &password.0] {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut proof = [0; 32];
        proof.copy_from_slice(context.sign().as_ref());
        proof
    }

    fn remembers(&self, proof: &[u8; 32]) -> bool {
        let remembered = self
            .remembered
            .lock()
            .expect("no code panics under this lock");
        remembered
            .get(proof)
            .is_some_and(|until| *until > Instant::now())
    }

    fn remember(&self, proof: [u8; 32]) {
        let now = Instant::now();
        let mut remembered = self
            .remembered
            .lock()
            .expect("no code panics under this lock");
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, until| *until > now);
        }
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(proof, now + REMEMBERED);
    }

    /// Returns how long `source` has to wait for its next try, if it has.
    fn is_busy(&self, source: IpAddr) -> Option<Duration> {
        let now = Instant::now();
        let mut failures = self
            .failures
            .lock()
            .expect("no code panics under this lock");
        let own = failures.get_mut(&source)?;
        own.waiting.retain(|until| *until > now);
        let first = own.waiting.iter().min()?;
        (own.waiting.len() >= WAITING_MAX).then(|| *first - now)
    }

    /// Counts a failure; returns until when its answer waits.
    fn fail(&self, source: IpAddr) -> Instant {
        let now = Instant::now();
        let mut failures = self
            .failures
            .lock()
            .expect("no code panics under this lock");
        if failures.len() >= SOURCES_MAX && !failures.contains_key(&source) {
            failures.retain(|_, own| own.last + COUNTED > now);
            if failures.len() >= SOURCES_MAX {
                failures.clear();
            }
        }
        let own = failures.entry(source).or_insert(Failures {
            count: 0,
            last: now,
            waiting: Vec::new(),
        });
        if own.last + COUNTED < now {
            own.count = 0;
        }
        let until = now + self.delay * (1 << own.count.min(DOUBLINGS_MAX));
        own.count = own.count.saturating_add(1);
        own.last = now;
        own.waiting.push(until);
        until
    }
}

/// One check.
struct Work {
    hash: Option<PasswordHash>,
    stand_in: Option<PasswordHash>,
    password: Password,
    proof: [u8; 32],
    source: IpAddr,
}

/// Returns the address that failures of `source` count for: who has IPv6 has a whole network.
fn counted_as(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn users(password: &str) -> Arc<Users> {
        let hash = bcrypt::hash(password, 4).unwrap();
        Arc::new(Users::parse(&format!("amy:{hash}"), Path::new("users")).unwrap())
    }

    async fn check(
        passwords: &Arc<Passwords>,
        users: &Arc<Users>,
        name: &str,
        text: &str,
    ) -> Checked {
        let password = Password::new(text.into());
        passwords.check(users, (name, password), HERE).await
    }

    #[tokio::test]
    async fn right_wrong_and_unknown() {
        let passwords = Arc::new(Passwords::new(Duration::ZERO));
        let users = users("secret");
        let long = "x".repeat(PASSWORD_MAX_BYTES + 1);
        for (name, text, expected) in [
            ("amy", "secret", Checked::Right),
            ("amy", "secret", Checked::Right),
            ("amy", "Secret", Checked::Wrong),
            ("amy", "", Checked::Wrong),
            ("amy", &*long, Checked::Wrong),
            ("bob", "secret", Checked::Wrong),
            ("", "secret", Checked::Wrong),
        ] {
            let checked = check(&passwords, &users, name, text).await;
            assert_eq!(checked, expected, "{name} {text}");
        }
    }

    #[tokio::test]
    async fn what_is_remembered_goes_with_the_hash() {
        let passwords = Arc::new(Passwords::new(Duration::ZERO));
        let (old, new) = (users("old"), users("new"));
        assert_eq!(check(&passwords, &old, "amy", "old").await, Checked::Right);
        assert_eq!(passwords.remembered.lock().unwrap().len(), 1);
        assert_eq!(check(&passwords, &new, "amy", "old").await, Checked::Wrong);
        assert_eq!(check(&passwords, &new, "amy", "new").await, Checked::Right);
        let nobody = Arc::new(Users::default());
        assert_eq!(
            check(&passwords, &nobody, "amy", "new").await,
            Checked::Wrong
        );
    }

    #[tokio::test]
    async fn wrong_answers_wait_longer_each_time() {
        let passwords = Arc::new(Passwords::new(Duration::from_secs(1)));
        for seconds in [1, 2, 4, 8, 16, 16] {
            let wait = passwords.fail(HERE) - Instant::now();
            assert_eq!(wait.as_secs() + 1, seconds, "{wait:?}");
        }
        let users = users("secret");
        let checked = check(&passwords, &users, "amy", "secret").await;
        assert_eq!(checked, Checked::Right, "what is right does not wait");

        let delay = Duration::from_millis(30);
        let passwords = Arc::new(Passwords::new(delay));
        let start = Instant::now();
        let checked = check(&passwords, &users, "amy", "x").await;
        assert_eq!(checked, Checked::Wrong);
        assert!(start.elapsed() >= delay, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn while_too_many_answers_wait_nothing_is_checked() {
        let passwords = Arc::new(Passwords::new(Duration::from_mins(1)));
        let users = users("secret");
        for _ in 0..WAITING_MAX {
            passwords.fail(HERE);
        }
        for text in ["x", "secret"] {
            let checked = check(&passwords, &users, "amy", text).await;
            assert!(matches!(checked, Checked::Busy(_)), "{text}: {checked:?}");
        }
        let elsewhere = IpAddr::V4(7.into());
        let password = Password::new("secret".into());
        let checked = passwords.check(&users, ("amy", password), elsewhere).await;
        assert_eq!(checked, Checked::Right, "others are not held up");
    }

    #[test]
    fn sources_are_addresses_of_ipv4_and_networks_of_ipv6() {
        for (source, counted) in [
            ("10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let counted: IpAddr = counted.parse().unwrap();
            assert_eq!(counted_as(source.parse().unwrap()), counted, "{source}");
        }
    }

    #[test]
    fn sources_are_bounded() {
        let passwords = Passwords::new(Duration::ZERO);
        for number in 0..u32::try_from(SOURCES_MAX).unwrap() + 10 {
            passwords.fail(IpAddr::V4(number.into()));
        }
        assert!(passwords.failures.lock().unwrap().len() <= SOURCES_MAX);
    }
}
