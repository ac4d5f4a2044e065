// SPDX-License-Identifier: Apache-2.0
//! The whole suite in one program: linking it once is quicker than linking nine.
//!
//! | Module | Shows |
//! |---|---|
//! | `transcripts` | what a person sees, typed and printed, as documentation that is run |
//! | `interop` | skopeo, docker, buildah and umoci read what we write, and we what they write |
//! | `agents` | `RUN --mount=type=ssh`, with OpenSSH's own programs |
//! | `bad_input` | a clear error, nothing half-written, and a next command that works |
//! | `conformance` | the registry against the distribution-spec, in six configurations |
//! | `contexts` | what a build reads besides images: named, remote and local contexts, downloads, times |
//! | `determinism` | the same input gives the same digest, anywhere |
//! | `dockerfile_table` | `docs/dockerfile.md` has a row with tests for everything the frontend knows |
//! | `git` | repositories as sources of ADD: what comes in, what does not, and what failures say |
//! | `faults` | `kill -9` at any moment loses nothing that was acknowledged |
//! | `history` | what clients of a registry are answered has an order of events behind it, through collection and kills |
//! | `platforms` | indexes, cross-builds, steps for other processors |
//! | `privileged` | what RUN steps may and may not do, as root and as an ordinary user |
//! | `registry_clients` | skopeo, buildah, podman, docker and kiln at our registry, with and without login and TLS |
//! | `repair` | a registry is scrubbed, rebuilt, and imported from distribution |
//! | `rules_of_cache` | what finds a recorded step, by the same numbers |
//! | `rules_of_run` | RUN rule by rule, by the numbers of `docs/dockerfile.md` |
//! | `tutorials` | Dockerfiles as tutorials show them, unchanged, on Debian base images |
//! | `corpus` | kiln answers Dockerfiles as BuildKit does |
//! | `tidy` | the rules of the source tree itself |

#[cfg(test)]
mod agents;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod contexts;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod determinism;
#[cfg(test)]
mod dockerfile_table;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod git;
#[cfg(test)]
mod history;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod platforms;
#[cfg(test)]
mod privileged;
#[cfg(test)]
mod registry_clients;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod rules_of_cache;
#[cfg(test)]
mod rules_of_run;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod tutorials;
