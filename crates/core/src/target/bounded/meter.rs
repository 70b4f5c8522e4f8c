//! Follows the messages in a stream of bytes: a type byte, a length that counts itself, a body.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::{Limits, Observed, ProtocolAbuse};

const HEADER_BYTES: usize = 5;
/// The length field counts itself.
const LENGTH_BYTES: u32 = 4;

const AUTHENTICATION: u8 = b'R';
const BACKEND_KEY_DATA: u8 = b'K';
const PARAMETER_STATUS: u8 = b'S';
const READY_FOR_QUERY: u8 = b'Z';

/// Bytes of a body that are looked at. A setting with a longer name does not exist.
const LOOKED_AT: usize = 64;

#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    body_left: u64,
    body_start: Vec<u8>,
    logged_in: bool,
    answer_bytes: u64,
    parameters: HashSet<Vec<u8>>,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            header: [0; HEADER_BYTES],
            header_filled: 0,
            body_left: 0,
            body_start: Vec::with_capacity(LOOKED_AT),
            logged_in: false,
            answer_bytes: 0,
            parameters: HashSet::new(),
        }
    }

    /// Follows `bytes`; the cut between two calls may be anywhere.
    pub(super) fn feed(&mut self, mut bytes: &[u8], observed: &Observed) -> Result<(), ProtocolAbuse> {
        observed.bytes_read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        while !bytes.is_empty() {
            if self.header_filled < HEADER_BYTES {
                bytes = self.fill_header(bytes);
                if self.header_filled == HEADER_BYTES {
                    self.begin_body()?;
                }
            } else {
                bytes = self.skip_body(bytes);
            }
            if self.header_filled == HEADER_BYTES && self.body_left == 0 {
                self.end_message(observed)?;
            }
        }
        Ok(())
    }

    fn fill_header<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let take = bytes.len().min(HEADER_BYTES - self.header_filled);
        self.header[self.header_filled..self.header_filled + take].copy_from_slice(&bytes[..take]);
        self.header_filled += take;
        &bytes[take..]
    }

    /// The header is complete: the length is known before a byte of the body is kept by anybody.
    fn begin_body(&mut self) -> Result<(), ProtocolAbuse> {
        let [_, length @ ..] = self.header;
        let length = u32::from_be_bytes(length);
        let body = length.checked_sub(LENGTH_BYTES).ok_or(ProtocolAbuse::NotTheProtocol)?;
        if u64::from(length) > self.limits.message_bytes {
            return Err(ProtocolAbuse::Message { max: self.limits.message_bytes });
        }
        self.answer_bytes += u64::from(length) + 1;
        if !self.logged_in && self.answer_bytes > self.limits.startup_bytes {
            return Err(ProtocolAbuse::Startup { max: self.limits.startup_bytes });
        }
        if self.answer_bytes > self.limits.answer_bytes {
            return Err(ProtocolAbuse::Answer { max: self.limits.answer_bytes });
        }
        self.body_left = u64::from(body);
        self.body_start.clear();
        Ok(())
    }

    fn skip_body<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let take = usize::try_from(self.body_left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let look = take.min(LOOKED_AT - self.body_start.len());
        self.body_start.extend_from_slice(&bytes[..look]);
        self.body_left -= take as u64;
        &bytes[take..]
    }

    fn end_message(&mut self, observed: &Observed) -> Result<(), ProtocolAbuse> {
        self.header_filled = 0;
        match self.header[0] {
            READY_FOR_QUERY => {
                self.logged_in = true;
                self.answer_bytes = 0;
            }
            BACKEND_KEY_DATA if !self.logged_in => {
                observed.backend_pid.store(self.first_number()?, Ordering::Relaxed);
            }
            AUTHENTICATION => match self.first_number()? {
                // Done, or a further step of the method that was asked for.
                0 | 8 | 11 | 12 => {}
                method => observed.login_method.store(method, Ordering::Relaxed),
            },
            PARAMETER_STATUS => self.note_parameter()?,
            _ => {}
        }
        Ok(())
    }

    fn first_number(&self) -> Result<i32, ProtocolAbuse> {
        let number = self.body_start.first_chunk().ok_or(ProtocolAbuse::NotTheProtocol)?;
        Ok(i32::from_be_bytes(*number))
    }

    fn note_parameter(&mut self) -> Result<(), ProtocolAbuse> {
        let end = self.body_start.iter().position(|b| *b == 0).ok_or(ProtocolAbuse::NotTheProtocol)?;
        let name = &self.body_start[..end];
        if !self.parameters.contains(name) {
            if self.parameters.len() >= self.limits.parameters {
                return Err(ProtocolAbuse::Parameters { max: self.limits.parameters });
            }
            self.parameters.insert(name.to_vec());
        }
        Ok(())
    }
}
