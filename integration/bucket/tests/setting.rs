// SPDX-License-Identifier: Apache-2.0
//! A server and a client of it.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bucket::{Options, Server};

/// A server with `options`.
pub(crate) fn server(options: Options) -> Server {
    Server::start(options).unwrap()
}

/// A client that tries once and sends checksums after bodies, as the SDK does by default.
pub(crate) fn client(server: &Server) -> Client {
    client_with_secret(server, server.secret_key())
}

pub(crate) fn client_with_secret(server: &Server, secret: &str) -> Client {
    let keys = Credentials::new(server.access_key(), secret, None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(server.region()))
        .endpoint_url(server.endpoint())
        .force_path_style(true)
        .credentials_provider(keys)
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::from_conf(config.build())
}

/// The status and code of an answer; 0 if there was none.
pub(crate) fn refusal<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> (u16, String) {
    let Err(error) = result else {
        return (200, String::new());
    };
    let status = error
        .raw_response()
        .map_or(0, |answer| answer.status().as_u16());
    (status, error.code().unwrap_or_default().to_owned())
}

/// Bytes that differ everywhere.
pub(crate) fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(31) >> 3).to_le_bytes()[0] ^ seed)
        .collect()
}

/// Writes `body` without a condition.
pub(crate) async fn put(client: &Client, server: &Server, key: &str, body: &[u8]) -> String {
    let put = client.put_object().bucket(server.name()).key(key);
    let answer = put.body(body.to_vec().into()).send().await.unwrap();
    answer.e_tag.unwrap()
}
