// SPDX-License-Identifier: Apache-2.0
//! `kiln registry serve`.

use std::sync::Arc;

use registry::server::{self, Config, GcSchedule, Reporter, ServeError};
use registry::storage::{Clock, disk};
use tokio::net::TcpListener;

use super::registry_gc::policy;
use crate::args::registry::ServeArgs;
use crate::environment;
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(args: &ServeArgs, session: &Session) -> Result<(), Failure> {
    let storage = args
        .storage
        .clone()
        .unwrap_or_else(|| session.root().join("registry"));
    let clock = Clock(environment::now);
    let opened = disk::open(&storage, clock).map_err(ServeError::from)?;
    let mut config = Config::new(opened, clock);
    config.report = Reporter(Arc::new(|error| {
        report::remark(&Failure::from_error(Exit::Store, error).render(false));
    }));
    if !args.gc_every.is_zero() {
        config.gc = Some(GcSchedule {
            every: args.gc_every,
            policy: policy(&args.policy),
        });
    }
    if !args.addr.ip().is_loopback() {
        report::remark(
            "warning: everybody who reaches this address can read and write all images\n",
        );
    }
    session::block_on(|cancel| async move {
        let listener = TcpListener::bind(args.addr).await.map_err(|error| {
            let message = format!("cannot listen on {}", args.addr);
            Failure::new(Exit::Network, message).because(Some(&error))
        })?;
        let address = listener.local_addr().unwrap_or(args.addr);
        let shown = storage.display();
        report::print(&format!(
            "registry on http://{address}, content in {shown}\n"
        ))?;
        server::serve(config, listener, cancel.cancelled_owned()).await?;
        Ok(())
    })
}
