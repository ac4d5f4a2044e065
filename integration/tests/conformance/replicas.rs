// SPDX-License-Identifier: Apache-2.0
//! Replicas on one bucket, behind a balancer that gives each connection to the next.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use integration::{KilnRegistry, TestEnv};

/// A bucket, its registries, and the balancer before them.
#[derive(Debug)]
pub(super) struct Replicas {
    address: String,
    stop: Arc<AtomicBool>,
    balancer: Option<JoinHandle<()>>,
    // After the balancer: it leads to them.
    _registries: Vec<KilnRegistry>,
    _bucket: bucket::Server,
}

impl Replicas {
    pub(super) fn start(env: &TestEnv, count: usize) -> Self {
        let bucket = bucket::Server::start(bucket::Options::default());
        let bucket = bucket.expect("the system has free ports");
        let config = env.write("bucket.toml", config(&bucket));
        let start = |_| env.registry_configured(&config);
        let registries: Vec<KilnRegistry> = (0..count).map(start).collect();
        let backends: Vec<String> = registries.iter().map(|r| r.address().to_owned()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("the system has free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let balancer = thread::spawn(move || balance(&listener, &backends, &stopped));
        Self {
            address,
            stop,
            balancer: Some(balancer),
            _registries: registries,
            _bucket: bucket,
        }
    }

    /// Returns the balancer's address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The balancer looks at the flag after each connection.
        drop(TcpStream::connect(&self.address));
        if let Some(balancer) = self.balancer.take() {
            drop(balancer.join());
        }
    }
}

/// Returns the configuration of a registry in `bucket`.
fn config(bucket: &bucket::Server) -> String {
    format!(
        "[storage.s3]\nbucket = {:?}\nendpoint = {:?}\nregion = {:?}\npath_style = true\n\
         access_key_id = {:?}\nsecret_access_key = {:?}\n",
        bucket.name(),
        bucket.endpoint(),
        bucket.region(),
        bucket.access_key(),
        bucket.secret_key(),
    )
}

fn balance(listener: &TcpListener, backends: &[String], stop: &AtomicBool) {
    for (client, backend) in listener.incoming().zip(backends.iter().cycle()) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let server = TcpStream::connect(backend).expect("a replica listens");
        let client = client.expect("a client that connected");
        let ends = (client.try_clone(), server.try_clone());
        let (Ok(from), Ok(to)) = ends else {
            panic!("no more descriptors");
        };
        thread::spawn(move || pump(client, server));
        thread::spawn(move || pump(to, from));
    }
}

/// Passes on what comes; either side may end first.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}
