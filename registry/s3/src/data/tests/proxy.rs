// SPDX-License-Identifier: Apache-2.0
//! A proxy that breaks connections: a request arrives and its answer is lost, or is cut short.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One fault: it happens once, to the first request whose head has all of `head`.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) head: &'static [&'static str],
    /// How many bytes of the answer come through.
    pub(super) answer_bytes: usize,
}

/// A running proxy; it stops when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) endpoint: String,
    faults: Arc<Mutex<Vec<Fault>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts one in front of `endpoint`.
    pub(super) async fn start(endpoint: &str, faults: Vec<Fault>) -> Self {
        let target = endpoint.strip_prefix("http://").unwrap();
        let target = target.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Mutex::new(faults));
        let mut tasks = JoinSet::new();
        let plan = Arc::clone(&faults);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                connections.spawn(carry(client, server, Arc::clone(&plan)));
            }
        });
        Self {
            endpoint: format!("http://{address}"),
            faults,
            _tasks: tasks,
        }
    }

    /// How many faults are still to come.
    pub(super) fn left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }
}

/// Carries bytes both ways until either end closes, or a fault says so.
async fn carry(mut client: TcpStream, mut server: TcpStream, plan: Arc<Mutex<Vec<Fault>>>) {
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut left: Option<usize> = None;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                if left.is_none() {
                    left = due(&asked[..count], &plan);
                }
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                let pass = left.map_or(count, |left| left.min(count));
                if client.write_all(&answered[..pass]).await.is_err() { return }
                if let Some(left) = &mut left {
                    *left -= pass;
                    if *left == 0 { return }
                }
            }
        }
    }
}

fn due(asked: &[u8], plan: &Mutex<Vec<Fault>>) -> Option<usize> {
    let text = String::from_utf8_lossy(&asked[..asked.len().min(4096)]).into_owned();
    let mut plan = plan.lock().unwrap();
    let is_due = |fault: &Fault| fault.head.iter().all(|part| text.contains(part));
    let at = plan.iter().position(is_due)?;
    Some(plan.remove(at).answer_bytes)
}
