// SPDX-License-Identifier: Apache-2.0
//! The agent protocol: messages with a length before them, and the fields in them.
//!
//! Spec: draft-miller-ssh-agent §3, §5; RFC 4251 §5 for `string` and `mpint`.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest message. Docs: OpenSSH's `AGENT_MAX_LEN`.
pub(super) const MESSAGE_MAX_BYTES: usize = 256 << 10;

/// The agent refuses, or does not know the request.
pub(super) const FAILURE: u8 = 5;
/// Which keys are there?
pub(super) const REQUEST_IDENTITIES: u8 = 11;
/// The keys.
pub(super) const IDENTITIES_ANSWER: u8 = 12;
/// Sign this.
pub(super) const SIGN_REQUEST: u8 = 13;
/// The signature.
pub(super) const SIGN_RESPONSE: u8 = 14;

/// Reads one message without its length; none at the end of the stream, and for one that is empty
/// or too long, after which there is no way to go on.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = usize::try_from(stream.read_u32().await.ok()?).ok()?;
    if length == 0 || length > MESSAGE_MAX_BYTES {
        return None;
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

/// Writes one message; none if the other side is gone.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Option<()> {
    let length = u32::try_from(message.len()).ok()?;
    stream.write_all(&length.to_be_bytes()).await.ok()?;
    stream.write_all(message).await.ok()
}

/// Appends a number of four bytes.
pub(super) fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends bytes with their length.
///
/// # Panics
///
/// If there are 4 GiB of them; nothing here is longer than a message.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(
        out,
        u32::try_from(bytes.len()).expect("shorter than a message"),
    );
    out.extend_from_slice(bytes);
}

/// Appends a number of any size that is not negative, given as big-endian bytes.
pub(super) fn put_mpint(out: &mut Vec<u8>, number: &[u8]) {
    let number = without_zeros(number);
    let sign = usize::from(number.first().is_some_and(|first| first & 0x80 != 0));
    let mut bytes = vec![0; sign];
    bytes.extend_from_slice(number);
    put_string(out, &bytes);
}

/// Returns the number without leading zero bytes.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Fields that are taken off the front one by one.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Fields<'b> {
    /// Takes one byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// Takes a number of four bytes.
    pub(super) fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    /// Takes bytes that have their length before them.
    pub(super) fn string(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Takes a number of any size, without the zeros before it.
    pub(super) fn mpint(&mut self) -> Option<&'b [u8]> {
        self.string().map(without_zeros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_have_a_sign_byte_where_needed() {
        // Spec: RFC 4251 §5, examples of mpint.
        for (number, bytes) in [
            (&[0][..], &[0, 0, 0, 0][..]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
            (&[0, 0, 0x12, 0x34], &[0, 0, 0, 2, 0x12, 0x34]),
        ] {
            let mut out = Vec::new();
            put_mpint(&mut out, number);
            assert_eq!(out, bytes, "{number:?}");
            assert_eq!(Fields(&out).mpint(), Some(without_zeros(number)));
        }
    }

    #[test]
    fn fields_that_are_cut_off_are_none() {
        let mut out = Vec::new();
        put_string(&mut out, b"abc");
        for length in 0..out.len() {
            assert_eq!(Fields(&out[..length]).string(), None, "{length}");
        }
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_ends_the_conversation() {
        let too_long = u32::try_from(MESSAGE_MAX_BYTES + 1).unwrap().to_be_bytes();
        let mut stream = &too_long[..];
        assert_eq!(read(&mut stream).await, None);
        assert_eq!(read(&mut &[0, 0, 0, 0][..]).await, None);
        assert_eq!(read(&mut &[0, 0, 0, 2, 7][..]).await, None, "cut off");
        assert_eq!(read(&mut &[0, 0, 0, 1, 7][..]).await, Some(vec![7]));
    }
}
