//! API keys. Only their SHA-256 is ever stored.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::Scope;
use crate::model::Timestamp;

/// SHA-256 of a key.
pub type Hash = [u8; 32];

/// Prefix of generated keys. Keys of the settings are chosen by whoever writes the settings.
pub const PREFIX: &str = "qr_";

/// A key and its permissions.
#[derive(Debug)]
pub struct Key {
    /// Its name: in the settings, or in the database.
    pub name: String,
    /// Its hash.
    pub hash: Hash,
    /// Id in the database; `None` for keys of the settings.
    pub id: Option<Uuid>,
    /// Permissions.
    pub scopes: Vec<Scope>,
    /// Organisations it may see; `None` for all.
    pub organizations: Option<Vec<String>>,
    /// End of its validity; `None` for none.
    pub expires_at: Option<Timestamp>,
    /// Whether its secret is derived ([`hmac::secret`](super::hmac::secret)) and may sign requests.
    pub is_hmac: bool,
}

/// Generates a key of 256 random bits. Fails if the operating system provides none.
pub fn generate() -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    let digits: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{PREFIX}{digits}"))
}

/// Hashes a key.
pub fn hash(key: &str) -> Hash {
    Sha256::digest(key).into()
}

/// Decodes 64 hex digits.
pub fn parse_hash(hex: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_are_parsed_as_a_hash() {
        let hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(parse_hash(hex), Some(hash("hello")));
        assert_eq!(parse_hash("2cf2"), None);
    }
}
