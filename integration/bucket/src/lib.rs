// SPDX-License-Identifier: Apache-2.0
//! An S3 server for tests: real HTTP and signatures, atomic conditions, and faults on demand.
