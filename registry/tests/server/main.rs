// SPDX-License-Identifier: Apache-2.0
//! The server as a client sees it: over TCP, against a directory of its own, with an HTTP client
//! that sends exactly what a test says.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod auth_leaks;
#[cfg(test)]
mod auth_peer;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod data_sets;
#[cfg(test)]
mod full;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod input;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod uploads;
